//! The ceiling of the memory of a whole cluster under a flood of writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rauthy_client::{AckLevel, Client, Error, Limits, PutOptions};
use rauthy_processes::{Cluster, PATIENCE, Setup, eventually};
use tokio::task::JoinSet;

const CEILING: u64 = 32 << 20;
/// What a process may need beside the store: its log (which is bounded, too), copies of it for peers that are behind,
/// buffers of connections, the allocator.
const BESIDE: u64 = 160 << 20;
/// What it may still grow by when it was full once.
const GROWS: u64 = 32 << 20;
/// Writers at each node.
const WRITERS: usize = 4;
/// Writes of one wave that are refused.
const REFUSED: u64 = 3000;

/// Writes values of 100 B to 51,200 B through a node, until so many of all writers were refused.
async fn write(client: Client, name: String, refused: Arc<AtomicU64>) {
    for n in 0_u64.. {
        let value = vec![u8::try_from(n % 251).unwrap(); 100 << (n % 10)];
        match client.put("flood", format!("{name} {n}"), value, PutOptions::default()).await {
            Ok(_) => {}
            Err(Error::Limit(_)) => _ = refused.fetch_add(1, Ordering::Relaxed),
            Err(error) => panic!("{name}, write {n}: {error}"),
        }
        if refused.load(Ordering::Relaxed) >= REFUSED {
            return;
        }
    }
}

/// A wave through all nodes at once; gives the most memory that each node had.
async fn flood(cluster: &Cluster, wave: usize) -> Vec<u64> {
    let refused = Arc::<AtomicU64>::default();
    let mut writers = JoinSet::new();
    for node in cluster.nodes() {
        for writer in 0..WRITERS {
            let client = Client::new(&node.target).unwrap().with_deadline(PATIENCE);
            writers.spawn(write(client, format!("{wave} {} {writer}", node.number), refused.clone()));
        }
    }
    let mut most = vec![0; cluster.nodes().count()];
    while !writers.is_empty() {
        for (node, most) in cluster.nodes().zip(&mut most) {
            *most = node.resident().max(*most);
        }
        let _ = tokio::time::timeout(std::time::Duration::from_millis(20), async {
            if let Some(ended) = writers.join_next().await {
                ended.unwrap();
            }
        })
        .await;
    }
    most
}

/// Three members under a flood through all of them: none holds more than the ceiling, none grows on, every write is
/// acknowledged or refused for this reason, and afterwards they are as good as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_writes_finds_the_ceiling_of_every_member() {
    let mut cluster = Cluster::prepare(Setup::default());
    for number in 1..=3 {
        let node = cluster.node_mut(number);
        node.environment.insert("CACHE_MAX_BYTES", "32Mi".to_owned());
        node.start();
    }
    let generation = cluster.all_ready().await[0].generation.clone();
    let before: Vec<_> = cluster.nodes().map(rauthy_processes::Node::resident).collect();
    let first = flood(&cluster, 1).await;
    let second = flood(&cluster, 2).await;
    cluster.same_data().await;
    for (node, ((before, first), second)) in cluster.nodes().zip(before.iter().zip(&first).zip(&second)) {
        let view = node.status().await.unwrap();
        println!(
            "node {} ({:?}): {} MiB empty, at most {} MiB when it was filled and {} MiB when it was full; {} bytes stored",
            node.number,
            view.role(),
            before >> 20,
            first >> 20,
            second >> 20,
            view.bytes
        );
        assert!(view.bytes <= CEILING && view.bytes > CEILING * 8 / 10, "{} bytes", view.bytes);
        assert!(
            *first.max(second) < before + CEILING + BESIDE,
            "node {}: {before}, {first}, {second}",
            node.number
        );
        assert!(*second < first + GROWS, "node {} grows on: {first}, {second}", node.number);
        assert_eq!(view.generation, generation);
        assert_eq!(view.wipes, 0);
    }
    // Room again, and where values are evicted there always is.
    let client = cluster.node(2).client().clone().with_deadline(PATIENCE);
    client.clear("flood", AckLevel::Quorum).await.unwrap();
    let limits = Limits { bytes: Some(4 << 20), evict: true, ..Limits::default() };
    client.declare("evicting", limits).await.unwrap();
    for n in 0..2000 {
        let value = vec![7; 10_000];
        client.put("evicting", format!("{n}"), value, PutOptions::default()).await.unwrap();
    }
    eventually("the oldest made room everywhere", PATIENCE, async || {
        for node in cluster.nodes() {
            let bytes = node.status().await?.bytes;
            if bytes > 4 << 20 {
                return Err(format!("node {}: {bytes} bytes", node.number));
            }
        }
        Ok(())
    })
    .await;
    cluster.same_data().await;
}
