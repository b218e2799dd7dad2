//! A network that is slow elects nobody.

use std::time::Duration;

use futures::future::join_all;
use rauthy_processes::{Cluster, Load, PATIENCE, Setup, Stalls, always, span};

use crate::links::{SILENT, nothing_elected};

/// Each packet takes so long: there and back is twice that.
async fn slow(delay: Duration, long: Duration) {
    let cluster = Cluster::start(Setup { delay, ..Setup::default() }).await;
    let before = cluster.elections().await;
    let stalls = Stalls::watch();
    let deadline = Duration::from_secs(5);
    let recorder = cluster.record(Load { each: 1, deadline, ..Load::default() }).await;
    let marker = recorder.marker();
    let mut refused = 0;
    always(&format!("{delay:?} delay: every agent answers"), long, async || {
        for node in cluster.nodes() {
            let view = node.status().await?;
            refused += u32::from(!view.ready);
        }
        Ok(())
    })
    .await;
    marker.mark();
    let after = cluster.elections().await;
    let record = recorder.stop(PATIENCE).await.unwrap();
    let what = format!("{delay:?} delay for {long:?}");
    println!("{what}: seen not ready {refused} times");
    let summary = record.holds(&what, long.as_secs() as usize);
    // Every node serves all the time: a write goes there and back twice at most, and its reads no more often.
    for (node, written) in &summary.through[0] {
        let gap = summary.gaps[0][node][0];
        println!("{what}: node {node} acknowledged {written} writes, the longest pause was {gap:?}");
        let least = long.as_secs() as usize / 4;
        assert!(*written >= least, "{what}: {written} writes at node {node}, not even {least}");
        assert!(gap < 2 * SILENT, "{what}: no write was answered at node {node} for {gap:?}");
    }
    nothing_elected(&what, &before, &after, stalls);
    cluster.same_data().await;
}

/// Both at once: they wait most of the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_and_a_hundred_and_fifty_milliseconds_elect_nobody() {
    let long = span(Duration::from_secs(60), Duration::from_secs(300));
    join_all([40, 150].map(|delay| slow(Duration::from_millis(delay), long))).await;
}
