//! One node as a child process: its log goes through here, and when it ends it is started again.

use std::io::Write;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::plan::Node;
use crate::config::variables::VARIABLES;

/// A node gets this long to hand over and leave; longer than it allows itself.
const LEAVE: Duration = Duration::from_secs(8);
/// A node that ended comes back after this long, so that the others notice it first.
const AGAIN: Duration = Duration::from_secs(3);
/// Exit code of an agent whose settings are wrong: the next try would end the same way.
const WRONG_SETTINGS: i32 = 78;

/// Colours of the nodes, by number.
const COLOURS: [&str; 6] = ["36", "33", "35", "32", "34", "31"];

/// Runs one node until it is told to stop.
#[derive(Clone)]
pub(super) struct Supervisor {
    pub(super) node: Arc<Node>,
    pub(super) program: Arc<std::path::Path>,
    pub(super) colours: bool,
    /// Process id of the present child, 0 while there is none.
    pub(super) pid: Arc<AtomicU32>,
    pub(super) stop: CancellationToken,
}

impl Supervisor {
    /// Starts the node, and starts it again whenever it ends, until `stop`.
    ///
    /// # Errors
    /// If it cannot be started at all, or says that its settings are wrong.
    pub(super) async fn run(self) -> Result<(), String> {
        let number = self.node.number;
        loop {
            let mut child = self.spawn().map_err(|e| format!("node {number} cannot be started: {e}"))?;
            self.pid.store(child.id().unwrap_or(0), Ordering::Relaxed);
            let out = child.stdout.take().map(|o| tokio::spawn(self.clone().forward(o)));
            let err = child.stderr.take().map(|o| tokio::spawn(self.clone().forward(o)));
            let status = tokio::select! {
                status = child.wait() => status,
                () = self.stop.cancelled() => {
                    end(&mut child).await;
                    child.wait().await
                }
            };
            self.pid.store(0, Ordering::Relaxed);
            for task in [out, err].into_iter().flatten() {
                // What it said last is shown before anything that follows from it.
                let _ = task.await;
            }
            if self.stop.is_cancelled() {
                return Ok(());
            }
            let status = status.map_err(|e| format!("node {number} is lost: {e}"))?;
            if status.code() == Some(WRONG_SETTINGS) {
                return Err(format!("node {number} refuses its settings, see above"));
            }
            self.print(&format!("ended ({status}), starts again in {} s", AGAIN.as_secs()));
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = self.stop.cancelled() => return Ok(()),
            }
        }
    }

    fn spawn(&self) -> std::io::Result<Child> {
        let mut command = Command::new(&*self.program);
        // Settings in the user's environment are meant for another agent; only the log's are for these.
        for variable in VARIABLES.iter().filter(|v| !v.name.starts_with("LOG_")) {
            command.env_remove(variable.name);
        }
        command
            .arg("run")
            .envs(self.node.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: Ctrl-C in the terminal reaches this process alone, which ends the nodes in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
    }

    async fn forward(self, stream: impl AsyncRead + Unpin) {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            self.print(&line);
        }
    }

    fn print(&self, line: &str) {
        let number = usize::from(self.node.number);
        let mut out = std::io::stdout().lock();
        // Nobody reads any more: nothing to do about it.
        let _ = if self.colours {
            writeln!(out, "\x1b[{}mnode {number} |\x1b[0m {line}", COLOURS[(number - 1) % COLOURS.len()])
        } else {
            writeln!(out, "node {number} | {line}")
        };
    }
}

/// Asks it to leave, and kills it if it does not.
async fn end(child: &mut Child) {
    if let Some(pid) = child.id().and_then(|id| Pid::from_raw(id.cast_signed())) {
        let _ = kill_process(pid, Signal::TERM);
    }
    if tokio::time::timeout(LEAVE, child.wait()).await.is_err() {
        let _ = child.start_kill();
    }
}
