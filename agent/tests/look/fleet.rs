//! Agents as processes of this machine, each with a socket, an HTTP port and a log of its own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rauthy_agent::dev::certificates;
use rauthy_client::{Client, NodeStatus};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Generous: this machine may build something beside.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// What must never be shown.
pub const TOKEN: &str = "canary-token-0123456789abcdef";

/// A port that nobody uses, below those that the system gives to outgoing connections.
fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let place = std::process::id().wrapping_mul(53) + u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + u16::try_from(place % 20_000).unwrap();
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

pub struct Agent {
    process: Child,
    pub slot: String,
    pub http: u16,
    pub socket: String,
    log: PathBuf,
}

impl Agent {
    pub fn client(&self) -> Client {
        Client::new(&self.socket).unwrap().with_deadline(Duration::from_secs(10))
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until the process is gone; its exit code.
    pub fn gone(&mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    /// Status, head and body of an answer.
    pub fn get(&self, path: &str) -> (u16, String, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_owned(), body.to_owned())
    }

    /// What a metric without labels, or with these, stands at.
    pub fn metric(&self, name: &str) -> Option<f64> {
        let (_, _, text) = self.get("/metrics");
        text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let from = log.len().saturating_sub(4000);
            eprintln!("--- the log of {}\n{}", self.slot, log.get(from..).unwrap_or(&log));
        }
    }
}

pub struct Fleet {
    folder: TempDir,
    hosts: Vec<u16>,
    env: Vec<(String, String)>,
}

impl Fleet {
    /// Nothing runs yet. A fleet of one is a single node.
    pub fn new(size: usize, tls: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hosts: Vec<u16> = (0..size).map(|_| port()).collect();
        let list: Vec<String> = hosts.iter().map(|port| format!("https://localhost:{port}")).collect();
        let mut env = vec![
            ("HA_MODE".into(), (size > 1).to_string()),
            ("HA_HOSTS".into(), list.join(",")),
            ("CACHE_AUTH_TOKEN".into(), TOKEN.into()),
            ("CACHE_TLS".into(), tls.to_string()),
            ("LOG_FORMAT".into(), "json".into()),
        ];
        if tls {
            let files = certificates::generate(folder.path(), &["localhost".into()]).unwrap();
            for (names, path) in [
                (["CACHE_TLS_SERVER_CERT", "CACHE_TLS_CLIENT_CERT"], files.cert),
                (["CACHE_TLS_SERVER_KEY", "CACHE_TLS_CLIENT_KEY"], files.key),
                (["CACHE_TLS_CA_SERVER", "CACHE_TLS_CA_CLIENT"], files.ca),
            ] {
                env.extend(names.map(|name| (name.into(), path.display().to_string())));
            }
        }
        Self { folder, hosts, env }
    }

    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The list is in a file instead, which `tell` writes.
    pub fn with_hosts_file(mut self) -> Self {
        self.env.retain(|(name, _)| name != "HA_HOSTS");
        let path = self.hosts_file();
        self.with("HA_HOSTS_FILE", path.to_str().unwrap())
    }

    pub fn hosts_file(&self) -> PathBuf {
        self.folder.path().join("hosts.json")
    }

    /// Writes the list: the first so many slots now, and next.
    pub fn tell(&self, epoch: u64, now: usize, next: Option<usize>) {
        let list =
            |n: usize| self.hosts[..n].iter().map(|p| format!("https://localhost:{p}")).collect::<Vec<_>>();
        let text =
            serde_json::json!({ "epoch": epoch, "now": list(now), "next": next.map(list) }).to_string();
        let new = self.folder.path().join("hosts.new");
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, self.hosts_file()).unwrap();
    }

    /// `rauthy-agent` with these arguments, in the environment that the agents have.
    pub fn tool(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rauthy-agent"));
        command
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env("HOSTNAME_OVERWRITE", format!("localhost:{}", self.hosts[0]))
            .args(arguments)
            .stdin(Stdio::null());
        command
    }

    pub fn start(&self, node: usize) -> Agent {
        self.start_as(&node.to_string(), node, &[])
    }

    /// With files of its own: another process may be the same member.
    pub fn start_as(&self, name: &str, node: usize, more: &[(&str, &str)]) -> Agent {
        let path = |kind: &str| self.folder.path().join(format!("{name}.{kind}"));
        let (slot, http) = (format!("localhost:{}", self.hosts[node]), port());
        let socket = format!("unix://{}", path("sock").display());
        let log: PathBuf = path("log");
        let process = Command::new(env!("CARGO_BIN_EXE_rauthy-agent"))
            .env_clear()
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .env("HOSTNAME_OVERWRITE", &slot)
            .env("CACHE_LISTEN", &socket)
            .env("AGENT_HTTP", format!("127.0.0.1:{http}"))
            .envs(more.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Agent { process, slot, http, socket, log }
    }

    pub fn start_all(&self) -> Vec<Agent> {
        (0..self.hosts.len()).map(|node| self.start(node)).collect()
    }
}

/// Waits until this holds for what an agent says of itself.
pub async fn until(agent: &Agent, what: &str, holds: impl Fn(&NodeStatus) -> bool) -> NodeStatus {
    let (deadline, client) = (Instant::now() + DEADLINE, agent.client());
    loop {
        let status = client.status().await;
        match status {
            Ok(status) if holds(&status) => return status,
            other => assert!(Instant::now() < deadline, "{} is not {what}: {other:#?}", agent.slot),
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// Waits until all are ready and connected.
pub async fn ready(agents: &[Agent]) {
    for agent in agents {
        until(agent, "ready", |s| {
            s.ready && s.members.iter().filter(|m| m.connected).count() == agents.len()
        })
        .await;
    }
}
