//! A node that comes back without its memory while another one is cut off founds nothing beside what may still live.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use rauthy_processes::{Cluster, Load, PATIENCE, Recorder, Setup, always, eventually};
use tokio::time::Instant;

/// CACHE_INVALIDATE_AFTER here: room for what has to happen before it, and no longer to wait than need be.
const T_INV: Duration = Duration::from_secs(6);
/// Views that were taken within this time are of one moment: no lease ends and a new generation begins in it.
const ONE_MOMENT: Duration = Duration::from_millis(300);

/// Of all that are ready at one moment, each is in the same generation.
async fn one_generation(cluster: &Cluster) -> Result<(), String> {
    let began = Instant::now();
    let mut ready = BTreeSet::new();
    for node in cluster.nodes() {
        if let Ok(view) = node.status().await
            && view.ready
        {
            ready.insert(view.generation);
        }
    }
    if ready.len() > 1 && began.elapsed() < ONE_MOMENT { Err(format!("{ready:?}")) } else { Ok(()) }
}

struct Scene {
    cluster: Cluster,
    generation: String,
    recorder: Recorder,
    one: usize,
    two: usize,
    three: usize,
}

/// Node `two` is cut off, node `one` dies and comes back without its memory.
async fn begin(the_leader_dies: bool) -> Scene {
    let mut cluster = Cluster::start(Setup { invalidate_after: T_INV, ..Setup::default() }).await;
    let generation = cluster.node(1).status().await.unwrap().generation;
    let leader = cluster.leader().await;
    let others = cluster.others(leader);
    let (one, two, three) =
        if the_leader_dies { (leader, others[0], others[1]) } else { (others[0], others[1], leader) };
    cluster.put(three, "kept?", "from before").await;
    for number in 1..=3 {
        cluster.reads(number, "kept?", "from before").await;
    }
    let pause = Duration::from_millis(40);
    let recorder = cluster.record(Load { each: 2, pause, ..Load::default() }).await;
    eventually("100 answers", PATIENCE, async || crate::election::enough(recorder.answered(), 100)).await;
    cluster.net.cut(two);
    cluster.node_mut(one).kill();
    cluster.node_mut(one).start();
    Scene { cluster, generation, recorder, one, two, three }
}

/// Healed before T_inv: `two` and `three` hold everything, `one` learns it from them.
async fn healed_in_time(the_leader_dies: bool) {
    let Scene { cluster, generation, recorder, one, two, three } = begin(the_leader_dies).await;
    always("nobody is ready, nobody founds", T_INV / 2, async || {
        for number in [one, three] {
            let Ok(view) = cluster.node(number).status().await else { continue };
            if view.ready && number == one || !view.generation.is_empty() && view.generation != generation {
                return Err(format!("{view:?}"));
            }
        }
        one_generation(&cluster).await
    })
    .await;
    cluster.net.heal(two);
    let views = cluster.all_ready().await;
    assert!(views.iter().all(|v| v.generation == generation), "the data was lost: {views:?}");
    for number in 1..=3 {
        assert_eq!(cluster.get(number, "kept?").await, Ok(Some("from before".into())), "at node {number}");
    }
    let summary = recorder.stop(PATIENCE).await.unwrap().holds_after_deaths("healed in time", 40);
    assert_eq!(summary.generations.len(), 1);
    cluster.same_data().await;
}

/// Never healed until `one` and `three` have begun anew: what they begin does not live beside the old one.
async fn healed_too_late(the_leader_dies: bool) {
    let Scene { cluster, generation, recorder, one, two, three } = begin(the_leader_dies).await;
    let mut new = String::new();
    let both = "a new generation of those that hear each other, and never two at a time";
    eventually(both, PATIENCE, async || {
        if let Err(seen) = one_generation(&cluster).await {
            panic!("two clusters: {seen}");
        }
        for number in [one, three] {
            let view = cluster.node(number).status().await?;
            if !view.ready || view.generation == generation {
                return Err(format!("{view:?}"));
            }
            new = view.generation;
        }
        Ok(())
    })
    .await;
    assert_eq!(cluster.get(three, "kept?").await, Ok(None), "a new generation begins empty");
    cluster.put(one, "kept?", "from after").await;
    always("the one that is cut off serves nothing", Duration::from_secs(2), async || {
        match cluster.get(two, "kept?").await {
            Ok(value) => Err(format!("{value:?}")),
            Err(_) => one_generation(&cluster).await,
        }
    })
    .await;
    cluster.net.heal(two);
    let views = cluster.all_ready().await;
    assert!(views.iter().all(|v| v.generation == new), "{views:?}");
    cluster.reads(two, "kept?", "from after").await;
    let summary = recorder.stop(PATIENCE).await.unwrap().holds_after_deaths("healed too late", 80);
    assert_eq!(summary.generations.len(), 2);
    cluster.same_data().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_beside_a_cut_is_never_a_second_cluster() {
    futures::join!(join_all([true, false].map(healed_in_time)), join_all([true, false].map(healed_too_late)));
}
