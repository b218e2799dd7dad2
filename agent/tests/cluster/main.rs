//! Whole agents in one process, over real sockets: they elect, write, read, hand over, come back, and become more and fewer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod reads;
mod reload;
mod size;
mod support;
mod volume;
mod watch;

use std::collections::BTreeMap;

use rauthy_agent::config::Config;
use rauthy_agent::runtime::start;
use rauthy_core::Refusal;
use rauthy_proto::cache::Role;
use tokio::time::Instant;

use support::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_survives_the_restart_of_each_of_its_members() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new(3, Some(dir.path()));
    for node in 0..3 {
        cluster.start(node).await;
    }
    cluster.settled().await;
    let generation = cluster.handle(0).status().await.generation;
    for node in 0..3 {
        cluster.put(node, &format!("k{node}"), "before").await.unwrap();
    }
    for round in 0..3 {
        cluster.stop(round).await;
        let other = (round + 1) % 3;
        // A write may meet the moment without a leader; then its outcome is unknown, and it is written again.
        let deadline = Instant::now() + DEADLINE;
        while let Err(refusal) = cluster.put(other, &format!("r{round}"), "during").await {
            assert!(Instant::now() < deadline, "writes are refused: {refusal:?}");
        }
        cluster.start(round).await;
        cluster.until(round, "ready", |s| s.ready).await;
        for node in 0..3 {
            cluster.reads(round, &format!("k{node}"), "before").await;
        }
        cluster.reads(round, &format!("r{round}"), "during").await;
    }
    for node in 0..3 {
        let status = cluster.until(node, "of the first generation", |s| s.generation == generation).await;
        assert_eq!(status.wipes, 0);
        assert!(status.certificate_expires_in_s > 0);
        assert!(status.refusals.is_empty(), "{:?}", status.refusals);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_values_reach_everybody_and_whoever_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new(3, Some(dir.path()));
    for node in 0..3 {
        cluster.start(node).await;
    }
    let leader = cluster.settled().await;
    let follower = (leader + 1) % 3;
    // The largest that is allowed, through a follower: forwarded, appended, and copied to the one that comes back.
    let values: Vec<String> = (0..24_u8).map(|n| char::from(b'a' + n).to_string().repeat(1 << 20)).collect();
    for (n, value) in values.iter().enumerate() {
        cluster.put(follower, &format!("k{n}"), value).await.unwrap();
    }
    cluster.stop(follower).await;
    cluster.start(follower).await;
    for node in [follower, (leader + 2) % 3] {
        for (n, value) in values.iter().enumerate() {
            cluster.reads(node, &format!("k{n}"), value).await;
        }
    }
    let status = cluster.until(leader, "still leading", |s| s.role() == Role::Leader).await;
    assert_eq!(status.term, 1, "so much data cost no election");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_fails_while_the_leadership_is_handed_over() {
    let mut cluster = Cluster::new(3, None);
    for node in 0..3 {
        cluster.start(node).await;
    }
    let leader = cluster.settled().await;
    let slot = cluster.handle(leader).status().await.slot;
    cluster.put((leader + 1) % 3, "k", "v").await.unwrap();
    let handle = cluster.handle(leader);
    let handing_over = tokio::spawn(async move { handle.hand_over().await });
    let mut writes = 0;
    while !handing_over.is_finished() || writes < 50 {
        for node in 0..3 {
            cluster.put(node, "k", &writes.to_string()).await.unwrap();
            writes += 1;
        }
    }
    for node in 0..3 {
        cluster.until(node, "led by another", |s| !s.leader.is_empty() && s.leader != slot).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_nothing_is_answered() {
    let mut cluster = Cluster::new(3, None);
    for node in 0..3 {
        cluster.start(node).await;
    }
    cluster.settled().await;
    cluster.put(0, "k", "v").await.unwrap();
    cluster.reads(2, "k", "v").await;
    cluster.stop(0).await;
    cluster.stop(1).await;
    cluster.until(2, "without a lease", |s| !s.ready).await;
    assert!(cluster.handle(2).read("test", b"k").is_err(), "an error, never a miss");
    // What was forwarded to a leader that is gone is unknown; after that nothing is forwarded.
    let deadline = Instant::now() + DEADLINE;
    while cluster.put(2, "k", "w").await != Err(Refusal::NoQuorum) {
        assert!(Instant::now() < deadline);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_node_serves_alone() {
    let config = Config::from(&|_| None, "", &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
    let cluster =
        Cluster { ports: Vec::new(), env: BTreeMap::new(), nodes: vec![Some(start(config).await.unwrap())] };
    cluster.settled().await;
    cluster.put(0, "k", "v").await.unwrap();
    cluster.reads(0, "k", "v").await;
}
