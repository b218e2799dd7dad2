//! Reads that are no older than something.

use std::time::Duration;

use rauthy_core::{Found, ReadRefusal};
use tokio::time::Instant;

use super::support::*;

fn text(found: &Found) -> Option<String> {
    found.value.as_ref().map(|(value, _)| String::from_utf8_lossy(value).into_owned())
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_told_of_a_write_reads_it_on_every_node() {
    let mut cluster = Cluster::new(3, None);
    for node in 0..3 {
        cluster.start(node).await;
    }
    cluster.settled().await;
    for round in 0..30_usize {
        let value = round.to_string();
        let written = cluster.put(round % 3, "k", &value).await.unwrap();
        let position = written.position.unwrap();
        assert_eq!(position.index, written.done.version);
        for other in 0..3 {
            let handle = cluster.handle((round + other) % 3);
            let found = handle.read_after("test", b"k", position, soon()).await.unwrap();
            assert_eq!(text(&found), Some(value.clone()));
            assert!(found.index >= position.index);
        }
        // Without a word of where it was written.
        let value = format!("{value} again");
        cluster.put(round % 3, "k", &value).await.unwrap();
        let handle = cluster.handle((round + 1) % 3);
        let found = handle.read_linearizable("test", b"k", soon()).await.unwrap();
        assert_eq!(text(&found), Some(value));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_generation_is_a_gap() {
    let mut cluster = Cluster::new(1, None);
    cluster.start(0).await;
    cluster.settled().await;
    let old = cluster.put(0, "k", "v").await.unwrap().position.unwrap();
    cluster.stop(0).await;
    cluster.start(0).await;
    cluster.settled().await;
    let refusal = cluster.handle(0).read_after("test", b"k", old, soon()).await;
    assert_eq!(refusal, Err(ReadRefusal::Gap));
    let found = cluster.handle(0).read_linearizable("test", b"k", soon()).await.unwrap();
    assert_eq!(text(&found), None, "a truthful miss: the cache is empty");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_read_as_of_now_without_a_quorum() {
    let mut cluster = Cluster::new(3, None);
    for node in 0..3 {
        cluster.start(node).await;
    }
    let leader = cluster.settled().await;
    cluster.put(leader, "k", "v").await.unwrap();
    for node in (0..3).filter(|node| *node != leader) {
        cluster.stop(node).await;
    }
    let refusal = cluster.handle(leader).read_linearizable("test", b"k", soon()).await;
    assert_eq!(refusal, Err(ReadRefusal::NoLease));
}
