//! `rauthy-agent ctl` against a real cluster: what it prints, and its exit codes.

use std::process::{Command, Output, Stdio};

use rauthy_processes::{Cluster, PATIENCE, Setup, eventually};

fn ctl(cluster: &Cluster, node: usize, arguments: &[&str]) -> Output {
    Command::new(cluster.program())
        .args(["ctl", "--socket", &cluster.node(node).target])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_prints_and_how_it_ends() {
    let cluster = Cluster::start(Setup::default()).await;
    let leader = cluster.leader().await;
    let others = cluster.others(leader);

    let put = ctl(&cluster, others[0], &["put", "c", "key", "a value", "--ttl", "1h"]);
    assert_eq!(put.status.code(), Some(0), "{put:?}");
    eventually("the value at another node", PATIENCE, async || {
        let got = ctl(&cluster, others[1], &["get", "c", "key"]);
        if got.status.code() == Some(0) && got.stdout == b"a value" {
            Ok(())
        } else {
            Err(format!("{got:?}"))
        }
    })
    .await;
    let missing = ctl(&cluster, leader, &["get", "c", "none"]);
    assert_eq!((missing.status.code(), missing.stdout.len()), (Some(1), 0), "{missing:?}");
    let usage = ctl(&cluster, leader, &["put", "c", "key", "v", "--ttl", "tomorrow"]);
    assert_eq!(usage.status.code(), Some(2), "{usage:?}");
    let deleted = ctl(&cluster, leader, &["delete", "c", "key", "-o", "json"]);
    let deleted: serde_json::Value = serde_json::from_slice(&deleted.stdout).unwrap();
    assert_eq!(deleted["existed"], true);

    let status = ctl(&cluster, leader, &["status"]);
    assert!(
        text(&status.stdout).starts_with("● All is well: this node leads, 3 of 3 members connected"),
        "{status:?}"
    );
    let json = ctl(&cluster, others[0], &["status", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["leader"], cluster.node(leader).slot);
    assert_eq!(json["role"], "follower");

    let idle = ctl(&cluster, others[0], &["hand-over", "--pid", &cluster.node(others[0]).pid().to_string()]);
    assert_eq!(idle.status.code(), Some(0), "{idle:?}");
    assert_eq!(cluster.leader().await, leader, "a follower has nothing to hand over");
    let stranger = ctl(&cluster, leader, &["hand-over", "--pid", &std::process::id().to_string()]);
    assert_eq!(stranger.status.code(), Some(2), "SIGUSR1 would have killed this test: {stranger:?}");
    let over = ctl(&cluster, leader, &["hand-over", "--pid", &cluster.node(leader).pid().to_string()]);
    assert_eq!(over.status.code(), Some(0), "{over:?}");
    assert!(others.contains(&cluster.leader_among(&others).await), "{over:?}");

    cluster.net.cut(leader);
    eventually("exit code 3 without a quorum", PATIENCE, async || {
        let codes = [
            ctl(&cluster, leader, &["get", "c", "none"]).status.code(),
            ctl(&cluster, leader, &["put", "c", "k", "v"]).status.code(),
        ];
        if codes == [Some(3); 2] { Ok(()) } else { Err(format!("{codes:?}")) }
    })
    .await;
    let status = ctl(&cluster, leader, &["status"]);
    assert!(text(&status.stdout).contains("is not ready ("), "{status:?}");
    let nobody =
        Command::new(cluster.program()).args(["ctl", "--socket", "unix:///none", "status"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(1), "{nobody:?}");
    assert!(text(&nobody.stderr).contains("unix:///none"), "{nobody:?}");
}

/// CACHE_LISTEN on a socket and on loopback TCP of both families at once: one cache behind all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_a_socket_and_loopback_tcp() {
    let mut cluster = Cluster::prepare(Setup { nodes: 1, ..Setup::default() });
    let node = cluster.node_mut(1);
    node.environment.retain(|name, _| *name == "AGENT_HTTP");
    let socket = node.target.clone();
    node.environment.insert("CACHE_LISTEN", format!("{socket}, tcp://127.0.0.1:9000, tcp://[::1]:9000"));
    node.start();
    let inside = |target: &str, arguments: &[&str]| {
        let mut command = cluster.net.command(1, &cluster.program());
        command.args(["ctl", "--socket", target]).args(arguments).output().unwrap()
    };
    let targets = ["http://[::1]:9000", "http://127.0.0.1:9000", &socket];
    eventually("a put over TCP", PATIENCE, async || {
        let put = inside(targets[0], &["put", "c", "key", "value"]);
        if put.status.success() { Ok(()) } else { Err(text(&put.stderr)) }
    })
    .await;
    for target in targets {
        let got = inside(target, &["get", "c", "key"]);
        assert_eq!(got.stdout, b"value", "{target}: {got:?}");
    }
}
