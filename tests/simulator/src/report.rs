//! What to run, and what came of it.

use crate::faults::KINDS;

/// Which faults happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mix {
    /// All kinds.
    #[default]
    Any,
    /// Nothing but one restart after the other, each when everybody is ready.
    Rolling,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The history.
    pub seed: u64,
    /// Slots.
    pub nodes: usize,
    /// Seconds with faults.
    pub seconds: u64,
    /// Print the trace as it happens.
    pub live: bool,
    /// Which faults.
    pub mix: Mix,
}

/// What a history that went well was like.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Equal for equal histories.
    pub hash: u64,
    /// Virtual time, in microseconds.
    pub time: u64,
    /// Faults by kind, as in [`KINDS`].
    pub faults: [u64; KINDS.len()],
    /// Campaigns.
    pub elections: u64,
    /// Generations that committed something.
    pub generations: u64,
    /// Committed configurations that changed a seat.
    pub swaps: u64,
    /// Snapshots installed.
    pub snapshots: u64,
    /// Wipes.
    pub wipes: u64,
    /// Entries committed.
    pub entries: u64,
    /// Writes: ok, unknown, no quorum, limit.
    pub writes: [u64; 4],
    /// Reads answered and refused.
    pub reads: (u64, u64),
    /// Messages sent.
    pub messages: u64,
}

impl Report {
    /// Adds what another history was like.
    pub fn add(&mut self, other: &Self) {
        self.time += other.time;
        self.elections += other.elections;
        self.generations += other.generations;
        self.swaps += other.swaps;
        self.snapshots += other.snapshots;
        self.wipes += other.wipes;
        self.entries += other.entries;
        self.messages += other.messages;
        self.reads = (self.reads.0 + other.reads.0, self.reads.1 + other.reads.1);
        for (sum, n) in self.faults.iter_mut().zip(other.faults) {
            *sum += n;
        }
        for (sum, n) in self.writes.iter_mut().zip(other.writes) {
            *sum += n;
        }
    }
}

/// A history that went wrong.
#[derive(Debug)]
pub struct Failure {
    /// What did not hold.
    pub message: String,
    /// The end of the trace.
    pub trace: String,
    /// How to see it again.
    pub replay: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{}\nreplay with: {}", self.trace, self.message, self.replay)
    }
}
