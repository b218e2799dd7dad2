//! Nodes that come back with empty hands.

use rauthy_processes::{Cluster, Counters, Load, PATIENCE, Setup, Writers, eventually};

use crate::election::enough;

/// Every node is killed once, each when the one before is ready again: nothing is lost, though no node has a disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_kill_loses_nothing() {
    let mut cluster = Cluster::start(Setup::default()).await;
    let generation = cluster.node(1).status().await.unwrap().generation;
    cluster.put(1, "from the beginning", "still there").await;
    let recorder = cluster.record(Load { each: 3, ..Load::default() }).await;
    let counters = Counters::start(&cluster);
    let writers = Writers::start(cluster.nodes().map(|n| n.client().clone()), 2);
    for number in 1..=3 {
        let now = writers.acknowledged();
        eventually("200 writes", PATIENCE, async || enough(writers.acknowledged(), now + 200)).await;
        cluster.node_mut(number).kill();
        cluster.ready(&cluster.others(number)).await;
        cluster.node_mut(number).start();
        cluster.all_ready().await;
        assert_eq!(cluster.get(number, "from the beginning").await, Ok(Some("still there".into())));
    }
    let history = writers.stop().await;
    let views = cluster.all_ready().await;
    assert!(views.iter().all(|v| v.generation == generation), "the data was lost: {views:?}");
    for node in cluster.nodes() {
        history.check(node.client()).await.unwrap_or_else(|lost| panic!("at node {}: {lost}", node.number));
    }
    let counted = counters.stop().await.check(cluster.node(1).client()).await;
    println!("{}", counted.unwrap_or_else(|wrong| panic!("{wrong}")));
    recorder.stop(PATIENCE).await.unwrap().holds_after_deaths("a rolling kill", 300);
    assert_eq!(cluster.get(2, "from the beginning").await, Ok(Some("still there".into())));
    cluster.same_data().await;
}

/// All nodes at once: what only memory held is gone, and the cluster says so by a new generation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_at_once_is_a_new_generation() {
    let mut cluster = Cluster::start(Setup::default()).await;
    let before = cluster.node(1).status().await.unwrap().generation;
    cluster.put(1, "key", "value").await;
    for number in 1..=3 {
        cluster.node_mut(number).kill();
    }
    for number in 1..=3 {
        cluster.node_mut(number).start();
    }
    let views = cluster.all_ready().await;
    assert!(views.iter().all(|v| v.generation != before), "{views:?}");
    for number in 1..=3 {
        assert_eq!(cluster.get(number, "key").await, Ok(None));
    }
}
