//! Hosts with IPv6 alone, and with both: the same cluster, and the same way out when a path is lost.

use std::time::Duration;

use rauthy_processes::{Cluster, Family, Load, Net, PATIENCE, Setup, eventually};
use tokio::time::Instant;

use crate::election::elects_and_shares;

/// Kills the leader, writes through the new one, and takes the old one back; nothing is lost.
async fn fails_over(cluster: &mut Cluster) {
    let generation = cluster.node(1).status().await.unwrap().generation;
    let leader = cluster.leader().await;
    let others = cluster.others(leader);
    cluster.put(leader, "before", "the leader died").await;
    let recorder = cluster.record(Load { each: 1, ..Load::default() }).await;
    cluster.node_mut(leader).kill();
    let new = cluster.leader_among(&others).await;
    cluster.put(new, "after", "the leader died").await;
    cluster.node_mut(leader).start();
    let views = cluster.all_ready().await;
    assert!(views.iter().all(|v| v.generation == generation), "the data was lost: {views:?}");
    for number in 1..=3 {
        for key in ["before", "after"] {
            cluster.reads(number, key, "the leader died").await;
        }
    }
    recorder.stop(PATIENCE).await.unwrap().holds_after_deaths("the leader was killed", 20);
    cluster.same_data().await;
}

/// Not one IPv4 address in any of the hosts: mesh, probes and metrics work over IPv6.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ipv6_alone_elects_shares_and_fails_over() {
    let mut cluster = elects_and_shares(Setup { family: Family::Six, ..Setup::default() }).await;
    assert!(cluster.nodes().all(|node| node.slot.starts_with("[fd77::")));
    let (status, body) = cluster.http_of(1, &Net::address6(2), "readyz");
    assert_eq!((status, body.trim()), (200, "ready"), "the port for probes, from another host");
    fails_over(&mut cluster).await;
}

/// Names that stand for an address of each family. When IPv6 loses everything, silently, the members find each other
/// over IPv4, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_families_are_used_and_one_is_enough() {
    let invalidate_after = Duration::from_secs(30);
    let setup = Setup { family: Family::Both, invalidate_after, ..Setup::default() };
    let mut cluster = elects_and_shares(setup).await;
    let generation = cluster.node(1).status().await.unwrap().generation;
    for host in [Net::address(2), Net::address6(2)] {
        let (status, body) = cluster.http_of(1, &host, "readyz");
        assert_eq!((status, body.trim()), (200, "ready"), "at {host}");
    }
    cluster.put(1, "before", "IPv6 was lost").await;
    cluster.net.lose_ipv6();
    let lost = Instant::now();
    eventually("a write at every node over IPv4", 2 * PATIENCE, async || {
        for node in cluster.nodes() {
            let put = node.client().put("test", "after", "IPv6 was lost", Default::default()).await;
            put.map_err(|e| format!("node {}: {e}", node.number))?;
        }
        Ok(())
    })
    .await;
    let views = cluster.all_ready().await;
    println!("over IPv4 {:?} after IPv6 was lost", lost.elapsed());
    assert!(views.iter().all(|v| v.generation == generation), "the data was lost: {views:?}");
    for number in 1..=3 {
        cluster.reads(number, "before", "IPv6 was lost").await;
        cluster.reads(number, "after", "IPv6 was lost").await;
    }
    fails_over(&mut cluster).await;
}
