//! The ceiling of the memory under a flood of writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rauthy_client::{Error, Limits, PutOptions};
use rustix::process::Signal;

use super::fleet::{Agent, DEADLINE, Fleet, ready, until};

const CEILING: u64 = 32 << 20;
/// What a process may need beside the store: its log (which is bounded, too), buffers of connections, the allocator.
const BESIDE: u64 = 160 << 20;

fn resident(agent: &Agent) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

/// Writers at once, each with keys of its own, until so many of their writes were refused; 0: until so many stand.
async fn flood(agent: &Agent, cache: &str, refusals: u64, puts: u64) -> u64 {
    let (refused, written) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (0..8)
        .map(|writer| {
            let (client, cache) = (agent.client(), cache.to_owned());
            let (refused, written) = (refused.clone(), written.clone());
            tokio::spawn(async move {
                for n in 0_u64.. {
                    let size = 100 << (n % 10);
                    let value = vec![u8::try_from(n % 251).unwrap(); size];
                    match client.put(&cache, format!("{writer} {n}"), value, PutOptions::default()).await {
                        Ok(_) => written.fetch_add(1, Ordering::Relaxed),
                        Err(Error::Limit(_)) => refused.fetch_add(1, Ordering::Relaxed),
                        Err(error) => panic!("{error}"),
                    };
                    if refused.load(Ordering::Relaxed) >= refusals && written.load(Ordering::Relaxed) >= puts
                    {
                        return;
                    }
                }
            })
        })
        .collect();
    for writer in writers {
        writer.await.unwrap();
    }
    written.load(Ordering::Relaxed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_writes_finds_a_ceiling() {
    let fleet = Fleet::new(1, false).with("CACHE_MAX_BYTES", "32Mi");
    let mut agents = vec![fleet.start(0)];
    ready(&agents).await;
    let agent = &agents[0];
    let before = resident(agent);
    // Where nothing is evicted, writes beyond are refused, and what stands is read.
    flood(agent, "kept", 3000, 0).await;
    let full = agent.client().status().await.unwrap();
    assert!(full.bytes <= CEILING && full.bytes > CEILING * 8 / 10, "{} bytes", full.bytes);
    let filled = resident(agent);
    // Once more: nothing grows any more.
    flood(agent, "kept", 3000, 0).await;
    let again = agent.client().status().await.unwrap();
    assert!(again.bytes <= CEILING, "{} bytes", again.bytes);
    let after = resident(agent);
    eprintln!("resident: {before} empty, {filled} full, {after} after more, {} bytes stored", again.bytes);
    assert!(after < before + CEILING + BESIDE, "{before} before, {after} after");
    assert!(after < filled + (32 << 20), "it grows on: {filled}, then {after}");
    assert_eq!(agent.metric("rauthy_store_limit_bytes"), Some(CEILING as f64));

    // Where it is, they go on, and the oldest make room.
    agent.client().clear("kept", rauthy_client::AckLevel::Quorum).await.unwrap();
    let limits = Limits { bytes: Some(4 << 20), evict: true, ..Limits::default() };
    agent.client().declare("evicting", limits).await.unwrap();
    let written = flood(agent, "evicting", 0, 3000).await;
    let deadline = Instant::now() + DEADLINE;
    loop {
        let bytes = agent.client().status().await.unwrap().bytes;
        if bytes <= 4 << 20 {
            break;
        }
        assert!(Instant::now() < deadline, "{bytes} bytes, and 4 MiB are declared");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let evicted = agent.metric("rauthy_evicted_values_total").unwrap();
    assert!(evicted > 100.0 && evicted < written as f64, "{evicted} of {written} evicted");
    assert!(resident(agent) < before + CEILING + BESIDE);

    // And it still stops as it should.
    until(agent, "ready", |s| s.ready).await;
    agents[0].signal(Signal::TERM);
    assert_eq!(agents[0].gone(), Some(0));
}
