//! A leader that is cut off for so long that it throws its copy away.

use std::time::Duration;

use rauthy_processes::{Cluster, Load, PATIENCE, Probes, Setup, Stalls, eventually};
use tokio::time::Instant;

use crate::links::STALLED;
use crate::partition::{LEASE, REFUSES_AFTER};

/// CACHE_INVALIDATE_AFTER here.
const T_INV: Duration = Duration::from_secs(4);
/// Who was cut off is ready again so long after the network has healed.
const REJOINED: Duration = Duration::from_secs(3);

/// It refuses, then wipes, while the others elect and go on; it comes back with what they have, and takes no lead with
/// what it had.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_wipes_after_a_while_and_comes_back() {
    let cluster = Cluster::start(Setup { invalidate_after: T_INV, ..Setup::default() }).await;
    let victim = cluster.leader().await;
    let others = cluster.others(victim);
    let generation = cluster.node(victim).status().await.unwrap().generation;
    cluster.put(victim, "key", "old").await;
    for number in 1..=3 {
        cluster.reads(number, "key", "old").await;
    }
    let recorder = cluster.record(Load { each: 2, ..Load::default() }).await;
    let probes = Probes::start(cluster.node(victim).client().clone(), "key");
    cluster.net.cut(victim);
    let cut = Instant::now();
    let new = cluster.leader_among(&others).await;
    eventually("the majority writes", PATIENCE, async || {
        let put = cluster.node(new).client().put("test", "key", "new", Default::default()).await;
        put.map_err(|e| e.to_string())
    })
    .await;
    let view = eventually("the wipe", PATIENCE, async || {
        let view = cluster.node(victim).status().await?;
        if view.wipes > 0 && view.entries == 0 { Ok(view) } else { Err(format!("{view:?}")) }
    })
    .await;
    let wiped = cut.elapsed();
    assert!(wiped + LEASE >= T_INV, "its copy lived for {wiped:?} only");
    assert!(!view.ready && view.generation.is_empty() && view.leader.is_empty(), "{view:?}");
    let (status, why) = cluster.http(victim, "readyz");
    assert_eq!(status, 503, "{why}");

    let stalls = Stalls::watch();
    cluster.net.heal(victim);
    let healed = Instant::now();
    cluster.ready(&[victim]).await;
    let (rejoined, stood) = (healed.elapsed(), stalls.longest());
    let refused = probes.stop().await.refused(cut, LEASE, REFUSES_AFTER, healed);
    println!(
        "the leader: {refused:?}; wiped {wiped:?} after the cut, ready {rejoined:?} after healing ({stood:?})"
    );
    if rejoined >= REJOINED && stood > STALLED {
        println!("EXCUSED: rejoining took {rejoined:?}, the machine stood still for {stood:?}");
    } else {
        assert!(rejoined < REJOINED, "ready {rejoined:?} after healing");
    }
    let views = cluster.all_ready().await;
    assert!(views.iter().all(|v| v.generation == generation), "the others' data was lost: {views:?}");
    for number in 1..=3 {
        cluster.reads(number, "key", "new").await;
    }
    recorder.stop(PATIENCE).await.unwrap().holds("a leader that was wiped", 30);
    cluster.same_data().await;
}
