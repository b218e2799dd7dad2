//! Between the core's messages and their form on the wire, both ways and total: every message can be written, and
//! bytes of a peer become a checked message or an error, never a panic.
//!
//! * [`parts`]: names, numbers, times · [`log`]: entries, configurations · [`snapshot`]: its pieces
//! * [`writes`]: forwarded writes · [`results`]: what became of them
//! * [`packed`]: several messages in a denser form, which peers speak that know it
//!
//! How many elements a frame may have is judged before it is decoded, by [`rauthy_proto::codec`].

mod error;
mod log;
pub mod packed;
pub(super) mod parts;
mod results;
mod snapshot;
mod writes;

use rauthy_core::message::{
    Append, AppendReply, Ballot, Body, Found, Grant, Message, Ping, PreVote, PreVoteReply, Promise,
    ReadIndex, Revoke, SnapshotReply, Vote, VoteReply,
};
use rauthy_core::{Boot, Generation};
use rauthy_proto::mesh as proto;
use rauthy_proto::mesh::message::Body as Wire;

pub use error::WireError;
use parts::{count, generation, incarnation, log_time, name, name_bytes, put_incarnation, slot, span, time};

/// Writes a message.
#[must_use]
pub fn encode(message: Message) -> proto::Message {
    proto::Message {
        from: Some(put_incarnation(&message.from)),
        to: Some(proto::Incarnation {
            slot: message.to.to_string(),
            boot: message.to_boot.map(|b| name_bytes(b.0)).unwrap_or_default(),
        }),
        generation: message.generation.map(|g| name_bytes(g.0)).unwrap_or_default(),
        body: Some(put_body(message.body)),
    }
}

/// Reads a message.
///
/// # Errors
/// If a part is missing or out of bounds.
pub fn decode(from: proto::Message) -> Result<Message, WireError> {
    let to = from.to.ok_or(WireError::Missing("the receiver"))?;
    let to_boot = if to.boot.is_empty() { None } else { Some(Boot(name("a boot", &to.boot)?)) };
    let generation: Option<Generation> =
        if from.generation.is_empty() { None } else { Some(generation(&from.generation)?) };
    Ok(Message {
        from: incarnation(from.from)?,
        to: slot(&to.slot)?,
        to_boot,
        generation,
        body: body(from.body.ok_or(WireError::Missing("what a message says"))?)?,
    })
}

fn put_body(body: Body) -> Wire {
    match body {
        Body::Ping(p) => Wire::Ping(proto::Ping {
            free: p.free,
            leader_heard_us: p.leader_heard.map(|s| s.0),
            epoch: p.epoch,
            term: p.term,
        }),
        Body::Found(f) => Wire::Found(proto::Found {
            ballot: Some(put_ballot(&f.ballot)),
            generation: name_bytes(f.generation.0),
            epoch: f.epoch,
        }),
        Body::Promise(p) => Wire::Promise(proto::Promise {
            ballot: Some(put_ballot(&p.ballot)),
            granted: p.granted,
            highest_round: p.highest_round,
        }),
        Body::PreVote(v) => Wire::PreVote(proto::PreVote {
            term: v.term,
            last_index: v.last_index,
            last_term: v.last_term,
            founding_epoch: v.founding_epoch,
        }),
        Body::PreVoteReply(r) => Wire::PreVoteReply(proto::PreVoteReply {
            term: r.term,
            granted: r.granted,
            leader_alive: r.leader_alive,
        }),
        Body::Vote(v) => Wire::Vote(proto::Vote {
            term: v.term,
            last_index: v.last_index,
            last_term: v.last_term,
            founding_epoch: v.founding_epoch,
            handed_over_by_term: v.handed_over_by,
        }),
        Body::VoteReply(r) => Wire::VoteReply(proto::VoteReply { term: r.term, granted: r.granted }),
        Body::Append(a) => Wire::Append(put_append(&a)),
        Body::AppendReply(r) => Wire::AppendReply(proto::AppendReply {
            term: r.term,
            accepted: r.accepted,
            index: r.index,
            sent_at_us: r.sent_at.0,
            clock_us: r.clock.0,
            applied: r.applied,
        }),
        Body::SnapshotChunk(c) => Wire::SnapshotChunk(snapshot::put_chunk(c)),
        Body::SnapshotReply(r) => Wire::SnapshotReply(proto::SnapshotReply {
            term: r.term,
            id: r.id,
            shard: r.shard,
            part: r.part,
            installed: r.installed,
            restart: r.restart,
        }),
        Body::Revoke(r) => Wire::Revoke(proto::Revoke { term: r.term }),
        Body::RevokeReply(r) => Wire::RevokeReply(proto::RevokeReply { term: r.term }),
        Body::TimeoutNow(r) => Wire::TimeoutNow(proto::TimeoutNow { term: r.term }),
        Body::Behind(r) => Wire::Behind(proto::Behind { term: r.term }),
        Body::Forward(f) => Wire::Forward(writes::put_forward(f)),
        Body::ForwardReply(r) => Wire::ForwardReply(results::put_reply(r)),
        Body::ReadIndex(r) => Wire::ReadIndex(proto::ReadIndex { id: r.id }),
        Body::ReadIndexReply(r) => Wire::ReadIndexReply(results::put_point(r)),
    }
}

fn body(from: Wire) -> Result<Body, WireError> {
    let only = |term| Ok(Revoke { term: count(term)? });
    Ok(match from {
        Wire::Ping(p) => Body::Ping(Ping {
            free: p.free,
            leader_heard: p.leader_heard_us.map(span).transpose()?,
            epoch: count(p.epoch)?,
            term: count(p.term)?,
        }),
        Wire::Found(f) => Body::Found(Found {
            ballot: ballot(f.ballot)?,
            generation: generation(&f.generation)?,
            epoch: count(f.epoch)?,
        }),
        Wire::Promise(p) => Body::Promise(Promise {
            ballot: ballot(p.ballot)?,
            granted: p.granted,
            highest_round: count(p.highest_round)?,
        }),
        Wire::PreVote(v) => Body::PreVote(PreVote {
            term: count(v.term)?,
            last_index: count(v.last_index)?,
            last_term: count(v.last_term)?,
            founding_epoch: count(v.founding_epoch)?,
        }),
        Wire::PreVoteReply(r) => Body::PreVoteReply(PreVoteReply {
            term: count(r.term)?,
            granted: r.granted,
            leader_alive: r.leader_alive,
        }),
        Wire::Vote(v) => Body::Vote(Vote {
            term: count(v.term)?,
            last_index: count(v.last_index)?,
            last_term: count(v.last_term)?,
            founding_epoch: count(v.founding_epoch)?,
            handed_over_by: v.handed_over_by_term.map(count).transpose()?,
        }),
        Wire::VoteReply(r) => Body::VoteReply(VoteReply { term: count(r.term)?, granted: r.granted }),
        Wire::Append(a) => Body::Append(append(a)?),
        Wire::AppendReply(r) => Body::AppendReply(AppendReply {
            term: count(r.term)?,
            accepted: r.accepted,
            index: count(r.index)?,
            sent_at: time(r.sent_at_us)?,
            clock: time(r.clock_us)?,
            applied: count(r.applied)?,
        }),
        Wire::SnapshotChunk(c) => Body::SnapshotChunk(snapshot::chunk(c)?),
        Wire::SnapshotReply(r) => Body::SnapshotReply(SnapshotReply {
            term: count(r.term)?,
            id: r.id,
            shard: r.shard,
            part: r.part,
            installed: r.installed,
            restart: r.restart,
        }),
        Wire::Revoke(r) => Body::Revoke(only(r.term)?),
        Wire::RevokeReply(r) => Body::RevokeReply(only(r.term)?),
        Wire::TimeoutNow(r) => Body::TimeoutNow(only(r.term)?),
        Wire::Behind(r) => Body::Behind(only(r.term)?),
        Wire::Forward(f) => Body::Forward(writes::forward(f)?),
        Wire::ForwardReply(r) => Body::ForwardReply(results::reply(r)?),
        Wire::ReadIndex(r) => Body::ReadIndex(ReadIndex { id: r.id }),
        Wire::ReadIndexReply(r) => Body::ReadIndexReply(results::point(&r)?),
    })
}

fn put_ballot(ballot: &Ballot) -> proto::Ballot {
    proto::Ballot { round: ballot.round, founder: Some(put_incarnation(&ballot.founder)) }
}

fn ballot(from: Option<proto::Ballot>) -> Result<Ballot, WireError> {
    let from = from.ok_or(WireError::Missing("a ballot"))?;
    Ok(Ballot { round: count(from.round)?, founder: incarnation(from.founder)? })
}

fn put_append(append: &Append) -> proto::Append {
    proto::Append {
        term: append.term,
        prev_index: append.prev_index,
        prev_term: append.prev_term,
        commit: append.commit,
        founding_epoch: append.founding_epoch,
        sent_at_us: append.sent_at.0,
        log_time_us: append.log_time.0,
        grant: append.grant.map(|g| proto::Grant { echo_us: g.echo.0, rest_us: g.rest.0 }),
        entries: append.entries.iter().map(|entry| log::put_entry(entry)).collect(),
    }
}

fn append(from: proto::Append) -> Result<Append, WireError> {
    let prev_index = count(from.prev_index)?;
    let grant = |g: proto::Grant| Ok(Grant { echo: time(g.echo_us)?, rest: span(g.rest_us)? });
    Ok(Append {
        term: count(from.term)?,
        prev_index,
        prev_term: count(from.prev_term)?,
        commit: count(from.commit)?,
        founding_epoch: count(from.founding_epoch)?,
        sent_at: time(from.sent_at_us)?,
        log_time: log_time(from.log_time_us)?,
        grant: from.grant.map(grant).transpose()?,
        entries: log::entries(prev_index, from.entries)?,
    })
}

#[cfg(test)]
mod tests;
