//! Writes at the leader: judged, appended, and answered at the level asked for.
//!
//! ```text
//! accept ─▶ does this node lead, with a lease? ─▶ session, floor, window (sessions.rs) ─▶ result known? answered
//!        ─▶ room in the cache, the store, the log (room.rs) ─▶ appended ─▶ Waiting by level (acks.rs)
//! ```
//!
//! Limits are judged here, before anything is appended; never when it is applied (rule 10).

use crate::log::{Op, Payload, Tag};
use crate::message::{Body, Forward, ForwardReply, ReadIndexReply};
use crate::node::bound::Bound;
use crate::node::outbox::Outbox;
use crate::node::{Life, Node};
use crate::request::{AckLevel, Done, Effect, Limit, Refusal, Request, Stamp};
use crate::types::{Incarnation, Index, LogTime};

/// Who waits for a write or a read at the leader.
#[derive(Clone, Debug)]
pub(super) enum Waiting {
    /// A client of this node, see `own.rs`.
    Own { id: u64 },
    /// Another node.
    Remote { who: Incarnation, id: u64 },
}

/// A write that came before its leader could serve.
#[derive(Debug)]
pub(super) struct Parked {
    pub(super) waiting: Waiting,
    stamp: Option<Stamp>,
    request: Request,
    level: AckLevel,
}

/// Writes that wait for a new leader's first entry, at most.
const PARKED: usize = 4096;

impl Node {
    /// It leads, and may say so: a quorum has acked lately, an entry of its own term is committed, and it does not hand
    /// over.
    pub(super) fn serves(&self) -> bool {
        let Life::Bound(bound) = &self.life else { return false };
        bound.leader_ref().is_some_and(|leader| {
            !leader.renounced() && bound.commit >= leader.first_index && self.now < leader.lease_end
        })
    }

    /// Tells whoever waits for a write what became of it.
    pub(super) fn answer(&mut self, waiting: Waiting, result: Result<Done, Refusal>) {
        let result = match result {
            // It was below its session's floor when its turn came.
            Ok(Done { effect: Effect::Unknown, .. }) => Err(Refusal::UnknownOutcome),
            result => result,
        };
        match waiting {
            Waiting::Own { id } => self.answered(id, result),
            Waiting::Remote { who, id } => {
                // Not where it is only in the log: nobody can look at that yet.
                if result.as_ref().is_ok_and(|done| done.effect != Effect::Accepted) {
                    self.tell_soon(&who);
                }
                send_reply(&mut self.outbox, &who, id, result);
            }
        }
    }

    /// Whoever was answered there may look at once: it hears of the commit without delay.
    fn tell_soon(&mut self, who: &Incarnation) {
        let leader = self.bound().and_then(Bound::leader);
        if let Some(progress) = leader.and_then(|leader| leader.progress.get_mut(who)) {
            progress.waits_for_commit = true;
        }
    }

    /// Tells whoever waits for a read index.
    pub(super) fn answer_read(&mut self, waiting: Waiting, point: Option<(Index, LogTime)>) {
        match waiting {
            Waiting::Own { id } => self.read_answered(id, point),
            Waiting::Remote { who, id } => {
                self.tell_soon(&who);
                self.outbox.send(&who, Body::ReadIndexReply(ReadIndexReply { id, point }));
            }
        }
    }

    pub(super) fn on_forward(&mut self, from: Incarnation, forward: Forward) {
        let waiting = Waiting::Remote { who: from, id: forward.id };
        self.accept(waiting, forward.stamp, forward.request, forward.level);
    }

    pub(super) fn refuse_forward(&mut self, from: &Incarnation, id: u64) {
        send_reply(&mut self.outbox, from, id, Err(Refusal::NotLeader));
    }

    /// Takes a write, or says at once why not, or what became of it before.
    pub(super) fn accept(
        &mut self,
        waiting: Waiting,
        stamp: Option<Stamp>,
        request: Request,
        level: AckLevel,
    ) {
        if let Some(parked) = self.parking() {
            return parked.push(Parked { waiting, stamp, request, level });
        }
        let now = self.now;
        let judged = self.judge(stamp, &request, level);
        if let (Ok(_), Some(stamp), Some(leader)) = (&judged, stamp, self.bound().and_then(Bound::leader)) {
            leader.sessions.used(stamp, now);
        }
        match judged {
            Err(refusal) => self.answer(waiting, Err(refusal)),
            Ok(Some(done)) => self.answer_again(waiting, done, level),
            Ok(None) => {
                let Some(index) = self.append_write(stamp, request) else {
                    return self.answer(waiting, Err(Refusal::NotLeader));
                };
                self.wait_for(index, waiting, level);
            }
        }
    }

    /// Where writes wait for the moment at which a new leader may serve: it was elected, and its first entry is about to
    /// be committed.
    fn parking(&mut self) -> Option<&mut Vec<Parked>> {
        let Life::Bound(bound) = &mut self.life else { return None };
        let commit = bound.commit;
        let leader = bound.leader()?;
        let soon = !leader.renounced() && commit < leader.first_index && leader.parked.len() < PARKED;
        soon.then_some(&mut leader.parked)
    }

    /// Its first entry is committed: what came before is judged now.
    pub(super) fn unpark(&mut self) {
        let Some(leader) = self.bound().and_then(|b| b.leader()) else { return };
        for parked in std::mem::take(&mut leader.parked) {
            self.accept(parked.waiting, parked.stamp, parked.request, parked.level);
        }
    }

    /// Whether it may be appended; `Some`: it was applied before, and this came of it.
    fn judge(
        &mut self,
        stamp: Option<Stamp>,
        request: &Request,
        level: AckLevel,
    ) -> Result<Option<Done>, Refusal> {
        if !self.serves() {
            return Err(Refusal::NotLeader);
        }
        let leader = self.bound_ref().and_then(Bound::leader_ref);
        let may_stand = stamp.is_some_and(|stamp| leader.is_some_and(|l| l.sessions.may_stand(stamp)));
        self.judge_new(stamp, request, level).map_err(|refusal| match refusal {
            // An earlier copy may be in the log.
            Refusal::Limit(_) | Refusal::Level if may_stand => Refusal::UnknownOutcome,
            refusal => refusal,
        })
    }

    fn judge_new(
        &mut self,
        stamp: Option<Stamp>,
        request: &Request,
        level: AckLevel,
    ) -> Result<Option<Done>, Refusal> {
        if let Some(stamp) = stamp {
            self.admit(stamp)?;
            let key = match request {
                Request::Put { cache, key, .. }
                | Request::Delete { cache, key }
                | Request::Take { cache, key }
                | Request::Increment { cache, key, .. } => Some((cache.as_ref(), key.as_ref())),
                Request::Clear { .. } | Request::Declare { .. } | Request::OpenSession => None,
            };
            if let Some(done) = self.replica.store().recorded(key, stamp.session, stamp.seq) {
                return Ok(Some(done));
            }
            self.may_remember()?;
        } else if *request == Request::OpenSession {
            self.may_open_session()?;
        }
        let direct = request.cache().and_then(|c| self.replica.store().limits(c)).is_some_and(|l| l.direct);
        if level == AckLevel::All && direct {
            return Err(Refusal::Level);
        }
        self.may_append(request.size()).map_err(Refusal::Limit)?;
        self.make_room(request).map_err(Refusal::Limit)?;
        Ok(None)
    }

    /// The log and what waits in it are bounded.
    fn may_append(&self, size: usize) -> Result<(), Limit> {
        let Life::Bound(bound) = &self.life else { return Ok(()) };
        let Some(leader) = bound.leader_ref() else { return Ok(()) };
        if leader.pending_bytes + size > self.settings.pending_bytes {
            return Err(Limit::Pending);
        }
        // While a snapshot runs the log keeps its start (rule 11): it may grow to twice the ring, no further.
        let most = 2 * self.settings.ring_bytes + self.settings.pending_bytes;
        if bound.log.bytes() + size > most { Err(Limit::Log) } else { Ok(()) }
    }

    fn append_write(&mut self, stamp: Option<Stamp>, request: Request) -> Option<Index> {
        let now = self.now;
        let log_now = self.bound_ref()?.leader_ref()?.log_now(now);
        let generation = self.bound_ref()?.generation;
        // (Every stamp that is admitted is of this generation, but for a mutant that applies others.)
        let stamp = stamp.filter(|stamp| stamp.generation == generation);
        let tag = stamp.map(|s| Tag { session: s.session, seq: s.seq, floor: s.floor });
        let op = match request {
            Request::Put { cache, key, value, ttl, condition } => {
                let ttl = ttl.or_else(|| self.replica.store().limits(&cache).and_then(|l| l.ttl));
                Op::Put { cache, key, value, expires_at: ttl.map(|ttl| log_now + ttl), condition }
            }
            Request::Delete { cache, key } => Op::Delete { cache, key },
            Request::Take { cache, key } => Op::Take { cache, key },
            Request::Increment { cache, key, by, ttl } => {
                let ttl = ttl.or_else(|| self.replica.store().limits(&cache).and_then(|l| l.ttl));
                Op::Increment { cache, key, by, expires_at: ttl.map(|ttl| log_now + ttl) }
            }
            Request::Clear { cache } => Op::Clear { cache },
            Request::Declare { cache, limits } => Op::Declare { cache, limits },
            Request::OpenSession => Op::OpenSession,
        };
        self.append(Payload::Write { tag, op })
    }
}

fn send_reply(outbox: &mut Outbox, to: &Incarnation, id: u64, result: Result<Done, Refusal>) {
    outbox.send(to, Body::ForwardReply(ForwardReply { id, result }));
}
