//! How the core is driven: what goes in, what comes out, and what can be seen.

use std::sync::Arc;

use crate::config::Configuration;
use crate::message::{AckLevel, Done, Message, Refusal, Request};
use crate::types::{Boot, Epoch, Generation, Incarnation, Index, Slot, Span, Term};

/// What one node is told once, when it is born.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its own slot.
    pub slot: Slot,
    /// L: length of a lease, and the shortest election timeout.
    pub lease: Span,
    /// How often a leader sends when there is nothing to send.
    pub heartbeat: Span,
    /// T_inv: after this long without a quorum the data is wiped.
    pub invalidate_after: Span,
    /// The log holds at most this many bytes of applied entries.
    pub ring_bytes: usize,
    /// Bytes appended and not yet committed, at most; more is refused.
    pub pending_bytes: usize,
    /// Bytes in flight to one peer, at most.
    pub window_bytes: usize,
    /// Bytes that the store may hold; writes beyond are refused.
    pub store_bytes: usize,
    /// The lowest epoch of a host list with which this node may take part in a genesis.
    pub min_epoch: Epoch,
}

impl Settings {
    /// The defaults of the protocol for this slot.
    #[must_use]
    pub fn new(slot: Slot) -> Self {
        Self {
            slot,
            lease: Span::from_millis(1000),
            heartbeat: Span::from_millis(100),
            invalidate_after: Span::from_millis(10_000),
            ring_bytes: 64 << 20,
            pending_bytes: 16 << 20,
            window_bytes: 4 << 20,
            store_bytes: 128 << 20,
            min_epoch: 0,
        }
    }
}

/// What happens to a node.
#[derive(Clone, Debug)]
pub enum Input {
    /// Time went by. Call at the latest when [`crate::Node::deadline`] is reached.
    Tick,
    /// A message came in over an authenticated stream.
    Message(Message),
    /// A client of this node wants something written; answered once with [`Output::Reply`].
    Propose {
        /// Chosen by the caller, repeated in the reply.
        ticket: u64,
        /// What is wanted.
        request: Request,
        /// When to answer.
        level: AckLevel,
    },
    /// The stream to this slot ended: what was forwarded on it has an unknown outcome.
    LinkLost(Slot),
    /// Hand the leadership over, because this process is about to stop.
    HandOver,
}

/// What a node wants done, in this order.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send this; it may get lost.
    Send(Message),
    /// The result of a proposal.
    Reply {
        /// From the proposal.
        ticket: u64,
        /// What became of it.
        result: Result<Done, Refusal>,
    },
    /// Something that a person would want to know.
    Event(Event),
}

/// Something that a person would want to know.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A new incarnation was born, with an empty store.
    Born {
        /// Its name.
        boot: Boot,
    },
    /// It was bound to a generation.
    Bound {
        /// Which.
        generation: Generation,
        /// As its founder.
        founder: bool,
    },
    /// It campaigns.
    Campaign {
        /// In this term.
        term: Term,
    },
    /// It leads.
    Leading {
        /// In this term.
        term: Term,
    },
    /// It follows.
    Following {
        /// Whom.
        leader: Incarnation,
        /// In this term.
        term: Term,
    },
    /// It no longer leads.
    SteppedDown {
        /// The term that it led.
        term: Term,
        /// Why.
        reason: &'static str,
    },
    /// A configuration was committed.
    Configured {
        /// At this position.
        index: Index,
        /// Which.
        configuration: Arc<Configuration>,
    },
    /// It sends a snapshot.
    SnapshotStarted {
        /// To whom.
        to: Incarnation,
    },
    /// It installed a snapshot.
    SnapshotInstalled {
        /// That continues the log here.
        index: Index,
    },
    /// It wiped its data.
    Wiped {
        /// Why.
        reason: &'static str,
    },
    /// The leadership was handed over, or there was none to hand over.
    HandedOver,
}

/// What a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Bound to no generation.
    Free,
    /// Bound, without a seat.
    Learner,
    /// Seated, follows or waits.
    Follower,
    /// Campaigns.
    Candidate,
    /// Leads.
    Leader,
}

/// How a node sees its cluster.
#[derive(Clone, Debug)]
pub struct Status {
    /// This incarnation.
    pub me: Incarnation,
    /// What it does.
    pub role: Role,
    /// Its generation.
    pub generation: Option<Generation>,
    /// Its term.
    pub term: Term,
    /// Whom it follows, itself included.
    pub leader: Option<Incarnation>,
    /// Commit index.
    pub commit: Index,
    /// Applied index.
    pub applied: Index,
    /// Seated in a committed configuration, caught up and leased.
    pub ready: bool,
    /// Why not, for people.
    pub not_ready: &'static str,
    /// What is left of its read lease.
    pub lease_left: Span,
    /// Epoch of the host list.
    pub epoch: Epoch,
    /// The slots of the host list or configuration, with what is known of them.
    pub members: Vec<Member>,
    /// Wipes so far in this process.
    pub wipes: u64,
    /// Campaigns so far in this process.
    pub elections: u64,
    /// Bytes held by the log.
    pub log_bytes: usize,
}

/// One slot as another node sees it.
#[derive(Clone, Debug)]
pub struct Member {
    /// Which slot.
    pub slot: Slot,
    /// Who holds its seat.
    pub seat: Option<Incarnation>,
    /// Entries behind the leader; only the leader knows.
    pub lag: Option<u64>,
    /// It holds a seat and everything that is committed; only the leader knows of others.
    pub caught_up: bool,
}
