//! A cluster comes to be, and outlives its leader.

use std::time::Duration;

use rauthy_client::{AckLevel, PutOptions, Role};
use rauthy_processes::{Cluster, Load, PATIENCE, Setup, Writers, eventually};
use tokio::time::Instant;

/// One leader, one generation; what one node wrote all others read; the probes say so too.
pub(crate) async fn elects_and_shares(setup: Setup) -> Cluster {
    let cluster = Cluster::start(setup).await;
    let views = cluster.all_ready().await;
    let leaders = views.iter().filter(|v| v.role() == Role::Leader).count();
    assert_eq!(leaders, 1, "{views:?}");
    assert!(views.iter().all(|v| v.certificate_expires_in_s > 0 || !setup.tls), "{views:?}");
    for writer in 1..=setup.nodes {
        let (key, value) = (format!("from {writer}"), format!("value {writer}"));
        cluster.put(writer, &key, &value).await;
        for reader in 1..=setup.nodes {
            cluster.reads(reader, &key, &value).await;
        }
    }
    assert_eq!(cluster.get(1, "never written").await, Ok(None));
    let client = cluster.node(1).client();
    assert_eq!(client.delete("test", "from 1", AckLevel::Quorum).await, Ok(true));
    assert_eq!(client.delete("test", "from 1", AckLevel::Quorum).await, Ok(false));
    let short = PutOptions { ttl: Some(Duration::from_millis(300)), ack: AckLevel::Leader, deadline: None };
    client.put("test", "short", "lived", short).await.unwrap();
    for reader in 1..=setup.nodes {
        eventually("the end of a value with ttl", PATIENCE, async || {
            match cluster.get(reader, "short").await {
                Ok(None) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await;
    }
    cluster.same_data().await;
    for (probe, answer) in [("livez", "alive"), ("readyz", "ready"), ("startupz", "started")] {
        let (status, body) = cluster.http(1, probe);
        assert_eq!((status, body.trim()), (200, answer), "/{probe}");
    }
    let (status, metrics) = cluster.http(1, "metrics");
    assert_eq!(status, 200);
    assert!(metrics.contains(r#"operation="put",level="quorum",outcome="ok"} "#), "{metrics}");
    assert!(metrics.trim_end().ends_with("# EOF"), "{metrics}");
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_elect_and_share() {
    elects_and_shares(Setup::default()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_nodes_without_tls_elect_and_share() {
    elects_and_shares(Setup { nodes: 5, tls: false, ..Setup::default() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_is_a_cluster() {
    elects_and_shares(Setup { nodes: 1, ..Setup::default() }).await;
}

/// Without HA_MODE: no list, no token, no certificate, no peers, and the same service.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_node_needs_no_settings() {
    let mut cluster = Cluster::prepare(Setup { nodes: 1, ..Setup::default() });
    cluster.node_mut(1).environment.retain(|name, _| ["CACHE_LISTEN", "AGENT_HTTP"].contains(name));
    cluster.node_mut(1).start();
    cluster.all_ready().await;
    cluster.put(1, "key", "value").await;
    assert_eq!(cluster.get(1, "key").await, Ok(Some("value".into())));
    assert_eq!(cluster.get(1, "none").await, Ok(None));
}

/// Until somebody leads after the leader's death.
const NEW_LEADER: Duration = Duration::from_secs(3);

/// SIGKILL of the leader under 64 writers: a new leader within 3 s, nothing acknowledged is lost, and what everybody was
/// told is linearizable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_is_killed_under_writers() {
    let mut cluster = Cluster::start(Setup::default()).await;
    let leader = cluster.leader().await;
    let others = cluster.others(leader);
    let before = cluster.node(leader).status().await.unwrap();
    let recorder = cluster.record(Load { each: 2, ..Load::default() }).await;
    let writers = Writers::start(others.iter().map(|n| cluster.node(*n).client().clone()), 32);
    eventually("1000 writes", PATIENCE, async || enough(writers.acknowledged(), 1000)).await;
    cluster.node_mut(leader).kill();
    let killed = Instant::now();
    let new = cluster.leader_among(&others).await;
    let elected = killed.elapsed();
    assert_ne!(new, leader);
    let then = writers.acknowledged();
    eventually("1000 writes under the new leader", PATIENCE, async || {
        enough(writers.acknowledged(), then + 1000)
    })
    .await;
    let history = writers.stop().await;
    println!(
        "a new leader after {elected:?}; {} acknowledged, {} unknown, {} refused, longest gap {:?}",
        history.acknowledged.len(),
        history.unknown,
        history.refused,
        history.longest_gap
    );
    assert!(elected < NEW_LEADER, "a new leader after {elected:?}");
    cluster.node_mut(leader).start();
    let views = cluster.all_ready().await;
    assert!(views.iter().all(|v| v.generation == before.generation), "the data was lost: {views:?}");
    recorder.stop(PATIENCE).await.unwrap().holds_after_deaths("the leader was killed", 60);
    for node in cluster.nodes() {
        history.check(node.client()).await.unwrap_or_else(|lost| panic!("at node {}: {lost}", node.number));
    }
    cluster.same_data().await;
}

pub(crate) fn enough(now: u64, wanted: u64) -> Result<(), String> {
    if now >= wanted { Ok(()) } else { Err(format!("{now} of {wanted}")) }
}
