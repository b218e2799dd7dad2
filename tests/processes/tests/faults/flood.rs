//! Strangers by the thousand, while members write.

use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use rauthy_client::{Client, PutOptions};
use rauthy_processes::{Cluster, Load, PATIENCE, Setup, Stalls};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::links::{SILENT, nothing_elected};

/// Bad connections to each of two members, the leader and a follower; each opens up to 50 streams.
const CONNECTIONS: usize = 8_000;
/// They come no longer than this; on a machine that has nothing else to do they are through in 5 to 12 s.
const SECONDS: u64 = 120;
/// What a node may take for them beyond what it took before: 256 may wait and say 64 KiB each, but few get that far.
/// (Measured: 5 to 11 MiB; 16 to 23 with all of them let in.)
const MEMORY: u64 = 16 << 20;
/// Addresses that the strangers have.
const SOURCES: &str = "10.77.0.:100-199";

/// Writes until it is told to stop; gives the time that each took, or the first failure.
async fn write(client: Client, name: String, stop: Arc<AtomicBool>) -> Result<Vec<Duration>, String> {
    let mut took = Vec::new();
    for n in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let began = Instant::now();
        let key = format!("{name}-{}", n % 100);
        let put = client.put("test", key, format!("value {n}"), PutOptions::default()).await;
        put.map_err(|e| format!("{name}, write {n}: {e}"))?;
        took.push(began.elapsed());
        // At a pace, so that the log does not become what memory is measured by.
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    Ok(took)
}

/// Runs writers on all nodes for as long as `meanwhile` takes, and says how long 99 % of the writes took at most.
async fn writing<T>(cluster: &Cluster, meanwhile: impl Future<Output = T>) -> (Duration, usize, T) {
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = JoinSet::new();
    for node in cluster.nodes() {
        for w in 0..3 {
            let client = node.client().clone().with_deadline(Duration::from_secs(10));
            writers.spawn(write(client, format!("{}-{w}", node.number), stop.clone()));
        }
    }
    let result = meanwhile.await;
    stop.store(true, Ordering::Relaxed);
    let mut took = Vec::new();
    while let Some(one) = writers.join_next().await {
        took.extend(one.unwrap().unwrap());
    }
    took.sort();
    (took[took.len() * 99 / 100], took.len(), result)
}

/// Lets strangers loose on a node. They live elsewhere, where their processor time costs the agents nothing.
fn let_loose(cluster: &Cluster, target: usize, ca: Option<&str>) -> Child {
    let number = cluster.nodes().count() + 1;
    let mut command = cluster.net.command(number, "nice".as_ref());
    command.args(["-n", "10", env!("CARGO_BIN_EXE_stranger"), "mesh", &cluster.node(target).slot]);
    command.args([&CONNECTIONS.to_string(), &SECONDS.to_string(), SOURCES]).args(ca);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// Strangers at a node until they are done; gives what they say they did, and the most memory that the node had
/// meanwhile.
async fn strangers(cluster: &Cluster, target: usize, ca: Option<&str>) -> (String, u64) {
    let mut child = let_loose(cluster, target, ca);
    let (began, mut most) = (Instant::now(), 0);
    let deadline = Instant::now() + Duration::from_secs(SECONDS) * 2;
    while child.try_wait().unwrap().is_none() {
        most = most.max(cluster.node(target).resident());
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("the strangers did not end");
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    (format!("{} in {:?}", String::from_utf8_lossy(&output.stdout).trim(), began.elapsed()), most)
}

/// How many a node says that it turned away before it listened to them.
fn turned_away(cluster: &Cluster, at: usize) -> f64 {
    let (_, metrics) = cluster.http(at, "metrics");
    let counts = metrics.lines().filter(|line| line.starts_with("rauthy_refusals_total{"));
    let counts = counts.filter(|line| line.contains("reason=\"TOO_MANY\""));
    counts.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}

async fn flood(tls: bool) {
    let mut cluster = Cluster::prepare(Setup { tls, strangers: 1, ..Setup::default() });
    for number in 1..=3 {
        // Who knows the authority gets through TLS; that is further than most do.
        cluster.node_mut(number).environment.remove("CACHE_TLS_CA_CLIENT");
        cluster.node_mut(number).start();
    }
    cluster.net.add_addresses(4, SOURCES);
    let network = SOURCES.split(':').next().unwrap();
    let ca = tls.then(|| cluster.node(1).environment["CACHE_TLS_CA_SERVER"].clone());
    let before = cluster.elections().await;
    let generation = cluster.node(1).status().await.unwrap().generation;
    let leader = cluster.leader().await;
    let targets = [leader, cluster.others(leader)[0]];

    let recorder = cluster.record(Load { each: 1, ..Load::default() }).await;
    let undisturbed = writing(&cluster, tokio::time::sleep(Duration::from_secs(3))).await;
    let memory = targets.map(|target| cluster.node(target).resident());
    let (marker, stalls) = (recorder.marker(), Stalls::watch());
    marker.mark();
    let began = Instant::now();
    let flood = join_all(targets.map(|target| strangers(&cluster, target, ca.as_deref())));
    let disturbed = writing(&cluster, flood).await;
    let long = began.elapsed();
    marker.mark();
    println!(
        "TLS: {tls}; 99 % of {} writes took at most {:?} before and of {} {:?} meanwhile",
        undisturbed.1, undisturbed.0, disturbed.1, disturbed.0
    );
    let (mut connections, mut streams) = (0, 0);
    for ((target, memory), (did, most)) in targets.into_iter().zip(memory).zip(&disturbed.2) {
        let away = turned_away(&cluster, target);
        println!(
            "TLS: {tls}; at node {target}: {}; {away} turned away; memory {} KiB before, {} KiB at most",
            did,
            memory >> 10,
            most >> 10
        );
        let number = |word: &str| -> usize {
            let mut words = did.split_whitespace();
            words.find(|w| *w == word).and_then(|_| words.next()).unwrap().parse().unwrap()
        };
        connections += number("connections");
        streams += number("streams");
        // Others were gone before anybody looked at them, or let in.
        assert!(away > CONNECTIONS as f64 / 4.0, "node {target} turned away {away} only: {did}");
        assert!(*most < memory + MEMORY, "{} MiB more at node {target}", (most - memory) >> 20);
    }
    // Some find no room in the kernel's queue on a busy machine. Most of the others are turned away before they have a stream,
    // so that their number is a matter of who comes first: 9,000 to 90,000 together.
    assert!(connections >= 10_000 && streams >= 5_000, "{:?}", disturbed.2);
    let summary = recorder.stop(PATIENCE).await.unwrap().holds("strangers by the thousand", 200);
    // Each write of the writers was acknowledged: a failed one ends the test above. And they were served all the time.
    assert!(disturbed.1 as u64 >= 5 * long.as_secs(), "{} writes in {long:?}", disturbed.1);
    for (node, written) in &summary.through[1] {
        let gap = summary.gaps[1][node][0];
        println!(
            "TLS: {tls}; node {node} acknowledged {written} others meanwhile, the longest pause was {gap:?}"
        );
        assert!(*written as u64 >= long.as_secs(), "{written} writes at node {node} in {long:?}");
        assert!(gap < SILENT, "no write was answered at node {node} for {gap:?}");
    }
    nothing_elected(
        &format!("strangers by the thousand, TLS: {tls}"),
        &before,
        &cluster.elections().await,
        stalls,
    );
    let after = cluster.all_ready().await;
    assert!(after.iter().all(|view| view.generation == generation), "the data was lost: {after:?}");
    let view = &after[leader - 1];
    assert!(view.refusals.iter().any(|r| r.from.starts_with(network)), "{:?}", view.refusals);
    assert!(cluster.node(leader).log().lines().count() < 200, "the log is not theirs to fill");
    // The door is open: a member that comes back is let in, and strangers were not.
    assert!(view.members.iter().all(|m| m.me || m.connected), "{view:?}");
    let back = cluster.others(leader)[0];
    cluster.node_mut(back).kill();
    cluster.node_mut(back).start();
    cluster.all_ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_strangers_cost_little() {
    flood(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_strangers_cost_little_with_tls() {
    flood(true).await;
}
