//! Three whole agents in one process, over real sockets: they elect, write, read, hand over and come back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rauthy_agent::config::Config;
use rauthy_agent::dev::certificates;
use rauthy_agent::runtime::{Handle, Running, start};
use rauthy_core::{AckLevel, Condition, Done, Refusal, Request};
use rauthy_proto::cache::{NodeStatus, Role};
use tokio::time::Instant;

const DEADLINE: Duration = Duration::from_secs(60);

/// A port that nobody uses, below those that the system gives to outgoing connections: one of these could take it
/// while its node is down.
fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        // Two test programs that run at the same time begin at different places.
        let place = std::process::id().wrapping_mul(61) + u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + u16::try_from(place % 20_000).unwrap();
        if std::net::TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

struct Cluster {
    ports: Vec<u16>,
    env: BTreeMap<String, String>,
    nodes: Vec<Option<(Handle, Running)>>,
}

impl Cluster {
    /// Not started yet; `folder` with certificates, or no TLS.
    fn new(size: usize, folder: Option<&Path>) -> Self {
        let ports: Vec<u16> = (0..size).map(|_| port()).collect();
        let hosts: Vec<String> = ports.iter().map(|port| format!("https://localhost:{port}")).collect();
        let mut env: BTreeMap<String, String> = [
            ("HA_MODE", "true"),
            ("CACHE_TLS", "false"),
            ("CACHE_AUTH_TOKEN", "0123456789abcdef0123456789abcdef"),
            ("HA_HOSTS", &hosts.join(",")),
        ]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
        if let Some(folder) = folder {
            let files = certificates::generate(folder, &["localhost".into()]).unwrap();
            env.insert("CACHE_TLS".into(), "true".into());
            for (names, path) in [
                (["CACHE_TLS_SERVER_CERT", "CACHE_TLS_CLIENT_CERT"], files.cert),
                (["CACHE_TLS_SERVER_KEY", "CACHE_TLS_CLIENT_KEY"], files.key),
                (["CACHE_TLS_CA_SERVER", "CACHE_TLS_CA_CLIENT"], files.ca),
            ] {
                for name in names {
                    env.insert(name.into(), path.display().to_string());
                }
            }
        }
        Self { ports, env, nodes: (0..size).map(|_| None).collect() }
    }

    async fn start(&mut self, node: usize) {
        let me = format!("localhost:{}", self.ports[node]);
        let env = |name: &str| match name {
            "HOSTNAME_OVERWRITE" => Some(me.clone()),
            other => self.env.get(other).cloned(),
        };
        let config = Config::from(&env, "", &|path| std::fs::read_to_string(path)).unwrap();
        self.nodes[node] = Some(start(config).await.unwrap());
    }

    fn handle(&self, node: usize) -> Handle {
        self.nodes[node].as_ref().unwrap().0.clone()
    }

    async fn stop(&mut self, node: usize) {
        if let Some((_, running)) = self.nodes[node].take() {
            running.shutdown().await;
        }
    }

    /// Waits until this holds for what a node says of itself.
    async fn until(&self, node: usize, what: &str, holds: impl Fn(&NodeStatus) -> bool) -> NodeStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let status = self.handle(node).status().await;
            if holds(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "node {node} is not {what}: {status:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until all that run are ready and everybody has a seat; says who leads.
    async fn settled(&self) -> usize {
        for node in (0..self.nodes.len()).filter(|n| self.nodes[*n].is_some()) {
            self.until(node, "ready", |s| s.ready).await;
        }
        let deadline = Instant::now() + DEADLINE;
        loop {
            for node in (0..self.nodes.len()).filter(|n| self.nodes[*n].is_some()) {
                if self.handle(node).status().await.role() == Role::Leader {
                    return node;
                }
            }
            assert!(Instant::now() < deadline, "nobody leads");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn put(&self, node: usize, key: &str, value: &str) -> Result<Done, Refusal> {
        let request = Request::Put {
            cache: "test".into(),
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            ttl: None,
            condition: Condition::Always,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        Ok(self.handle(node).write(request, AckLevel::Quorum, deadline).await?.done)
    }

    /// Waits until a node reads this value.
    async fn reads(&self, node: usize, key: &str, value: &str) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let found = self.handle(node).read("test", key.as_bytes());
            if let Ok(found) = &found
                && let Some((bytes, _)) = &found.value
                && **bytes == *value.as_bytes()
            {
                return;
            }
            assert!(Instant::now() < deadline, "node {node} reads {key} as {found:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_survives_the_restart_of_each_of_its_members() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new(3, Some(dir.path()));
    for node in 0..3 {
        cluster.start(node).await;
    }
    cluster.settled().await;
    let generation = cluster.handle(0).status().await.generation;
    for node in 0..3 {
        cluster.put(node, &format!("k{node}"), "before").await.unwrap();
    }
    for round in 0..3 {
        cluster.stop(round).await;
        let other = (round + 1) % 3;
        // A write may meet the moment without a leader; then its outcome is unknown, and it is written again.
        let deadline = Instant::now() + DEADLINE;
        while let Err(refusal) = cluster.put(other, &format!("r{round}"), "during").await {
            assert!(Instant::now() < deadline, "writes are refused: {refusal:?}");
        }
        cluster.start(round).await;
        cluster.until(round, "ready", |s| s.ready).await;
        for node in 0..3 {
            cluster.reads(round, &format!("k{node}"), "before").await;
        }
        cluster.reads(round, &format!("r{round}"), "during").await;
    }
    for node in 0..3 {
        let status = cluster.until(node, "of the first generation", |s| s.generation == generation).await;
        assert_eq!(status.wipes, 0);
        assert!(status.certificate_expires_in_s > 0);
        assert!(status.refusals.is_empty(), "{:?}", status.refusals);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_values_reach_everybody_and_whoever_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::new(3, Some(dir.path()));
    for node in 0..3 {
        cluster.start(node).await;
    }
    let leader = cluster.settled().await;
    let follower = (leader + 1) % 3;
    // The largest that is allowed, through a follower: forwarded, appended, and copied to the one that comes back.
    let values: Vec<String> = (0..24_u8).map(|n| char::from(b'a' + n).to_string().repeat(1 << 20)).collect();
    for (n, value) in values.iter().enumerate() {
        cluster.put(follower, &format!("k{n}"), value).await.unwrap();
    }
    cluster.stop(follower).await;
    cluster.start(follower).await;
    for node in [follower, (leader + 2) % 3] {
        for (n, value) in values.iter().enumerate() {
            cluster.reads(node, &format!("k{n}"), value).await;
        }
    }
    let status = cluster.until(leader, "still leading", |s| s.role() == Role::Leader).await;
    assert_eq!(status.term, 1, "so much data cost no election");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_write_fails_while_the_leadership_is_handed_over() {
    let mut cluster = Cluster::new(3, None);
    for node in 0..3 {
        cluster.start(node).await;
    }
    let leader = cluster.settled().await;
    let slot = cluster.handle(leader).status().await.slot;
    cluster.put((leader + 1) % 3, "k", "v").await.unwrap();
    let handle = cluster.handle(leader);
    let handing_over = tokio::spawn(async move { handle.hand_over().await });
    let mut writes = 0;
    while !handing_over.is_finished() || writes < 50 {
        for node in 0..3 {
            cluster.put(node, "k", &writes.to_string()).await.unwrap();
            writes += 1;
        }
    }
    for node in 0..3 {
        cluster.until(node, "led by another", |s| !s.leader.is_empty() && s.leader != slot).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_quorum_nothing_is_answered() {
    let mut cluster = Cluster::new(3, None);
    for node in 0..3 {
        cluster.start(node).await;
    }
    cluster.settled().await;
    cluster.put(0, "k", "v").await.unwrap();
    cluster.reads(2, "k", "v").await;
    cluster.stop(0).await;
    cluster.stop(1).await;
    cluster.until(2, "without a lease", |s| !s.ready).await;
    assert!(cluster.handle(2).read("test", b"k").is_err(), "an error, never a miss");
    // What was forwarded to a leader that is gone is unknown; after that nothing is forwarded.
    let deadline = Instant::now() + DEADLINE;
    while cluster.put(2, "k", "w").await != Err(Refusal::NoQuorum) {
        assert!(Instant::now() < deadline);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_node_serves_alone() {
    let config = Config::from(&|_| None, "", &|_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
    let cluster =
        Cluster { ports: Vec::new(), env: BTreeMap::new(), nodes: vec![Some(start(config).await.unwrap())] };
    cluster.settled().await;
    cluster.put(0, "k", "v").await.unwrap();
    cluster.reads(0, "k", "v").await;
}
