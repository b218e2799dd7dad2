//! What a driver asks of a loading program, and hears: one JSON object a line.

use serde::{Deserialize, Serialize};

use crate::Measured;

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum What {
    /// A write that a quorum has committed.
    Put,
    /// A write that the leader alone has taken.
    PutLeader,
    /// A write that is queued, no more.
    PutDirect,
    /// A read of the member's own replica.
    Get,
    /// A read of a bare map in the same process, the value borrowed: the floor for [`What::Get`].
    BareBorrowed,
    /// The same, the value's handle cloned.
    BareCloned,
}

/// A load.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Load {
    /// What is done.
    pub what: What,
    /// How many do it at a time; of a fixed rate, how many operations are under way at most.
    pub tasks: usize,
    /// Milliseconds before anything counts.
    pub warm: u64,
    /// Milliseconds that count.
    pub millis: u64,
    /// Operations a second; 0: each task begins the next as soon as one ends (closed loop).
    pub rate: u64,
}

/// What a driver asks.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Command {
    /// Does this member lead?
    Role,
    /// Write every key once.
    Fill,
    /// A load.
    Load(Load),
    /// Reads on this many threads, in a random order of the keys.
    Read(Load),
}

/// What it hears.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The program serves; printed once, before any command.
    Ready,
    /// Whether this member leads.
    Role {
        /// It does.
        leads: bool,
    },
    /// Every key is written.
    Filled,
    /// A load is over.
    Measured(Measured),
    /// The command could not be carried out.
    Failed {
        /// Why.
        why: String,
    },
}
