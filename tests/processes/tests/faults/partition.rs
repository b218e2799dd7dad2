//! A node that is cut off serves nothing, whatever it was before.

use std::time::Duration;

use rauthy_processes::{Cluster, Load, PATIENCE, Probes, Setup, eventually};
use tokio::time::Instant;

/// Requests that are made later than this after the loss of the quorum are refused, and nothing else.
pub(crate) const REFUSES_AFTER: Duration = Duration::from_millis(1500);
/// L, after which no lease of before can be valid any more, with room for the drift of clocks.
pub(crate) const LEASE: Duration = Duration::from_millis(1100);

/// Who was cut off is ready again so long after the network has healed.
const REJOINED: Duration = Duration::from_secs(3);

/// Cuts `victim` off, looks at both sides, and heals.
async fn cut_off(cluster: &Cluster, victim: usize, round: &str) {
    let others = cluster.others(victim);
    let key = format!("key {round}");
    cluster.put(victim, &key, "old").await;
    for number in 1..=3 {
        cluster.reads(number, &key, "old").await;
    }
    let probes = Probes::start(cluster.node(victim).client().clone(), &key);
    cluster.net.cut(victim);
    let cut = Instant::now();

    cluster.leader_among(&others).await;
    eventually("the majority writes", PATIENCE, async || {
        let put = cluster.node(others[0]).client().put("test", key.clone(), "new", Default::default()).await;
        put.map_err(|e| e.to_string())
    })
    .await;
    cluster.reads(others[1], &key, "new").await;
    // The minority is watched for longer than elections take.
    eventually("5 s without a quorum", PATIENCE, async || match cut.elapsed() {
        long if long >= Duration::from_secs(5) => Ok(()),
        short => Err(format!("{short:?}")),
    })
    .await;
    let (status, why) = cluster.http(victim, "readyz");
    assert_eq!(status, 503, "{why}");
    let (status, why) = cluster.http(victim, "livez");
    assert_eq!(status, 200, "no quorum is no reason to be restarted: {why}");

    let healed = Instant::now();
    cluster.net.heal(victim);
    cluster.all_ready().await;
    let rejoined = healed.elapsed();
    assert!(rejoined < REJOINED, "ready {rejoined:?} after healing");
    for number in 1..=3 {
        assert_eq!(cluster.get(number, &key).await, Ok(Some("new".into())), "at node {number} after healing");
    }
    let refused = probes.stop().await.refused(cut, LEASE, REFUSES_AFTER, healed);
    println!("{round} cut off: {refused:?}; ready {rejoined:?} after healing");
    cluster.same_data().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minority_refuses_and_never_serves_a_stale_value() {
    let cluster = Cluster::start(Setup::default()).await;
    let generation = cluster.node(1).status().await.unwrap().generation;
    let leader = cluster.leader().await;
    let recorder = cluster.record(Load { each: 2, ..Load::default() }).await;
    cut_off(&cluster, leader, "leader").await;
    let leader = cluster.leader().await;
    cut_off(&cluster, cluster.others(leader)[0], "follower").await;
    recorder.stop(PATIENCE).await.unwrap().holds("a minority of one, twice", 200);
    let views = cluster.all_ready().await;
    assert!(views.iter().all(|v| v.generation == generation), "the data was lost: {views:?}");
}

/// Cut off for longer than T_inv: the node throws its copy away, and takes a new one when it is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minority_wipes_after_a_while_and_comes_back() {
    let t_inv = Duration::from_secs(4);
    let cluster = Cluster::start(Setup { invalidate_after: t_inv, ..Setup::default() }).await;
    let leader = cluster.leader().await;
    let victim = cluster.others(leader)[0];
    cluster.put(leader, "key", "old").await;
    let recorder = cluster.record(Load { each: 2, ..Load::default() }).await;
    cluster.net.cut(victim);
    let cut = Instant::now();
    eventually("the wipe", PATIENCE, async || {
        let view = cluster.node(victim).status().await?;
        if view.wipes > 0 && view.entries == 0 { Ok(()) } else { Err(format!("{view:?}")) }
    })
    .await;
    let wiped = cut.elapsed();
    assert!(wiped + LEASE >= t_inv, "its copy lived for {wiped:?} only");
    cluster.put(leader, "key", "new").await;
    cluster.net.heal(victim);
    let healed = Instant::now();
    cluster.ready(&[victim]).await;
    let rejoined = healed.elapsed();
    println!("wiped {wiped:?} after the cut, ready {rejoined:?} after healing");
    cluster.reads(victim, "key", "new").await;
    assert!(rejoined < REJOINED, "ready {rejoined:?} after healing");
    recorder.stop(PATIENCE).await.unwrap().holds("a minority that was wiped", 30);
    cluster.same_data().await;
}
