//! Who does not know the token, comes with certificates of another authority, or is a second process of a member, is no
//! member, and both sides say so and count it.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use rauthy_client::NodeStatus;
use rauthy_processes::{Cluster, Load, Net, Node, PATIENCE, Setup, Stalls, certify, eventually};

use crate::links::nothing_elected;

/// Starts a cluster in which node 3 is a stranger, and checks that the others do without it and that each side names
/// the other with one of `reasons`.
async fn stranger(mut cluster: Cluster, reasons: &[&str]) {
    for number in 1..=3 {
        cluster.node_mut(number).start();
    }
    cluster.ready(&[1, 2]).await;
    cluster.put(1, "secret", "for members only").await;
    cluster.reads(2, "secret", "for members only").await;
    for (at, about) in [(1, 3), (2, 3), (3, 1)] {
        let slot = cluster.node(about).slot.clone();
        let what = format!("node {at} reports node {about} with one of {reasons:?}");
        eventually(&what, PATIENCE, async || {
            let view = cluster.node(at).status().await?;
            if names(&view, &slot, about, reasons) { Ok(()) } else { Err(format!("{view:?}")) }
        })
        .await;
    }
    // On both sides, as callers and as those who are called.
    for at in [1, 2, 3] {
        let counts = counted(&cluster, at);
        let known = |line: &&String| reasons.iter().any(|reason| line.to_lowercase().contains(reason));
        assert!(counts.iter().any(|line| known(&line)), "node {at} counts {counts:?}, none of {reasons:?}");
    }
    let lonely = cluster.node(3).status().await.unwrap();
    assert!(!lonely.ready && lonely.generation.is_empty() && lonely.entries == 0, "{lonely:?}");
    assert_eq!(cluster.refuses(3, "secret").await, Ok(()));
    let member = cluster.node(1).status().await.unwrap();
    let seat = member.members.iter().find(|m| m.slot == lonely.slot).unwrap();
    assert!(!seat.connected && !seat.caught_up, "{seat:?}");
}

/// What a node counts of refusals, its own and those of others, and of dials that failed, where that is not 0.
fn counted(cluster: &Cluster, at: usize) -> Vec<String> {
    // Where nobody answers yet, nothing is counted.
    let (_, metrics) = cluster.asks(at, "metrics")().unwrap_or_default();
    let families = ["rauthy_refusals_total{", "rauthy_dial_failures_total{"];
    let counts = metrics.lines().filter(|line| families.iter().any(|family| line.starts_with(family)));
    counts.filter(|line| !line.ends_with(" 0")).map(ToOwned::to_owned).collect()
}

/// In the list of the refused, or as the reason why the link to it does not stand.
fn names(view: &NodeStatus, slot: &str, number: usize, reasons: &[&str]) -> bool {
    let known = |text: &str| {
        let text = text.to_lowercase();
        reasons.iter().any(|r| text.contains(r))
    };
    let address = format!("{}:", Net::address(number));
    view.refusals.iter().any(|r| (r.claimed == slot || r.from.starts_with(&address)) && known(&r.reason))
        || view.members.iter().any(|m| m.slot == slot && !m.connected && known(&m.link_error))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_never_joins() {
    let mut cluster = Cluster::prepare(Setup::default());
    cluster.node_mut(3).environment.insert("CACHE_AUTH_TOKEN", "a token from somewhere else".into());
    stranger(cluster, &["token"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_token_never_joins_without_tls_either() {
    let mut cluster = Cluster::prepare(Setup { tls: false, ..Setup::default() });
    cluster.node_mut(3).environment.insert("CACHE_AUTH_TOKEN", "a token from somewhere else".into());
    stranger(cluster, &["token"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_authority_never_joins() {
    let mut cluster = Cluster::prepare(Setup::default());
    let foreign = cluster.authority("foreign", 3);
    certify(&mut cluster.node_mut(3).environment, &foreign);
    stranger(cluster, &["certificate", "unknown ca", "unknownca", "unknownissuer", "tls"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_cluster_with_the_same_token_never_joins() {
    let mut cluster = Cluster::prepare(Setup::default());
    cluster.node_mut(3).environment.insert("CACHE_CLUSTER_NAME", "other".into());
    stranger(cluster, &["cluster"]).await;
}

/// The wrong authority is counted by each side as what it is there: members refuse whoever calls with it, and do not
/// reach whoever shows it; and he the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_authority_is_counted_by_caller_and_called() {
    let mut cluster = Cluster::prepare(Setup::default());
    let foreign = cluster.authority("foreign", 3);
    certify(&mut cluster.node_mut(3).environment, &foreign);
    for number in 1..=3 {
        cluster.node_mut(number).start();
    }
    for at in [1, 2, 3] {
        eventually(&format!("node {at} counts both"), PATIENCE, async || {
            let counts = counted(&cluster, at);
            let has = |name: &str| counts.iter().any(|l| l.starts_with(name) && l.contains("reason=\"TLS\""));
            let both = has("rauthy_refusals_total{") && has("rauthy_dial_failures_total{");
            if both { Ok(()) } else { Err(format!("{counts:?}")) }
        })
        .await;
    }
}

/// Whether this line of [`counted`] stands there.
fn duplicate(counts: &[String]) -> bool {
    counts.iter().any(|l| l.starts_with("rauthy_refusals_total{") && l.contains("reason=\"DUPLICATE_SLOT\""))
}

/// A second process of a slot, with the right token and certificate, beside three members at work: it is refused, both
/// sides say so, and nothing happens to the first. When that is gone, the second takes its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_of_a_slot_is_refused() {
    let mut cluster = Cluster::start(Setup { strangers: 1, ..Setup::default() }).await;
    let before = cluster.elections().await;
    let stalls = Stalls::watch();
    let recorder = cluster.record(Load { each: 2, ..Load::default() }).await;
    let leader = cluster.leader().await;
    let first = cluster.others(leader)[0];
    let members = cluster.others(first);
    let slot = cluster.node(first).slot.clone();
    let mut second: Node = cluster.double(first, 4);
    second.start();
    let knocks = Net::address(4);
    for at in members.clone() {
        eventually(&format!("node {at} names and counts it"), PATIENCE, async || {
            let view = cluster.node(at).status().await?;
            let named = view.refusals.iter().any(|refusal| {
                refusal.from.contains(&knocks)
                    && refusal.claimed == slot
                    && refusal.reason == "DUPLICATE_SLOT"
            });
            let counts = counted(&cluster, at);
            if named && duplicate(&counts) { Ok(()) } else { Err(format!("{counts:?}: {:?}", view.refusals)) }
        })
        .await;
    }
    eventually("it says why it is no member", PATIENCE, async || {
        let view = second.status().await?;
        let told = view.members.iter().filter(|m| !m.connected && m.link_error.contains("DUPLICATE_SLOT"));
        let counts = counted(&cluster, 4);
        let right = told.count() == 2 && duplicate(&counts) && !view.ready && view.generation.is_empty();
        if right { Ok(()) } else { Err(format!("{counts:?}: {view:?}")) }
    })
    .await;
    let read = second.client().get("test", "key 0").await;
    assert_eq!(read, Err(rauthy_client::Error::NoQuorum));
    // The first one noticed nothing, and served all the time.
    let views = cluster.all_ready().await;
    assert!(views.iter().all(|view| view.members.iter().all(|m| m.me || m.connected)), "{views:?}");
    recorder.stop(PATIENCE).await.unwrap().holds("a second process of a slot", 60);
    nothing_elected("a second process of a slot", &before, &cluster.elections().await, stalls);
    cluster.same_data().await;

    let leader = cluster.leader_among(&members).await;
    cluster.put(leader, "from before", "still there").await;
    cluster.node_mut(first).kill();
    eventually("the second takes its place", PATIENCE, async || match second.status().await? {
        view if view.ready => Ok(()),
        view => Err(format!("{view:?}")),
    })
    .await;
    let found = second.client().get("test", "from before").await.unwrap().map(|found| found.value);
    assert_eq!(found.as_deref(), Some("still there".as_bytes()));
}

/// A plain HTTP/2 client gets nothing from a port with TLS, not a byte of HTTP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plain_client_gets_nothing() {
    let cluster = Cluster::start(Setup { nodes: 1, ..Setup::default() }).await;
    let address: Ipv4Addr = Net::address(1).parse().unwrap();
    // From inside the namespace; the first thing that an HTTP/2 client says, and an empty SETTINGS frame.
    let mut child = cluster
        .net
        .command(1, "bash".as_ref())
        .args(["-c", &format!("exec 3<>/dev/tcp/{address}/8443 && cat >&3 && exec timeout 5 cat <&3")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut said = Vec::new();
    child.stdout.take().unwrap().read_to_end(&mut said).unwrap();
    child.wait().unwrap();
    // At most a TLS alert (content type 21).
    assert!(said.is_empty() || said[0] == 21, "{said:02x?}");
    eventually("the refusal in the status", Duration::from_secs(5), async || {
        let view = cluster.node(1).status().await?;
        if view.refusals.is_empty() { Err(format!("{view:?}")) } else { Ok(()) }
    })
    .await;
}
