//! How much is done, and with which programs.

use std::path::PathBuf;

use rauthy_load::{Load, What};

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Less of everything: for a first look, not for the table.
    pub quick: bool,
    /// Every system is measured so often, all of them in turn.
    pub rounds: usize,
    /// Milliseconds before a load counts.
    pub warm: u64,
    /// Milliseconds that a load counts.
    pub millis: u64,
    /// Leaders that are killed.
    pub kills: usize,
    /// Leaders that are asked to stop.
    pub stops: usize,
}

impl Plan {
    /// The plan for the table, or the quick one. A number of rounds that is given counts.
    #[must_use]
    pub fn new(quick: bool, rounds: Option<usize>) -> Self {
        let mut plan = if quick {
            Self { quick, rounds: 1, warm: 150, millis: 500, kills: 5, stops: 5 }
        } else {
            Self { quick, rounds: 5, warm: 400, millis: 1500, kills: 50, stops: 20 }
        };
        plan.rounds = rounds.unwrap_or(plan.rounds).max(1);
        plan
    }

    /// A closed loop.
    #[must_use]
    pub fn closed(&self, what: What, tasks: usize) -> Load {
        Load { what, tasks, warm: self.warm, millis: self.millis, rate: 0 }
    }

    /// A fixed rate.
    #[must_use]
    pub fn paced(&self, what: What, rate: u64) -> Load {
        Load { what, tasks: 512, warm: self.warm, millis: self.millis, rate }
    }
}

/// Where the programs are; `None`: it could not be had, and its rows say so.
#[derive(Clone, Debug)]
pub struct Programs {
    /// This one.
    pub bench: PathBuf,
    /// rauthy-agent.
    pub agent: Option<PathBuf>,
    /// Who knows no token and opens bad connections.
    pub stranger: Option<PathBuf>,
    /// The loading program of redhac.
    pub redhac: Option<PathBuf>,
    /// That of hiqlite.
    pub hiqlite: Option<PathBuf>,
    /// That of etcd.
    pub etcd: Option<PathBuf>,
    /// redis-server.
    pub redis: Option<PathBuf>,
}

impl Programs {
    /// From the environment: RAUTHY_AGENT, BENCH_STRANGER and BENCH_REDHAC, BENCH_HIQLITE, BENCH_ETCD, BENCH_REDIS.
    ///
    /// # Errors
    /// If this program does not know its own path.
    pub fn from_env() -> std::io::Result<Self> {
        let find = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_file());
        Ok(Self {
            bench: std::env::current_exe()?,
            agent: find("RAUTHY_AGENT"),
            stranger: find("BENCH_STRANGER"),
            redhac: find("BENCH_REDHAC"),
            hiqlite: find("BENCH_HIQLITE"),
            etcd: find("BENCH_ETCD"),
            redis: find("BENCH_REDIS"),
        })
    }
}
