//! How the core is driven: what goes in, what comes out, and what can be seen.

use std::sync::Arc;

use crate::config::{Configuration, HostList};
use crate::message::Message;
use crate::request::{AckLevel, Done, Refusal, Request, Stamp};
use crate::testing::Testing;
use crate::types::{Boot, Epoch, Generation, Incarnation, Index, LogTime, Slot, Span, Term, Time};

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
    /// Requests of one session without an answer, at most; the results of so many are remembered.
    pub session_window: u64,
    /// Sessions, at most.
    pub sessions: usize,
    /// A session that is not used for so long is ended by the leader.
    pub session_idle: Span,
    /// Bytes of remembered results, at most.
    pub dedup_bytes: usize,
    /// Bytes of one value, at most.
    pub value_bytes: usize,
    /// Bytes of one key, at most.
    pub key_bytes: usize,
    /// Writes of this node that wait for an answer, at most.
    pub waiting: usize,
    /// Bytes of the writes of this node that wait for an answer, at most.
    pub waiting_bytes: usize,
    /// What only tests change.
    pub testing: Testing,
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
            session_window: 1 << 15,
            sessions: 1024,
            session_idle: Span::from_millis(60_000),
            dedup_bytes: 32 << 20,
            value_bytes: 1 << 20,
            key_bytes: 64 << 10,
            waiting: 1 << 16,
            waiting_bytes: 16 << 20,
            testing: Testing::default(),
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
        /// `None`: stamped by this node, with a session of its own. A client that repeats a request over several nodes
        /// opens a session itself ([`Request::OpenSession`]) and stamps what it sends.
        stamp: Option<Stamp>,
        /// What is wanted.
        request: Request,
        /// When to answer.
        level: AckLevel,
        /// At the latest then it is answered, on this node's clock.
        deadline: Time,
    },
    /// A write at level Direct of a client of this node, which the replica shows and whose client was answered
    /// ([`crate::Replica::show_directly`]); answered once with [`Output::Reply`], when the leader has it.
    Shown {
        /// Chosen by the caller, repeated in the reply.
        ticket: u64,
        /// In which it is shown.
        generation: Generation,
        /// What is wanted.
        request: Request,
        /// At the latest then it is answered, on this node's clock.
        deadline: Time,
    },
    /// A client of this node wants to read what stands at this moment; answered once with [`Output::ReadReady`].
    Read {
        /// Chosen by the caller, repeated in the answer.
        ticket: u64,
        /// At the latest then it is answered, on this node's clock.
        deadline: Time,
    },
    /// The host list was read, or read again. One with a lower epoch than before is ignored (S2).
    Hosts(HostList),
    /// The operator wants the size changed (rule 4); answered at once with [`Output::Size`]. Only a leader takes it, and
    /// it may be repeated at will.
    SetSize {
        /// Chosen by the caller, repeated in the answer.
        ticket: u64,
        /// Which change.
        change: SizeChange,
    },
    /// The wall clock and the boot clock have moved by different amounts: leases may have been measured wrongly (rule 7).
    ClockJumped,
    /// The stream to this slot ended: what was forwarded on it may be lost, and is handed on again.
    LinkLost(Slot),
    /// Hand the leadership over, because this process is about to stop.
    HandOver,
}

/// What a node wants done, in this order.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "most of them are messages; a box each would be an allocation each"
)]
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
    /// What a linearizable read must use, see [`crate::Replica::get_at`].
    ReadReady {
        /// From the input.
        ticket: u64,
        /// `None`: no quorum, or the deadline has passed.
        point: Option<ReadPoint>,
    },
    /// How a change of size goes.
    Size {
        /// From the input.
        ticket: u64,
        /// How far it is.
        progress: Result<SizeProgress, SizeRefusal>,
    },
    /// Something that a person would want to know.
    Event(Event),
}

/// A point in the log that is no older than the question for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadPoint {
    /// Of this generation.
    pub generation: Generation,
    /// What must be applied.
    pub index: Index,
    /// The log's time to judge expiry by.
    pub log_time: LogTime,
}

/// A change of the size, with the number of the host list that announces it (rule 3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizeChange {
    /// Epoch of the host list that says `now` and `next`.
    pub epoch: Epoch,
    /// The slots before.
    pub now: Vec<Slot>,
    /// The slots after; `None`: a change that was announced is taken back, `now` stays.
    pub next: Option<Vec<Slot>>,
}

/// How far a change of size is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeProgress {
    /// Committed: the configuration is that of the change, or a later one.
    Done,
    /// In the log, not committed yet.
    UnderWay,
    /// Not begun: seats or leadership must move first. Ask again.
    Preparing,
}

/// Why a change of size is not begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeRefusal {
    /// Another node leads, or none.
    NotLeader,
    /// Not enough of the slots say that their own list is that of the change or a later one.
    Unconfirmed {
        /// So many do.
        confirmed: usize,
        /// So many must.
        needed: usize,
    },
    /// The new slots have no caught-up members in sufficient number yet.
    NotCaughtUp {
        /// So many of `next` are.
        caught_up: usize,
        /// So many must be.
        needed: usize,
    },
    /// The configuration in force is not the one that this change begins with.
    OtherConfiguration {
        /// Its number.
        epoch: Epoch,
    },
    /// A list is empty, too long, or names a slot twice.
    Malformed,
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
    /// Another host list is in use.
    HostsChanged {
        /// Its epoch.
        epoch: Epoch,
    },
    /// A change of size is in the log.
    Resizing {
        /// Number of the configuration.
        epoch: Epoch,
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
    /// Digest of the store at the applied index; `None`: shards of a snapshot are ahead of it.
    pub digest: Option<u64>,
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
    /// The configuration that is newest in the log.
    pub configuration: Option<Arc<Configuration>>,
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
    /// Somebody without a seat lives there and holds everything that is committed; only the leader knows.
    pub learned: bool,
}
