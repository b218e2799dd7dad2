//! Where it was measured, and with which versions.

use std::fs;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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
    /// Share of processor time that was used in the second before the first round, in percent: what others did. (Not the load of a
    /// minute, in which this program was built.)
    pub busy_before: f64,
    /// How long all of it took, in seconds.
    pub took: u64,
    /// Share of processor time that was stolen by other machines of the same host, in percent.
    pub stolen: f64,
    #[serde(skip)]
    before: Ticks,
}

/// More of the processors in use, in percent, and others are at work.
const BUSY: f64 = 10.0;
/// How long they are watched at a time.
const WATCHED: Duration = Duration::from_secs(1);
/// How often, until they are done.
const LOOKS: usize = 30;

/// What all processors did since they were started, in ticks.
#[derive(Clone, Copy, Debug, Default)]
struct Ticks {
    all: f64,
    idle: f64,
    stolen: f64,
}

fn first_line(path: &str, starts: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(starts))?;
    Some(line.trim_start_matches([' ', '\t', ':']).trim().to_owned())
}

impl Ticks {
    fn now() -> Self {
        let line = first_line("/proc/stat", "cpu ").unwrap_or_default();
        // user, nice, system, idle, iowait, irq, softirq, steal
        let numbers: Vec<f64> = line.split_whitespace().filter_map(|n| n.parse().ok()).take(8).collect();
        let number = |at: usize| numbers.get(at).copied().unwrap_or_default();
        Self { all: numbers.iter().sum(), idle: number(3) + number(4), stolen: number(7) }
    }

    fn since(self, before: Self) -> Self {
        let Self { all, idle, stolen } = before;
        Self { all: (self.all - all).max(1.0), idle: self.idle - idle, stolen: self.stolen - stolen }
    }
}

/// Waits until nobody else is at work, for half a minute at most; what share of the processors they used at last, in percent.
async fn quiet() -> f64 {
    let mut busy = 0.0;
    for look in 0..LOOKS {
        let before = Ticks::now();
        tokio::time::sleep(WATCHED).await;
        let others = Ticks::now().since(before);
        busy = (others.all - others.idle) / others.all * 100.0;
        if busy <= BUSY {
            break;
        }
        if look == 0 {
            let most = WATCHED.as_secs() * LOOKS as u64;
            eprintln!("[bench    0s] others are at work on this machine: waiting for them, {most} s at most");
        }
    }
    busy
}

impl Machine {
    /// Looks, before the first round, and waits a little for others to be done. BENCH_VERSIONS holds one version a line.
    pub async fn look() -> Self {
        let kernel = Command::new("uname").args(["-sr"]).output().map(|out| out.stdout).unwrap_or_default();
        let busy_before = quiet().await;
        let memory = first_line("/proc/meminfo", "MemTotal").unwrap_or_default();
        let versions = std::env::var("BENCH_VERSIONS").unwrap_or_default();
        Self {
            processor: first_line("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".into()),
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            memory: memory.trim_end_matches(" kB").parse::<u64>().unwrap_or_default() << 10,
            kernel: String::from_utf8_lossy(&kernel).trim().to_owned(),
            versions: versions.lines().map(str::to_owned).collect(),
            began: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()),
            busy_before,
            took: 0,
            stolen: 0.0,
            before: Ticks::now(),
        }
    }

    /// Whether others were at work when it began.
    #[must_use]
    pub fn was_busy(&self) -> bool {
        self.busy_before > BUSY
    }

    /// Looks again, after the last one.
    pub fn done(&mut self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        self.took = now.saturating_sub(self.began);
        let meanwhile = Ticks::now().since(self.before);
        self.stolen = meanwhile.stolen / meanwhile.all * 100.0;
    }
}
