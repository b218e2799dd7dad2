//! What is used when nothing happens, and what Redis takes for a million entries.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufStream};
use tokio::net::TcpStream;

use super::join::{COUNTED_FROM, ENTRIES};
use super::name;
use crate::driver::{Agents, Cluster, Plan, Programs, System, cpu_exactly, resident};
use crate::results::Results;

/// Measures agents that nobody uses.
///
/// # Errors
/// If they do not start.
pub async fn idle(
    round: usize,
    plan: &Plan,
    programs: &Programs,
    results: &mut Results,
) -> anyhow::Result<()> {
    let mut agents = Agents::start(3, programs, "128Mi").await?;
    let leader = agents.leader().await?;
    let time = Duration::from_millis(plan.millis * 6);
    let mut before = Vec::new();
    for number in 0..agents.len() {
        before.push(cpu_exactly(agents.process(number)?.pid()?)?);
    }
    tokio::time::sleep(time).await;
    for (number, before) in before.into_iter().enumerate() {
        let pid = agents.process(number)?.pid()?;
        let of = if number == leader { "leader" } else { "follower" };
        let share = (cpu_exactly(pid)? - before) / time.as_secs_f64();
        // Both followers of a round are one value each: the case tells them apart.
        let case = (number + agents.len() - leader) % agents.len();
        results.add(round, name::IDLE, case, of, "% of a core", share * 100.0);
        results.add(round, name::IDLE, case, of, "MiB", resident(pid)? / f64::from(1 << 20));
    }
    agents.stop().await;
    Ok(())
}

/// A million entries in Redis: what its processes grow by beyond keys and values.
///
/// # Errors
/// If it does not take them.
pub async fn redis_memory(round: usize, programs: &Programs, results: &mut Results) -> anyhow::Result<()> {
    let cluster = Cluster::start(System::Redis, 3, programs).await?;
    let primary = cluster.servers().first().context("no primary")?.pid()?;
    let before = resident(primary)?;
    let address = cluster.address.context("no address of the primary")?;
    let payload = set(address, 0..COUNTED_FROM).await?;
    settle(address).await?;
    let part = resident(primary)?;
    set(address, COUNTED_FROM..ENTRIES).await?;
    settle(address).await?;
    let now = resident(primary)?;
    let each = (now - part) / (ENTRIES - COUNTED_FROM) as f64 - payload;
    results.add(round, name::MEMORY, "1", "Redis", "B per entry", each);
    let all = (now - before) / ENTRIES as f64 - payload;
    results.add(round, name::MEMORY, "1", "Redis", "B per entry, log and buffers as well", all);
    cluster.stop().await;
    Ok(())
}

/// Waits until the replicas have everything, and has the primary give back what it needed for that: else what is measured
/// is how far they happened to be behind. `WAIT` speaks of what its own connection has written.
async fn settle(address: SocketAddr) -> anyhow::Result<()> {
    let mut stream = BufStream::new(TcpStream::connect(address).await?);
    for (asked, wanted) in
        [("SET last 1", "+OK"), ("DEL last", ":1"), ("WAIT 2 20000", ":2"), ("MEMORY PURGE", "+OK")]
    {
        stream.write_all(format!("{asked}\r\n").as_bytes()).await?;
        stream.flush().await?;
        let mut answer = String::new();
        stream.read_line(&mut answer).await?;
        anyhow::ensure!(answer.trim_end() == wanted, "Redis answers {asked} with {answer:?}");
    }
    Ok(())
}

/// Writes entries, and gives the bytes of a key and its value.
async fn set(address: SocketAddr, numbers: std::ops::Range<u64>) -> anyhow::Result<f64> {
    let (mut read, mut write) = TcpStream::connect(address).await?.into_split();
    let mut left = usize::try_from(numbers.end - numbers.start)? * b"+OK\r\n".len();
    let answers = tokio::spawn(async move {
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            let got = read.read(&mut buffer).await?;
            anyhow::ensure!(got > 0, "Redis closed the connection");
            left = left.saturating_sub(got);
        }
        anyhow::Ok(())
    });
    let value = "7".repeat(rauthy_load::VALUE);
    let mut payload = 0;
    let mut out = String::new();
    for number in numbers.clone() {
        let key = format!("session-{number:08}");
        payload = key.len() + value.len();
        let lengths = (key.len(), value.len());
        out += &format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${}\r\n{value}\r\n", lengths.0, lengths.1);
        if out.len() > 64 << 10 || number + 1 == numbers.end {
            write.write_all(out.as_bytes()).await?;
            out.clear();
        }
    }
    answers.await??;
    Ok(payload as f64)
}
