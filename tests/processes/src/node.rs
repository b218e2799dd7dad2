//! One agent as a process.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rauthy_client::{Client, NodeStatus};

use crate::wait::eventually;

/// The agent to be tested: `RAUTHY_AGENT`, else the one that was built beside this test.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn program() -> PathBuf {
    if let Some(path) = std::env::var_os("RAUTHY_AGENT") {
        return path.into();
    }
    // target/<triple>/debug/deps/faults-0123 → target/<triple>/debug/rauthy-agent
    let path = std::env::current_exe()
        .ok()
        .and_then(|test| test.parent()?.parent().map(|folder| folder.join("rauthy-agent")))
        .expect("a test knows its own path");
    assert!(
        path.exists(),
        "{} is not there: run `cargo build -p rauthy-agent` first, or set RAUTHY_AGENT",
        path.display()
    );
    path
}

/// Limits what a process may have, as ulimit does for those that are yet to start.
///
/// # Panics
/// Without the program `prlimit`, of util-linux.
pub fn prlimit(pid: u32, what: &str, most: usize) {
    let arguments = ["--pid".into(), pid.to_string(), format!("--{what}={most}:{most}")];
    let status = Command::new("prlimit").args(&arguments).status();
    assert!(status.is_ok_and(|status| status.success()), "prlimit {arguments:?}");
}

/// One agent. Its process is killed when this is dropped.
pub struct Node {
    /// From 1.
    pub number: usize,
    /// `host:port` of its entry in HA_HOSTS.
    pub slot: String,
    /// The address of its socket.
    pub target: String,
    /// What it is told; a test may change it before the start.
    pub environment: BTreeMap<&'static str, String>,
    pub(crate) enter: Vec<std::ffi::OsString>,
    pub(crate) log: PathBuf,
    pub(crate) child: Option<Child>,
    client: Client,
}

impl Node {
    pub(crate) fn new(
        number: usize,
        slot: String,
        folder: &Path,
        environment: BTreeMap<&'static str, String>,
        enter: &Command,
    ) -> Self {
        let target = format!("unix://{}", folder.join(format!("node-{number}.sock")).display());
        let client = Client::new(&target).unwrap().with_deadline(Duration::from_secs(2)).without_retries();
        let enter = std::iter::once(enter.get_program()).chain(enter.get_args()).map(Into::into).collect();
        let log = folder.join(format!("node-{number}.log"));
        Self { number, slot, target, environment, enter, log, child: None, client }
    }

    /// Starts the process.
    ///
    /// # Panics
    /// If it runs already.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "node {} runs already", self.number);
        let log = OpenOptions::new().create(true).append(true).open(&self.log).unwrap();
        let child = Command::new(&self.enter[0])
            .args(&self.enter[1..])
            .arg("run")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map(File::into).unwrap_or_else(|_| Stdio::null()))
            .stderr(log)
            .spawn()
            .unwrap();
        self.child = Some(child);
    }

    /// A client of its socket, with a deadline of 2 s; it sends everything once, so that a refusal is seen as one.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// How it sees the cluster, or why it does not say.
    ///
    /// # Errors
    /// In words, for [`eventually`].
    pub async fn status(&self) -> Result<NodeStatus, String> {
        self.client.status().await.map_err(|e| format!("node {}: {e}", self.number))
    }

    /// Its process id.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap_or_else(|| panic!("node {} does not run", self.number)).id()
    }

    /// Bytes of memory that it has in use.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// How long its threads waited for a processor so far, all of them together. Zero where the kernel does not say.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    pub fn waited(&self) -> Duration {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.pid())) else {
            return Duration::ZERO;
        };
        let waited = threads.flatten().filter_map(|thread| {
            // Nanoseconds at work, nanoseconds in the queue, turns.
            let schedule = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            schedule.split_whitespace().nth(1)?.parse::<u64>().ok()
        });
        Duration::from_nanos(waited.sum())
    }

    /// SIGKILL: it ends at once and says nothing.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGSTOP: it stands still, its connections stay open.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// SIGCONT: it goes on as if nothing had happened.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Sends a signal by its name.
    ///
    /// # Panics
    /// If that is not possible.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([format!("-{name}"), self.pid().to_string()]).status();
        assert!(status.is_ok_and(|s| s.success()), "SIG{name} to node {}", self.number);
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// If it does not within `limit`.
    pub async fn ended(&mut self, limit: Duration) -> ExitStatus {
        let child = self.child.as_mut().unwrap_or_else(|| panic!("node {} does not run", self.number));
        let number = self.number;
        let status =
            eventually(&format!("the end of node {number}"), limit, async || match child.try_wait() {
                Ok(Some(status)) => Ok(status),
                Ok(None) => Err("it runs".to_owned()),
                Err(error) => Err(error.to_string()),
            })
            .await;
        self.child = None;
        status
    }

    /// Everything that it has logged so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How its process stands, for the report of a failed test.
    pub(crate) fn state(&mut self) -> String {
        match self.child.as_mut().map(Child::try_wait) {
            None => "not running".into(),
            Some(Ok(None)) => "running".into(),
            Some(Ok(Some(status))) => match status.signal() {
                Some(signal) => format!("ended by signal {signal}"),
                None => format!("ended with {status}"),
            },
            Some(Err(error)) => error.to_string(),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
    }
}
