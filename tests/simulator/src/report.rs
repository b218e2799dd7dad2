//! What to run, and what came of it.

use std::time::Duration;

use rauthy_core::testing::Mutant;

use crate::faults::{Fault, KINDS};

/// Which faults happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Mix {
    /// All kinds.
    #[default]
    Any,
    /// All kinds, and somebody who edits `replicas`.
    Resizing,
    /// Nothing but one restart after the other, each when everybody is ready.
    Rolling,
}

impl Mix {
    /// As the command line has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Resizing => "resizing",
            Self::Rolling => "rolling",
        }
    }

    /// Whether the size changes.
    #[must_use]
    pub fn resizes(self) -> bool {
        self == Self::Resizing
    }
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
    /// The rule of the protocol that is left out, to see that it is missed.
    pub mutant: Option<Mutant>,
    /// Instead of random faults: these, at these milliseconds, and a line for each second of the clients' fortunes.
    pub script: Option<Vec<(u64, Fault)>>,
}

impl Options {
    /// A history of this seed.
    #[must_use]
    pub fn new(seed: u64, nodes: usize, seconds: u64, mix: Mix) -> Self {
        Self { seed, nodes, seconds, live: false, mix, mutant: None, script: None }
    }
}

/// What a history that went well was like.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Histories.
    pub seeds: u64,
    /// Equal for equal histories.
    pub hash: u64,
    /// Virtual time, in microseconds.
    pub time: u64,
    /// Faults by kind, as in [`KINDS`].
    pub faults: [u64; KINDS.len()],
    /// Campaigns.
    pub elections: u64,
    /// Attempts to found a generation that fixed seats.
    pub genesis: u64,
    /// Changes of size that were committed.
    pub resizes: u64,
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
    /// Values that must be there after healing, over all nodes.
    pub expected: u64,
    /// Values that were.
    pub held: u64,
    /// Messages sent.
    pub messages: u64,
}

impl Report {
    /// As a table of Markdown, for people.
    #[must_use]
    pub fn table(&self, took: Duration) -> String {
        let seconds = took.as_secs_f64().max(1e-9);
        let faults: Vec<String> = KINDS.iter().zip(self.faults).map(|(k, n)| format!("{k} {n}")).collect();
        let [ok, unknown, no_quorum, refused] = self.writes;
        let rows = [
            ("seeds", format!("{} ({:.1} per second)", self.seeds, self.seeds as f64 / seconds)),
            ("virtual time", format!("{:.1} hours in {seconds:.0} s", self.time as f64 / 3.6e9)),
            ("faults", format!("{}: {}", self.faults.iter().sum::<u64>(), faults.join(", "))),
            ("elections", self.elections.to_string()),
            (
                "genesis (seats fixed; generations that committed)",
                format!("{}; {}", self.genesis, self.generations),
            ),
            ("seat swaps", self.swaps.to_string()),
            ("changes of size", self.resizes.to_string()),
            ("snapshots installed", self.snapshots.to_string()),
            ("wipes", self.wipes.to_string()),
            ("entries committed", self.entries.to_string()),
            ("messages", self.messages.to_string()),
            ("writes", format!("{ok} ok, {unknown} unknown, {no_quorum} no quorum, {refused} refused")),
            ("reads", format!("{} answered, {} refused", self.reads.0, self.reads.1)),
            (
                "values looked for on every node after healing",
                format!("{}, found {}", self.expected, self.held),
            ),
            ("quorum-acknowledged values lost", self.expected.saturating_sub(self.held).to_string()),
        ];
        let width = rows.iter().map(|(what, _)| what.len()).max().unwrap_or(0);
        let rows = rows.iter().map(|(what, n)| format!("| {what:width$} | {n} |\n"));
        format!("| {:width$} | |\n|-{:-<width$}-|---|\n{}", "what", "", rows.collect::<String>())
    }

    /// Adds what another history was like.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds.max(1);
        self.time += other.time;
        self.elections += other.elections;
        self.genesis += other.genesis;
        self.resizes += other.resizes;
        self.generations += other.generations;
        self.swaps += other.swaps;
        self.snapshots += other.snapshots;
        self.wipes += other.wipes;
        self.entries += other.entries;
        self.messages += other.messages;
        self.expected += other.expected;
        self.held += other.held;
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
