//! A million entries: what they cost in memory, and that a new node gets them all while writes go on, in under 10 s. A
//! program of its own, so that nothing else of the tests runs beside it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rauthy_client::{AckLevel, Client, PutOptions};
use rauthy_processes::{Cluster, Setup, Writers, eventually};
use tokio::task::JoinSet;
use tokio::time::Instant;

const ENTRIES: u64 = 1_000_000;
/// From here on memory is counted: by then the log of applied entries is as long as it ever becomes (64 MiB), and so are
/// the results and the feed, however many entries follow.
const COUNTED_FROM: u64 = 300_000;
const KEY: usize = 16;
const VALUE: usize = 100;
/// More than all of it needs.
const CEILING: u64 = 1 << 30;
/// Requests at a time through each node.
const AT_A_TIME: u64 = 256;
/// Of memory beyond key and value, at most: what a value is charged with. (Measured: 85 to 88, on leader and follower.)
const PER_ENTRY: f64 = 120.0;
/// A new node is ready after this time, while writes go on, if it gets a processor. (Measured: 7.6 s while the machine
/// built other things.)
const READY: Duration = Duration::from_secs(10);

/// Patience for a machine that does other things as well.
const FILLED: Duration = Duration::from_secs(600);
/// A put that is refused is tried again so often, 20 ms apart.
const TRIES: u32 = 500;

/// Stores numbers from `next` on up to `end`.
async fn store(client: Client, next: Arc<AtomicU64>, end: u64) -> Result<(), String> {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= end {
            return Ok(());
        }
        let (key, value) = (format!("{number:0KEY$x}"), format!("{number:0VALUE$}"));
        for tried in 1.. {
            match client.put("million", key.clone(), value.clone(), PutOptions::default()).await {
                Ok(_) => break,
                Err(error) if tried == TRIES => return Err(format!("entry {number}: {error}")),
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }
}

/// Stores the entries from `from` up to `end`, through all nodes.
async fn fill(cluster: &Cluster, from: u64, end: u64) -> Duration {
    let (began, next) = (Instant::now(), Arc::new(AtomicU64::new(from)));
    let mut tasks = JoinSet::new();
    for node in cluster.nodes() {
        let client = node.client().clone().pipelined();
        for _ in 0..AT_A_TIME {
            tasks.spawn(store(client.clone(), Arc::clone(&next), end));
        }
    }
    eventually("the last entry is stored", FILLED, async || match next.load(Ordering::Relaxed) {
        stored if stored >= end => Ok(()),
        stored => Err(format!("{stored} in {:?}", began.elapsed())),
    })
    .await;
    for one in tasks.join_all().await {
        one.unwrap();
    }
    cluster.same_data().await;
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_entries() {
    let mut cluster = Cluster::prepare(Setup::default());
    for number in 1..=3 {
        let node = cluster.node_mut(number);
        node.environment.insert("CACHE_MAX_BYTES", CEILING.to_string());
        node.start();
    }
    cluster.all_ready().await;
    let leader = cluster.leader().await;
    let follower = cluster.others(leader)[0];
    let took = fill(&cluster, 0, COUNTED_FROM).await;
    println!("{COUNTED_FROM} entries in {took:?}");
    let before = [leader, follower].map(|number| cluster.node(number).resident());
    let took = fill(&cluster, COUNTED_FROM, ENTRIES).await;
    println!("{} more in {took:?}", ENTRIES - COUNTED_FROM);
    for (number, before) in [leader, follower].into_iter().zip(before) {
        assert_eq!(cluster.node(number).status().await.unwrap().entries, ENTRIES);
        let after = cluster.node(number).resident();
        let each = after.saturating_sub(before) as f64 / (ENTRIES - COUNTED_FROM) as f64;
        let beyond = each - (KEY + VALUE) as f64;
        println!(
            "node {number}: {} MiB before, {} MiB after, {beyond:.1} bytes for each beyond key and value",
            before >> 20,
            after >> 20,
        );
        assert!(beyond <= PER_ENTRY, "{beyond:.1} bytes for each entry beyond key and value");
    }

    let others = cluster.others(follower);
    let writers = Writers::start(others.iter().map(|n| cluster.node(*n).client().clone()), 4);
    cluster.node_mut(follower).kill();
    cluster.node_mut(follower).start();
    let started = Instant::now();
    eventually("a new node is ready", FILLED, async || match cluster.node(follower).status().await? {
        view if view.ready => Ok(()),
        view => Err(format!("{} of {ENTRIES} entries, {}", view.entries, view.not_ready_reason)),
    })
    .await;
    let (ready, waited) = (started.elapsed(), cluster.node(follower).waited());
    let written = writers.acknowledged();
    let history = writers.stop().await;
    println!(
        "a new node with {ENTRIES} entries is ready after {ready:?}; {written} writes went on meanwhile"
    );
    if ready >= READY && ready < READY + waited {
        println!(
            "EXCUSED: a new node was ready after {ready:?}, of which it waited {waited:?} for a processor"
        );
    } else {
        assert!(
            ready < READY,
            "a new node is ready after {ready:?}, of which it waited {waited:?} for a processor"
        );
    }
    assert!(written > 0 && history.unknown == 0, "{}", history.last_error);
    history.check(cluster.node(follower).client()).await.unwrap();
    let last = cluster.node(follower).client().get("million", format!("{:0KEY$x}", ENTRIES - 1)).await;
    assert!(last.is_ok_and(|found| found.is_some()));
    cluster.node(leader).client().delete("million", format!("{:0KEY$x}", 0), AckLevel::All).await.unwrap();
    cluster.same_data().await;
}
