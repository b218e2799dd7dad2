//! A leader that is asked to go hands over first.

use std::time::Duration;

use rauthy_processes::{Cluster, PATIENCE, Setup, Writers, eventually};

use crate::election::enough;

/// SIGTERM to the leader under 64 writers at the other nodes: not one write fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_hands_over_without_a_failed_write() {
    let mut cluster = Cluster::start(Setup::default()).await;
    let leader = cluster.leader().await;
    let others = cluster.others(leader);
    let writers = Writers::start(others.iter().map(|n| cluster.node(*n).client().clone()), 32);
    eventually("1000 writes", PATIENCE, async || enough(writers.acknowledged(), 1000)).await;
    cluster.node(leader).signal("TERM");
    let status = cluster.node_mut(leader).ended(Duration::from_secs(8)).await;
    assert!(status.success(), "{status}");
    let new = cluster.leader_among(&others).await;
    let then = writers.acknowledged();
    eventually("1000 writes more", PATIENCE, async || enough(writers.acknowledged(), then + 1000)).await;
    let history = writers.stop().await;
    println!(
        "node {new} leads; {} acknowledged, longest gap {:?}",
        history.acknowledged.len(),
        history.longest_gap
    );
    assert_eq!((history.unknown, history.refused), (0, 0), "{}", history.last_error);
    for number in others {
        history
            .check(cluster.node(number).client())
            .await
            .unwrap_or_else(|lost| panic!("at node {number}: {lost}"));
    }
    assert!(!cluster.folder().join(format!("node-{leader}.sock")).exists(), "the socket is left behind");
}
