//! One moment of one generation.

use crate::seats::log::{Log, MAX_LOG, MAX_SLOTS, Nodes};

/// The highest term in this model.
pub const MAX_TERM: usize = 5;

/// What a process does in its term.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Part {
    /// It follows, or learns.
    #[default]
    Follower,
    /// It asks for votes.
    Candidate,
    /// It leads.
    Leader,
}

/// The present incarnation of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Process {
    /// Which one it is: 0, 1, …
    pub life: u8,
    /// Its term; 0 if it was never told one.
    pub term: u8,
    /// Whether its vote in this term is given away.
    pub voted: bool,
    /// What it does in its term.
    pub part: Part,
    /// Its log.
    pub log: Log,
    /// Candidate: who voted for it, dead or alive, arrived or on the way.
    pub votes: Nodes,
    /// Leader: who acked each index, dead or alive.
    pub acks: [Nodes; MAX_LOG],
    /// Leader: what it has committed.
    pub commit: u8,
}

/// Everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State {
    /// The present incarnations.
    pub processes: [Process; MAX_SLOTS],
    /// The log of each term's leader as far as it got in that term: Appends that may still arrive. Index: term.
    pub led: [Log; MAX_TERM + 1],
    /// What was ever committed.
    pub committed: Log,
    /// The lowest term in which each index was.
    pub committed_in: [u8; MAX_LOG],
}
