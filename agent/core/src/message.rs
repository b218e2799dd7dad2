//! What nodes say to each other. Every message names its sender, its receiver and its generation; a receiver
//! drops what is not meant for its own incarnation and generation (the exceptions say so).

use std::sync::Arc;

use crate::config::Configuration;
use crate::log::Entry;
use crate::request::{AckLevel, Done, Refusal, Request, Stamp};
use crate::store::Record;
use crate::types::{Boot, Epoch, Generation, Incarnation, Index, LogTime, Slot, Span, Term, Time};

/// Which stream carries a message, so that a big one never delays a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Appends, heartbeats, elections, gossip.
    Control,
    /// Writes on their way to the leader, and their results.
    Forward,
    /// Snapshots.
    Bulk,
}

/// One message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Who sends it.
    pub from: Incarnation,
    /// The slot it goes to.
    pub to: Slot,
    /// The incarnation it is meant for; `None`: whichever lives there.
    pub to_boot: Option<Boot>,
    /// The generation it speaks of; `None` while the sender is free.
    pub generation: Option<Generation>,
    /// What it says.
    pub body: Body,
}

impl Message {
    /// Which stream carries it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.body {
            Body::SnapshotChunk(_) | Body::SnapshotReply(_) => Class::Bulk,
            Body::Forward(_) | Body::ForwardReply(_) | Body::ReadIndex(_) | Body::ReadIndexReply(_) => {
                Class::Forward
            }
            _ => Class::Control,
        }
    }
}

/// What a message says.
#[derive(Clone, Debug, PartialEq)]
pub enum Body {
    /// Gossip between all slots.
    Ping(Ping),
    /// A founder asks for a promise.
    Found(Found),
    /// The answer to it.
    Promise(Promise),
    /// Would you vote for me? Changes nothing at the receiver.
    PreVote(PreVote),
    /// The answer to it.
    PreVoteReply(PreVoteReply),
    /// A candidate asks for a vote.
    Vote(Vote),
    /// The answer to it.
    VoteReply(VoteReply),
    /// Entries, the commit index, a lease; without entries a heartbeat.
    Append(Append),
    /// The answer to it.
    AppendReply(AppendReply),
    /// A piece of the leader's store for a learner.
    SnapshotChunk(SnapshotChunk),
    /// The answer to it.
    SnapshotReply(SnapshotReply),
    /// A leader that hands over takes back the read lease that it granted.
    Revoke(Revoke),
    /// The holder has dropped it.
    RevokeReply(Revoke),
    /// Campaign now: the leader of this term has given up its lease for you.
    TimeoutNow(Revoke),
    /// You fell behind what my log still holds: take a new incarnation and learn anew.
    Behind(Revoke),
    /// A write on its way to the leader.
    Forward(Forward),
    /// Its result.
    ForwardReply(ForwardReply),
    /// Where must a node be to read what stands now?
    ReadIndex(ReadIndex),
    /// The answer to it.
    ReadIndexReply(ReadIndexReply),
}

/// Gossip.
#[derive(Clone, Debug, PartialEq)]
pub struct Ping {
    /// The sender is bound to no generation.
    pub free: bool,
    /// How long ago it heard from a leader; a leader with a lease says zero.
    pub leader_heard: Option<Span>,
    /// Epoch of the host list that it acts on.
    pub epoch: Epoch,
    /// Its term.
    pub term: Term,
}

/// Order of attempts to found a generation: by round, then by founder.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ballot {
    /// Counted up by a founder past every round it has seen.
    pub round: u64,
    /// Who founds.
    pub founder: Incarnation,
}

/// A founder asks for a promise.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its place among the attempts.
    pub ballot: Ballot,
    /// The name that the generation would have.
    pub generation: Generation,
    /// Epoch of the founder's host list.
    pub epoch: Epoch,
}

/// The answer to [`Found`].
#[derive(Clone, Debug, PartialEq)]
pub struct Promise {
    /// Repeated from the question.
    pub ballot: Ballot,
    /// Whether it was given.
    pub granted: bool,
    /// The highest round that the giver has seen.
    pub highest_round: u64,
}

/// A question before an election (Ongaro, "Consensus", §9.6).
#[derive(Clone, Debug, PartialEq)]
pub struct PreVote {
    /// The term the sender would campaign in.
    pub term: Term,
    /// Index of its last entry.
    pub last_index: Index,
    /// Term of its last entry.
    pub last_term: Term,
    /// The epoch that the generation was founded under.
    pub founding_epoch: Epoch,
}

/// The answer to [`PreVote`].
#[derive(Clone, Debug, PartialEq)]
pub struct PreVoteReply {
    /// The term asked for if granted, else the answerer's own.
    pub term: Term,
    /// Yes or no.
    pub granted: bool,
    /// With a no: the answerer had a leader within L.
    pub leader_alive: bool,
}

/// A candidate asks for a vote.
#[derive(Clone, Debug, PartialEq)]
pub struct Vote {
    /// The candidate's term.
    pub term: Term,
    /// Index of its last entry.
    pub last_index: Index,
    /// Term of its last entry.
    pub last_term: Term,
    /// The epoch that the generation was founded under.
    pub founding_epoch: Epoch,
    /// The leader of this term has given up its lease and asked the candidate to campaign.
    pub handed_over_by: Option<Term>,
}

/// The answer to [`Vote`].
#[derive(Clone, Debug, PartialEq)]
pub struct VoteReply {
    /// The answerer's term.
    pub term: Term,
    /// Yes or no.
    pub granted: bool,
}

/// Entries and heartbeat.
#[derive(Clone, Debug, PartialEq)]
pub struct Append {
    /// The leader's term.
    pub term: Term,
    /// The entry before the first of `entries`.
    pub prev_index: Index,
    /// Its term.
    pub prev_term: Term,
    /// The leader's commit index.
    pub commit: Index,
    /// The epoch that the generation was founded under.
    pub founding_epoch: Epoch,
    /// The leader's clock when it sent this; repeated in the reply.
    pub sent_at: Time,
    /// The log's time when it was sent.
    pub log_time: LogTime,
    /// What ties the log's time to the receiver's clock, and a read lease; absent until it has answered once.
    pub grant: Option<Grant>,
    /// The entries, in order.
    pub entries: Vec<Arc<Entry>>,
}

/// The receiver may read until `echo` + `rest`·(1−ρ)/(1+ρ) on its own clock. When its clock showed `echo`, the log's
/// time was no later than the append's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Grant {
    /// The newest clock value that the receiver itself had sent.
    pub echo: Time,
    /// What was left of the leader's own lease; zero: no lease, for a learner or while the leader holds none.
    pub rest: Span,
}

/// The answer to [`Append`].
#[derive(Clone, Debug, PartialEq)]
pub struct AppendReply {
    /// The answerer's term.
    pub term: Term,
    /// The entry before the first one was there.
    pub accepted: bool,
    /// Accepted: the last index known to match. Refused: the last index that could match.
    pub index: Index,
    /// Repeated from the append.
    pub sent_at: Time,
    /// The answerer's own clock, to be echoed in a grant.
    pub clock: Time,
    /// What it has applied.
    pub applied: Index,
}

/// Where a snapshot continues the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Base {
    /// Last index that the log need not hold any more.
    pub index: Index,
    /// Its term.
    pub term: Term,
    /// Its time.
    pub time: LogTime,
    /// The configuration in force there.
    pub configuration: Arc<Configuration>,
    /// The epoch that the generation was founded under.
    pub founding_epoch: Epoch,
}

/// A piece of one shard. A shard is copied in one piece together with its applied index; only its transfer is cut
/// into parts.
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotChunk {
    /// The leader's term.
    pub term: Term,
    /// Which snapshot.
    pub id: u64,
    /// Where it continues the log.
    pub base: Base,
    /// Which shard.
    pub shard: u32,
    /// Which part of it, from 0.
    pub part: u32,
    /// The last part of the shard.
    pub shard_done: bool,
    /// The last part of the last shard.
    pub done: bool,
    /// The applied index of the shard when it was copied.
    pub shard_applied: Index,
    /// Its values.
    pub records: Vec<Record>,
}

/// The answer to [`SnapshotChunk`].
#[derive(Clone, Debug, PartialEq)]
pub struct SnapshotReply {
    /// The answerer's term.
    pub term: Term,
    /// Which snapshot.
    pub id: u64,
    /// The next shard that it waits for.
    pub shard: u32,
    /// The next part that it waits for.
    pub part: u32,
    /// All of it is installed.
    pub installed: bool,
    /// It knows nothing of this snapshot: begin again.
    pub restart: bool,
}

/// A message that says no more than its term.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Revoke {
    /// The sender's term.
    pub term: Term,
}

/// A write on its way to the leader.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// Chosen by the sender.
    pub id: u64,
    /// By which it is known again; `None` only for what may be done twice: opening a session.
    pub stamp: Option<Stamp>,
    /// What is wanted.
    pub request: Request,
    /// When to answer.
    pub level: AckLevel,
}

/// Its result.
#[derive(Clone, Debug, PartialEq)]
pub struct ForwardReply {
    /// Repeated.
    pub id: u64,
    /// What became of it.
    pub result: Result<Done, Refusal>,
}

/// Asks the leader for a point that is no older than the question (Ongaro, "Consensus", §6.4).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReadIndex {
    /// Chosen by the sender.
    pub id: u64,
}

/// The answer to [`ReadIndex`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReadIndexReply {
    /// Repeated.
    pub id: u64,
    /// Index that must be applied, and the log's time to judge expiry by; `None`: the node asked does not lead.
    pub point: Option<(Index, LogTime)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_big_or_can_wait_has_a_stream_of_its_own() {
        let who = Incarnation { slot: Slot::new("n0:1"), boot: Boot(1) };
        let class = |body| {
            Message { from: who.clone(), to: who.slot.clone(), to_boot: None, generation: None, body }.class()
        };
        let reply = SnapshotReply { term: 1, id: 1, shard: 0, part: 0, installed: false, restart: false };
        assert_eq!(class(Body::SnapshotReply(reply)), Class::Bulk);
        assert_eq!(class(Body::ReadIndex(ReadIndex { id: 1 })), Class::Forward);
        assert_eq!(class(Body::Revoke(Revoke { term: 1 })), Class::Control);
    }
}
