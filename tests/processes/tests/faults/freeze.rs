//! Processes that stand still for a while, as in a machine that is paused.

use std::time::Duration;

use rauthy_processes::{Cluster, Load, PATIENCE, Probes, Setup, always, eventually};
use tokio::time::Instant;

use crate::partition::{LEASE, REFUSES_AFTER};

/// How long a leader stands still.
const FROZEN: Duration = Duration::from_secs(30);

/// Freezes two of three for so long. The third one refuses within 2 s and serves nothing until they are back.
async fn freeze_two(cluster: &Cluster, frozen: [usize; 2], third: usize, long: Duration) {
    let probes = Probes::start(cluster.node(third).client().clone(), "key");
    for number in frozen {
        cluster.node(number).freeze();
    }
    let froze = Instant::now();
    eventually("the end of the pause", 2 * long, async || match froze.elapsed() {
        passed if passed >= long => Ok(()),
        passed => Err(format!("{passed:?}")),
    })
    .await;
    let thawed = Instant::now();
    for number in frozen {
        cluster.node(number).thaw();
    }
    let refused = probes.stop().await.refused(froze, LEASE, REFUSES_AFTER, thawed);
    println!("after the others froze: {refused:?}");
}

/// Less than T_inv: the values are kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_three_frozen_for_5_s_keep_their_values() {
    let cluster = Cluster::start(Setup::default()).await;
    let generation = cluster.node(1).status().await.unwrap().generation;
    let leader = cluster.leader().await;
    let others = cluster.others(leader);
    cluster.put(leader, "key", "kept").await;
    freeze_two(&cluster, [leader, others[0]], others[1], Duration::from_secs(5)).await;
    let views = cluster.all_ready().await;
    assert!(views.iter().all(|v| v.generation == generation), "{views:?}");
    for number in 1..=3 {
        assert_eq!(cluster.get(number, "key").await, Ok(Some("kept".into())));
    }
    cluster.same_data().await;
}

/// 2 × T_inv: a new, empty generation. T_inv is 4 s here instead of 10 s, to spare the time of whoever waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_of_three_frozen_for_twice_t_inv_begin_anew() {
    let t_inv = Duration::from_secs(4);
    let cluster = Cluster::start(Setup { invalidate_after: t_inv, ..Setup::default() }).await;
    let generation = cluster.node(1).status().await.unwrap().generation;
    let leader = cluster.leader().await;
    let others = cluster.others(leader);
    cluster.put(leader, "key", "lost").await;
    freeze_two(&cluster, [leader, others[0]], others[1], 2 * t_inv).await;
    eventually("a new generation everywhere", PATIENCE, async || {
        for number in 1..=3 {
            let view = cluster.node(number).status().await?;
            // What was frozen may not serve the old value when it wakes up, not for a moment.
            if let Ok(Some(value)) = cluster.get(number, "key").await {
                panic!("node {number} serves {value} of the old generation");
            }
            if !view.ready || view.generation == generation {
                return Err(format!("{view:?}"));
            }
        }
        Ok(())
    })
    .await;
    for number in 1..=3 {
        assert_eq!(cluster.get(number, "key").await, Ok(None), "at node {number}");
    }
    cluster.put(others[1], "key", "new").await;
    cluster.reads(leader, "key", "new").await;
}

/// A leader that was frozen for 30 s, three times T_inv, while another one took over serves nothing of before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_leader_serves_nothing_stale_when_it_wakes_up() {
    let cluster = Cluster::start(Setup::default()).await;
    let leader = cluster.leader().await;
    let others = cluster.others(leader);
    cluster.put(leader, "key", "old").await;
    let pause = Duration::from_millis(80);
    let recorder = cluster.record(Load { each: 2, pause, ..Load::default() }).await;
    cluster.node(leader).freeze();
    let froze = Instant::now();
    cluster.leader_among(&others).await;
    eventually("a write under the new leader", PATIENCE, async || {
        let put = cluster.node(others[0]).client().put("test", "key", "new", Default::default()).await;
        put.map_err(|e| e.to_string())
    })
    .await;
    always("the others serve", FROZEN.saturating_sub(froze.elapsed()), async || {
        cluster.put(others[0], "alive", "yes").await;
        Ok(())
    })
    .await;
    // The reads wait in the socket of the frozen process and are the first thing that it sees.
    let early: Vec<_> = (0..60)
        .map(|n| {
            let client = cluster.node(leader).client().clone().with_deadline(PATIENCE);
            tokio::spawn(async move {
                if n % 3 == 0 {
                    client.get_linearizable("test", "key").await
                } else {
                    client.get("test", "key").await
                }
            })
        })
        .collect();
    cluster.node(leader).thaw();
    let mut answers = 0;
    for read in early {
        if let Ok(found) = read.await.unwrap() {
            let value = found.map(|f| f.value.to_vec());
            assert_eq!(value, Some(b"new".to_vec()), "one of the first reads after waking up");
            answers += 1;
        }
    }
    eventually("the new value at the old leader", PATIENCE, async || {
        match cluster.get(leader, "key").await {
            Ok(Some(value)) if value == "new" => Ok(()),
            Ok(other) => panic!("the old leader serves {other:?}"),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
    cluster.all_ready().await;
    println!(
        "frozen for {:?}; {answers} of 60 reads that had waited were answered, rightly",
        froze.elapsed()
    );
    recorder.stop(PATIENCE).await.unwrap().holds("a leader that was frozen", 200);
    cluster.same_data().await;
}
