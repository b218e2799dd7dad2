//! Who does not know the token, or comes with certificates of another authority, is no member, and both sides say so.

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use rauthy_client::NodeStatus;
use rauthy_processes::{Cluster, Net, PATIENCE, Setup, certify, eventually};

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
    let lonely = cluster.node(3).status().await.unwrap();
    assert!(!lonely.ready && lonely.generation.is_empty() && lonely.entries == 0, "{lonely:?}");
    assert_eq!(cluster.refuses(3, "secret").await, Ok(()));
    let member = cluster.node(1).status().await.unwrap();
    let seat = member.members.iter().find(|m| m.slot == lonely.slot).unwrap();
    assert!(!seat.connected && !seat.caught_up, "{seat:?}");
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
