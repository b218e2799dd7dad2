//! Stops a container's processes as a hanging machine would, and lets them go on; and looks at its files.
//!
//! The tests run in the machine's own pid namespace, so that the processes of all pods are seen; the container's id
//! stands in the path of their cgroup.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// Processes that are stopped until this is dropped.
#[derive(Debug)]
pub struct Frozen {
    pids: Vec<u32>,
}

impl Frozen {
    /// Stops the container with this id (the part behind `containerd://`).
    ///
    /// # Errors
    /// If no process of it is found.
    pub fn container(id: &str) -> anyhow::Result<Self> {
        let pids = processes_of(id)?;
        ensure!(
            !pids.is_empty(),
            "no process of container {id} is seen; do the tests run in this pid namespace?"
        );
        let frozen = Self { pids };
        frozen.signal("-STOP")?;
        Ok(frozen)
    }

    /// Lets them go on.
    ///
    /// # Errors
    /// If one is gone: it was killed meanwhile.
    pub fn thaw(mut self) -> anyhow::Result<()> {
        let result = self.signal("-CONT");
        self.pids.clear();
        result
    }

    fn signal(&self, signal: &str) -> anyhow::Result<()> {
        for pid in &self.pids {
            let status = Command::new("kill")
                .args([signal, &pid.to_string()])
                .status()
                .context("cannot start kill")?;
            ensure!(status.success(), "kill {signal} {pid}: the process is gone");
        }
        Ok(())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if !self.pids.is_empty() {
            let _ = self.signal("-CONT");
        }
    }
}

/// Kills a container's processes, as a crash would: nothing is handed over or cleaned up.
///
/// # Errors
/// If no process of it is found.
pub fn kill(id: &str) -> anyhow::Result<()> {
    let mut all = Frozen { pids: processes_of(id)? };
    ensure!(!all.pids.is_empty(), "no process of container {id} is seen");
    let result = all.signal("-KILL");
    all.pids.clear();
    result
}

/// The root of a container's file system, as the container sees it, for as long as it runs.
///
/// # Errors
/// If no process of it is found.
pub fn root(id: &str) -> anyhow::Result<PathBuf> {
    let pids = processes_of(id)?;
    let pid = pids.first().with_context(|| format!("no process of container {id} is seen"))?;
    Ok(PathBuf::from(format!("/proc/{pid}/root")))
}

/// The processes whose cgroup names the container, parents before children.
fn processes_of(id: &str) -> anyhow::Result<Vec<u32>> {
    let mut pids = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        let Some(pid) = path.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse().ok()) else {
            continue;
        };
        if std::fs::read_to_string(path.join("cgroup")).is_ok_and(|c| c.contains(id)) && has_program(&path) {
            pids.push(pid);
        }
    }
    pids.sort_unstable();
    Ok(pids)
}

/// Not a kernel thread, nor a process that ended and is not yet waited for.
fn has_program(proc: &Path) -> bool {
    std::fs::read(proc.join("cmdline")).is_ok_and(|c| !c.is_empty())
}
