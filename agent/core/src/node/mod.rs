//! The protocol: one node, driven by [`Node::step`].
//!
//! ```text
//! Node ─┬─ peers        what gossip says of the other slots
//!       ├─ life ─┬─ Free   unbound: promises, a founding attempt            genesis.rs
//!       │        └─ Bound  a generation: term, log, configurations          bound.rs
//!       │            └─ part: Follower · Candidate · Leader                 follower.rs election.rs leader.rs
//!       ├─ own          writes and reads of its clients, until they are answered   own.rs
//!       └─ replica      store and read lease, shared with readers           lease.rs
//! ```
//!
//! The order inside a step is rule 12: every deadline is judged against `now` before the input is looked at, so that
//! a thawed node wipes before a message could reset its timer. What a batch of inputs made necessary is sent by the
//! [`Input::Tick`] after them ([`Node::deadline`] asks for it at once), which gives group commit for free.

mod acks;
mod bound;
mod election;
mod follower;
mod genesis;
mod gossip;
mod handover;
mod inspect;
mod leader;
mod lease;
mod outbox;
mod own;
mod quorum_loss;
mod reads;
mod replication;
mod room;
mod seats;
mod sessions;
mod size;
mod snapshot;
mod status;
#[cfg(test)]
mod tests;
mod writes;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::{Event, Input, Output, Settings};
use crate::config::HostList;
use crate::message::{Body, Message};
use crate::replica::Replica;
use crate::rng::Rng;
use crate::testing::Mutant;
use crate::types::{Boot, Epoch, Incarnation, Slot, Span, Time};

use bound::{Bound, Part};
use genesis::Free;
use gossip::{Others, Peer};
pub use inspect::Inside;
use outbox::Outbox;
use own::Own;

/// What an incarnation does with its life.
#[derive(Debug)]
enum Life {
    Free(Free),
    Bound(Box<Bound>),
}

/// One node.
#[derive(Debug)]
pub struct Node {
    settings: Settings,
    hosts: HostList,
    rng: Rng,
    /// Of the step that is running; never goes back.
    now: Time,
    born: Time,
    life: Life,
    peers: BTreeMap<Slot, Peer>,
    /// Every other slot that could be a member: whom it tells that it lives.
    others: Others,
    next_ping: Time,
    /// The highest epoch that any peer ever told (S2): neither a restart of that peer nor a wipe here takes it back.
    met_epoch: Epoch,
    own: Own,
    replica: Arc<Replica>,
    outbox: Outbox,
    /// Something waits to be sent or committed by the next tick.
    dirty: bool,
    wipes: u64,
    elections: u64,
}

impl Node {
    /// A node is born: a new incarnation of its slot, with an empty store. `seed` must be random and different for
    /// each process life: the incarnation's name comes from it.
    #[must_use]
    pub fn new(settings: Settings, hosts: HostList, seed: [u64; 4], now: Time) -> Self {
        let mut rng = Rng::new(seed);
        let mut boot = Boot(rng.name());
        if settings.testing.lacks(Mutant::SameIncarnation) {
            boot = Boot(1);
        }
        let me = Incarnation { slot: settings.slot.clone(), boot };
        let mut node = Self {
            hosts,
            now,
            born: now,
            life: Life::Free(Free::default()),
            peers: BTreeMap::new(),
            others: Others::default(),
            next_ping: now,
            met_epoch: 0,
            own: Own::new(now),
            replica: Arc::new(Replica::seeded(rng.next(), settings.testing)),
            outbox: Outbox::new(me),
            dirty: false,
            wipes: 0,
            elections: 0,
            rng,
            settings,
        };
        node.outbox.event(Event::Born { boot: node.outbox.me.boot });
        node
    }

    /// What readers use.
    #[must_use]
    pub fn replica(&self) -> Arc<Replica> {
        self.replica.clone()
    }

    /// This incarnation; it changes when the data is wiped.
    #[must_use]
    pub fn me(&self) -> &Incarnation {
        &self.outbox.me
    }

    /// Something happened at `now`, on this node's own clock.
    pub fn step(&mut self, now: Time, input: Input, out: &mut Vec<Output>) {
        self.now = self.now.max(now);
        self.deadlines();
        match input {
            Input::Tick => self.flush(),
            Input::Message(message) => self.receive(message),
            Input::Propose { ticket, stamp, request, level, deadline } => {
                self.propose(ticket, stamp, request, level, deadline);
            }
            Input::Shown { ticket, generation, request, deadline } => {
                self.propose_shown(ticket, generation, request, deadline);
            }
            Input::Read { ticket, deadline } => self.read(ticket, deadline),
            Input::Hosts(hosts) => self.on_hosts(hosts),
            Input::SetSize { ticket, change } => self.set_size(ticket, change),
            Input::ClockJumped => self.drop_leases(),
            Input::LinkLost(slot) => self.link_lost(&slot),
            Input::HandOver => self.hand_over(),
        }
        out.append(&mut self.outbox.out);
    }

    /// When to call [`Input::Tick`] at the latest.
    #[must_use]
    pub fn deadline(&self) -> Time {
        if self.dirty || !self.outbox.out.is_empty() {
            return self.now;
        }
        let life = match &self.life {
            Life::Free(free) => self.genesis_deadline(free),
            Life::Bound(bound) => self.bound_deadline(bound),
        };
        life.min(self.next_ping).min(self.reads_deadline()).max(self.now + Span(1))
    }

    fn deadlines(&mut self) {
        self.check_quorum_loss();
        self.check_own();
        match &self.life {
            Life::Free(_) => self.tick_genesis(),
            Life::Bound(bound) => match bound.part {
                Part::Leader(_) => self.tick_leader(),
                Part::Follower(_) | Part::Candidate(_) => self.tick_election(),
            },
        }
        self.gossip();
    }

    /// Does what the inputs since the last tick made necessary.
    fn flush(&mut self) {
        self.dirty = false;
        self.compact();
        if self.is_leader() {
            self.advance_commit();
            self.tend_seats();
            self.tend_hand_over();
            self.tend_acks();
            self.tend_reads();
            self.replicate();
            self.publish_leader_lease();
        }
    }

    fn receive(&mut self, message: Message) {
        let Message { from, to, to_boot, generation, body } = message;
        let me = &self.outbox.me;
        if to != me.slot || from.slot == me.slot || to_boot.is_some_and(|boot| boot != me.boot) {
            return;
        }
        if let Body::Ping(ping) = body {
            return self.on_ping(from, generation, &ping);
        }
        match (&self.life, body) {
            (Life::Free(_), Body::Found(found)) => self.on_found(from, found),
            (Life::Free(_), Body::Promise(promise)) => self.on_promise(from, promise),
            (Life::Bound(bound), Body::Found(found))
                if !bound.active && self.settings.testing.lacks(Mutant::BoundPromiseMoves) =>
            {
                self.life = Life::Free(Free::default());
                self.on_found(from, found);
            }
            (_, Body::Found(_) | Body::Promise(_) | Body::Ping(_)) => {}
            (Life::Free(_), Body::Append(append)) => {
                if let Some(generation) = generation
                    && self.may_bind(generation, append.term, append.commit > 0, append.founding_epoch)
                {
                    self.bind(generation, append.term, append.founding_epoch);
                    self.on_append(from, append);
                }
            }
            (Life::Free(_), Body::SnapshotChunk(chunk)) => {
                if let Some(generation) = generation
                    && self.may_bind(generation, chunk.term, true, chunk.base.founding_epoch)
                {
                    self.bind(generation, chunk.term, chunk.base.founding_epoch);
                    self.on_snapshot_chunk(from, chunk);
                }
            }
            (_, Body::ForwardReply(reply)) => self.on_forward_reply(&from, reply),
            (Life::Bound(bound), body) if generation == Some(bound.generation) => {
                self.receive_bound(from, body)
            }
            // A free node leads nothing, and another generation's leader applies nothing: either may be said at once.
            (_, Body::Forward(forward)) => self.refuse_forward(&from, forward.id),
            _ => {}
        }
    }

    fn receive_bound(&mut self, from: Incarnation, body: Body) {
        match body {
            Body::Append(append) => self.on_append(from, append),
            Body::AppendReply(reply) => self.on_append_reply(&from, &reply),
            Body::PreVote(pre_vote) => self.on_pre_vote(&from, &pre_vote),
            Body::PreVoteReply(reply) => self.on_pre_vote_reply(from, &reply),
            Body::Vote(vote) => self.on_vote(&from, &vote),
            Body::VoteReply(reply) => self.on_vote_reply(from, &reply),
            Body::SnapshotChunk(chunk) => self.on_snapshot_chunk(from, chunk),
            Body::SnapshotReply(reply) => self.on_snapshot_reply(&from, &reply),
            Body::Revoke(revoke) => self.on_revoke(&from, revoke.term),
            Body::RevokeReply(reply) => self.on_revoke_reply(&from, reply.term),
            Body::TimeoutNow(now) => self.on_timeout_now(&from, now.term),
            Body::Behind(behind) => self.on_behind(&from, behind.term),
            Body::Forward(forward) => self.on_forward(from, forward),
            Body::ReadIndex(ask) => self.on_read_index(from, ask),
            Body::ReadIndexReply(reply) => self.on_read_index_reply(reply),
            // Handled before the generation is looked at.
            Body::Ping(_) | Body::Found(_) | Body::Promise(_) | Body::ForwardReply(_) => {}
        }
    }

    fn link_lost(&mut self, slot: &Slot) {
        self.take_back_from(slot);
        self.campaign_sooner(slot);
    }

    /// L..2L, at random.
    fn random_timeout(&mut self) -> Span {
        let lease = self.settings.lease.0;
        Span(self.rng.between(lease, 2 * lease))
    }
}
