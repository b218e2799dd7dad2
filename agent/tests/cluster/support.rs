//! Whole agents in one process, over real sockets, and waiting for what they say.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rauthy_agent::config::Config;
use rauthy_agent::dev::certificates;
use rauthy_agent::runtime::{Handle, Running, Written, start};
use rauthy_core::{AckLevel, Condition, Refusal, Request};
use rauthy_proto::cache::{NodeStatus, Role};
use tokio::time::Instant;

pub const DEADLINE: Duration = Duration::from_secs(60);

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

pub struct Cluster {
    pub ports: Vec<u16>,
    pub env: BTreeMap<String, String>,
    pub nodes: Vec<Option<(Handle, Running)>>,
}

impl Cluster {
    /// Not started yet; `folder` with certificates, or no TLS.
    pub fn new(size: usize, folder: Option<&Path>) -> Self {
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

    pub async fn start(&mut self, node: usize) {
        let me = format!("localhost:{}", self.ports[node]);
        let env = |name: &str| match name {
            "HOSTNAME_OVERWRITE" => Some(me.clone()),
            other => self.env.get(other).cloned(),
        };
        let config = Config::from(&env, "", &|path| std::fs::read_to_string(path)).unwrap();
        self.nodes[node] = Some(start(config).await.unwrap());
    }

    pub fn handle(&self, node: usize) -> Handle {
        self.nodes[node].as_ref().unwrap().0.clone()
    }

    pub async fn stop(&mut self, node: usize) {
        if let Some((_, running)) = self.nodes[node].take() {
            running.shutdown().await;
        }
    }

    /// Waits until this holds for what a node says of itself.
    pub async fn until(&self, node: usize, what: &str, holds: impl Fn(&NodeStatus) -> bool) -> NodeStatus {
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
    pub async fn settled(&self) -> usize {
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

    pub async fn put(&self, node: usize, key: &str, value: &str) -> Result<Written, Refusal> {
        let request = Request::Put {
            cache: "test".into(),
            key: key.to_owned().into(),
            value: value.to_owned().into(),
            ttl: None,
            condition: Condition::Always,
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        self.handle(node).write(request, AckLevel::Quorum, deadline).await
    }

    /// Waits until a node reads this value.
    pub async fn reads(&self, node: usize, key: &str, value: &str) {
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
