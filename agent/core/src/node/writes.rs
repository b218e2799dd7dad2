//! Writes: taken by any node, forwarded once to the leader, appended there, answered at the level asked for.
//!
//! NoQuorum is said only of a write that was never appended nor forwarded. Everything else that has no result is
//! UnknownOutcome: never "failed", never "ok" (rule 9).

use crate::log::Payload;
use crate::message::{AckLevel, Body, Done, Forward, ForwardReply, Refusal, Request};
use crate::node::bound::Part;
use crate::node::outbox::Outbox;
use crate::node::{Life, Node};
use crate::types::{Incarnation, Span, Time};

/// Expired values removed per tick, at most.
const EXPIRED_PER_TICK: usize = 256;

/// Writes that wait for a leader's answer, at most.
const FORWARDS: usize = 1 << 16;

/// Who waits for a write.
#[derive(Debug)]
pub(super) enum Waiting {
    Local { ticket: u64 },
    Remote { who: Incarnation, id: u64 },
}

impl Waiting {
    pub(super) fn answer(self, result: Result<Done, Refusal>, outbox: &mut Outbox) {
        match self {
            Self::Local { ticket } => {
                // Between nodes "not the leader" sends the write elsewhere; to a client it means no quorum.
                let result = result.map_err(|r| if r == Refusal::NotLeader { Refusal::NoQuorum } else { r });
                outbox.reply(ticket, result);
            }
            Self::Remote { who, id } => outbox.send(&who, Body::ForwardReply(ForwardReply { id, result })),
        }
    }
}

/// A write that this node sent to the leader.
#[derive(Debug)]
pub(super) struct Forwarded {
    ticket: u64,
    pub(super) to: Incarnation,
    at: Time,
}

impl Node {
    pub(super) fn propose(&mut self, ticket: u64, request: Request, level: AckLevel) {
        if self.is_leader() {
            return self.accept(Waiting::Local { ticket }, request, level);
        }
        let Some(leader) = self.present_leader() else {
            return self.outbox.reply(ticket, Err(Refusal::NoQuorum));
        };
        if self.forwards.len() >= FORWARDS {
            return self.outbox.reply(ticket, Err(Refusal::Limit));
        }
        let id = self.next_forward;
        self.next_forward += 1;
        self.forwards.insert(id, Forwarded { ticket, to: leader.clone(), at: self.now });
        self.outbox.send(&leader, Body::Forward(Forward { id, request, level }));
    }

    /// The leader it follows, heard within L.
    pub(super) fn present_leader(&self) -> Option<Incarnation> {
        match &self.bound_ref()?.part {
            Part::Follower(f) if self.now < self.promised_until() && !f.out_of_reach => f.leader.clone(),
            _ => None,
        }
    }

    pub(super) fn on_forward(&mut self, from: Incarnation, forward: Forward) {
        self.accept(Waiting::Remote { who: from, id: forward.id }, forward.request, forward.level);
    }

    pub(super) fn refuse_forward(&mut self, from: &Incarnation, id: u64) {
        let result = Err(Refusal::NotLeader);
        self.outbox.send(from, Body::ForwardReply(ForwardReply { id, result }));
    }

    fn accept(&mut self, waiting: Waiting, request: Request, level: AckLevel) {
        if let Err(refusal) = self.may_append(&request) {
            return waiting.answer(Err(refusal), &mut self.outbox);
        }
        let now = self.now;
        let Some(log_now) = self.bound_ref().and_then(|b| b.leader_ref()).map(|l| l.log_now(now)) else {
            return;
        };
        let payload = match request {
            Request::Put { cache, key, value, ttl } => {
                Payload::Put { cache, key, value, expires_at: ttl.map(|ttl| log_now + ttl) }
            }
            Request::Delete { cache, key } => Payload::Delete { cache, key },
        };
        let Some(index) = self.append(payload) else { return };
        if level == AckLevel::Leader {
            return waiting.answer(Ok(Done { version: index, existed: false }), &mut self.outbox);
        }
        if let Some(leader) = self.bound().and_then(|b| b.leader()) {
            leader.waiting.insert(index, waiting);
        }
    }

    /// Limits are judged here, before anything is appended; never when it is applied (rule 10).
    fn may_append(&self, request: &Request) -> Result<(), Refusal> {
        let Life::Bound(bound) = &self.life else { return Err(Refusal::NotLeader) };
        let leader = bound.leader_ref().ok_or(Refusal::NotLeader)?;
        if leader.renounced() || bound.commit < leader.first_index || self.now >= leader.lease_end {
            return Err(Refusal::NotLeader);
        }
        let pending = leader.pending_bytes + request.size();
        let full = matches!(request, Request::Put { .. })
            && self.replica.store().bytes() + pending > self.settings.store_bytes;
        // While a snapshot runs the log keeps its start (rule 11): it may grow to twice the ring, no further.
        let ring =
            bound.log.bytes() + request.size() > 2 * self.settings.ring_bytes + self.settings.pending_bytes;
        if full || ring || pending > self.settings.pending_bytes {
            return Err(Refusal::Limit);
        }
        Ok(())
    }

    pub(super) fn on_forward_reply(&mut self, from: &Incarnation, reply: &ForwardReply) {
        if self.forwards.get(&reply.id).is_none_or(|f| f.to != *from) {
            return;
        }
        let Some(forwarded) = self.forwards.remove(&reply.id) else { return };
        Waiting::Local { ticket: forwarded.ticket }.answer(reply.result, &mut self.outbox);
    }

    /// Forwarded writes whose answer will not come.
    pub(super) fn check_forwards(&mut self) {
        if self.forwards.is_empty() {
            return;
        }
        let present = self.present_leader();
        let lease = self.settings.lease.0;
        let now = self.now;
        match present {
            None if !self.is_leader() && now >= self.promised_until() => self.fail_forwards(|_| true),
            // A leader that is still there may be slow, or the message got lost on the way. The oldest come first.
            present => {
                let patience =
                    |f: &Forwarded| Span(if present.as_ref() == Some(&f.to) { 5 } else { 2 } * lease);
                let old = self.forwards.values().take_while(|f| now.since(f.at) > Span(2 * lease)).count();
                if old > 0 {
                    self.fail_forwards(|f| now.since(f.at) > patience(f));
                }
            }
        }
    }

    pub(super) fn fail_forwards(&mut self, which: impl Fn(&Forwarded) -> bool) {
        let failed: Vec<u64> = self.forwards.iter().filter(|(_, f)| which(f)).map(|(id, _)| *id).collect();
        for id in failed {
            if let Some(f) = self.forwards.remove(&id) {
                self.outbox.reply(f.ticket, Err(Refusal::UnknownOutcome));
            }
        }
    }

    /// Rule 10: values that have ended are removed by entries of the log, conditional on their version.
    pub(super) fn expire(&mut self) {
        let now = self.now;
        let Life::Bound(bound) = &self.life else { return };
        let Some(leader) = bound.leader_ref() else { return };
        let serving = !leader.renounced() && now < leader.lease_end && bound.commit >= leader.first_index;
        if !serving || bound.commit < leader.expired_to {
            return; // the last ones are not removed yet
        }
        let ended = self.replica.store().ended(leader.log_now(now), EXPIRED_PER_TICK);
        for r in ended {
            let index = self.append(Payload::Expire { cache: r.cache, key: r.key, version: r.version });
            if let Some(leader) = self.bound().and_then(|b| b.leader()) {
                leader.expired_to = index.unwrap_or(leader.expired_to);
            }
        }
    }
}
