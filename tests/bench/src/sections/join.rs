//! A million entries: what they take, and a member that joins while others write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use hdrhistogram::Histogram;
use rauthy_client::{Client, PutOptions};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::name;
use crate::driver::{Agents, Plan, Programs, resident};
use crate::results::Results;

/// Writes a second while a member joins.
const WRITES: u64 = 20_000;
/// Entries that are written and read.
pub const ENTRIES: u64 = 1_000_000;
/// The memory of an entry is what those after this one take. Before, the log fills, whose size is bounded, and the buffers.
pub const COUNTED_FROM: u64 = 400_000;
const VALUE: usize = rauthy_load::VALUE;
/// Writes that are under way at a time.
const AT_A_TIME: usize = 1024;

fn key(number: u64) -> String {
    format!("session-{number:08}")
}

/// Measures it once.
///
/// # Errors
/// If agents do not start or a write fails while all of them run.
pub async fn visit(
    round: usize,
    plan: &Plan,
    programs: &Programs,
    results: &mut Results,
) -> anyhow::Result<()> {
    let entries = ENTRIES;
    let mut agents = Agents::start(3, programs, "1Gi").await?;
    let leader = agents.leader().await?;
    let (joins, other) = ((leader + 1) % 3, (leader + 2) % 3);
    let before = [rss(&mut agents, leader)?, rss(&mut agents, other)?];
    let client = agents.client(leader)?.pipelined();
    let members = [leader, joins, other];
    fill(&client, 0..COUNTED_FROM).await?;
    caught_up(&agents, &members).await?;
    let part = [rss(&mut agents, leader)?, rss(&mut agents, other)?];
    fill(&client, COUNTED_FROM..entries).await?;
    caught_up(&agents, &members).await?;
    let payload = (key(0).len() + VALUE) as f64;
    for (at, (of, number)) in [("leader", leader), ("follower", other)].into_iter().enumerate() {
        let now = rss(&mut agents, number)?;
        let each = (now - part[at]) / (entries - COUNTED_FROM) as f64 - payload;
        results.add(round, name::MEMORY, "1", of, "B per entry", each);
        let all = (now - before[at]) / entries as f64 - payload;
        results.add(round, name::MEMORY, "1", of, "B per entry, log and buffers as well", all);
    }
    let quiet = Duration::from_millis(plan.millis * 2);
    let calm = Writes::start(client.clone(), entries).stop_after(quiet).await?;
    agents.process(joins)?.kill().await;
    let writes = Writes::start(client, entries);
    tokio::time::sleep(Duration::from_millis(200)).await;
    let started = Instant::now();
    agents.run(joins)?;
    agents.ready(joins).await?;
    let took = started.elapsed();
    let busy = writes.stop_after(Duration::ZERO).await?;
    results.add(round, name::JOIN, "1", "ours", "s", took.as_secs_f64());
    for (of, seen) in [("undisturbed", calm), ("while a member joins", busy)] {
        results.add(round, name::JOIN, "1", of, "p50 µs", seen.value_at_quantile(0.5) as f64);
        results.add(round, name::JOIN, "1", of, "p99 µs", seen.value_at_quantile(0.99) as f64);
        results.add(round, name::JOIN, "1", of, "max µs", seen.max() as f64);
        results.add(round, name::JOIN, "1", of, "writes", seen.len() as f64);
    }
    agents.stop().await;
    Ok(())
}

fn rss(agents: &mut Agents, number: usize) -> anyhow::Result<f64> {
    resident(agents.process(number)?.pid()?)
}

async fn fill(client: &Client, numbers: std::ops::Range<u64>) -> anyhow::Result<()> {
    let value = bytes::Bytes::from(vec![7; VALUE]);
    let mut tasks = JoinSet::new();
    let next = Arc::new(AtomicU64::new(numbers.start));
    for _ in 0..AT_A_TIME {
        let (client, value, next, end) = (client.clone(), value.clone(), next.clone(), numbers.end);
        tasks.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    return Ok::<_, rauthy_client::Error>(());
                }
                client.put("bench", key(number), value.clone(), PutOptions::default()).await?;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// Waits until all of them have what the first one has.
async fn caught_up(agents: &Agents, numbers: &[usize]) -> anyhow::Result<()> {
    let leader = numbers.first().context("no members")?;
    let applied = agents.status(*leader).await.context("the leader does not answer")?.applied;
    let end = Instant::now() + Duration::from_secs(30);
    for number in numbers {
        while agents.status(*number).await.is_none_or(|status| status.applied < applied) {
            anyhow::ensure!(Instant::now() < end, "agent {number} does not catch up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

/// Writes at a fixed rate to keys that are there, each timed from when it was due.
struct Writes {
    stop: tokio::sync::oneshot::Sender<()>,
    task: tokio::task::JoinHandle<anyhow::Result<Histogram<u64>>>,
}

impl Writes {
    fn start(client: Client, entries: u64) -> Self {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        Self { stop, task: tokio::spawn(write(client, entries, stopped)) }
    }

    async fn stop_after(self, time: Duration) -> anyhow::Result<Histogram<u64>> {
        tokio::time::sleep(time).await;
        let _ = self.stop.send(());
        self.task.await?
    }
}

async fn write(
    client: Client,
    entries: u64,
    mut stopped: tokio::sync::oneshot::Receiver<()>,
) -> anyhow::Result<Histogram<u64>> {
    // A runtime's timer counts milliseconds: so many writes are due together.
    let each = Duration::from_millis(1);
    let at_once = WRITES / 1000;
    let value = bytes::Bytes::from(vec![8; VALUE]);
    let room = Arc::new(Semaphore::new(AT_A_TIME * 4));
    let (tell, mut told) = mpsc::unbounded_channel();
    let mut due = interval(each);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut number = 0_u64;
    loop {
        let began = tokio::select! {
            _ = &mut stopped => break,
            began = due.tick() => began,
        };
        for _ in 0..at_once {
            number += 7919;
            let place = room.clone().acquire_owned().await?;
            let (client, value, tell) = (client.clone(), value.clone(), tell.clone());
            tokio::spawn(async move {
                let done = client.put("bench", key(number % entries), value, PutOptions::default()).await;
                let _ = tell.send(done.map(|_| began.elapsed()));
                drop(place);
            });
        }
    }
    drop(tell);
    let mut seen = Histogram::new_with_bounds(1, 60_000_000, 3)?;
    while let Some(took) = told.recv().await {
        seen.saturating_record(u64::try_from(took?.as_micros()).unwrap_or(u64::MAX).max(1));
    }
    Ok(seen)
}
