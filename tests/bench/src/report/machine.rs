//! Where it was measured, and with which versions.

use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

/// The machine and what ran on it.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// Its processor, as it calls itself.
    pub processor: String,
    /// Processors that this program may use.
    pub processors: usize,
    /// Bytes of memory.
    pub memory: u64,
    /// Kernel.
    pub kernel: String,
    /// Name and version of each program, from whoever built them.
    pub versions: Vec<String>,
    /// Seconds since 1970.
    pub began: u64,
    /// Load of the machine (1 minute) before the first round: what others did.
    pub load_before: f64,
    /// How long all of it took, in seconds.
    pub took: u64,
    /// Share of processor time that was stolen by other machines of the same host, in percent.
    pub stolen: f64,
    #[serde(skip)]
    ticks: (f64, f64),
}

fn first_line(path: &str, starts: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(starts))?;
    Some(line.trim_start_matches([' ', '\t', ':']).trim().to_owned())
}

/// All ticks of all processors, and those that were stolen.
fn ticks() -> (f64, f64) {
    let line = first_line("/proc/stat", "cpu ").unwrap_or_default();
    let numbers: Vec<f64> = line.split_whitespace().filter_map(|n| n.parse().ok()).collect();
    (numbers.iter().take(8).sum(), numbers.get(7).copied().unwrap_or_default())
}

impl Machine {
    /// Looks, before the first round. BENCH_VERSIONS holds one version a line.
    #[must_use]
    pub fn look() -> Self {
        let kernel = Command::new("uname").args(["-sr"]).output().map(|out| out.stdout).unwrap_or_default();
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let memory = first_line("/proc/meminfo", "MemTotal").unwrap_or_default();
        let versions = std::env::var("BENCH_VERSIONS").unwrap_or_default();
        Self {
            processor: first_line("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into()),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory: memory.trim_end_matches(" kB").parse::<u64>().unwrap_or_default() << 10,
            kernel: String::from_utf8_lossy(&kernel).trim().to_owned(),
            versions: versions.lines().map(str::to_owned).collect(),
            began: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            load_before: load.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or_default(),
            took: 0,
            stolen: 0.0,
            ticks: ticks(),
        }
    }

    /// Looks again, after the last one.
    pub fn done(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        self.took = now.saturating_sub(self.began);
        let (all, stolen) = ticks();
        self.stolen = (stolen - self.ticks.1) / (all - self.ticks.0).max(1.0) * 100.0;
    }
}
