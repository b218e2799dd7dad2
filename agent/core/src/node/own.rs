//! Rule 9, on the side of the node that took a write: stamps it, hands it to the leader, and hands it on again, with
//! the same stamp, until somebody answers or its deadline has passed.
//!
//! ```text
//! Own ─┬─ session   the session of this node in its generation; opened by the first write that needs one   session.rs
//!      ├─ writes    ring by id; id = seq in the session; the first one without an answer is the floor
//!      └─ reads     questions for a read index
//! ```
//!
//! NoQuorum is said only of a write that was never handed to a leader. Everything else that has no result is
//! UnknownOutcome: never "failed", never "ok".

mod session;

use std::collections::{BTreeMap, VecDeque};

use crate::api::{Output, ReadPoint};
use crate::message::{Body, ForwardReply, ReadIndex, ReadIndexReply};
use crate::node::Node;
use crate::node::bound::Part;
use crate::node::writes::Waiting;
use crate::replica::Shows;
use crate::request::{AckLevel, Done, Effect, Limit, Refusal, Request, Stamp};
use crate::types::{Generation, Incarnation, Index, Slot, Span, Time};

use session::Session;

/// Writes and reads of this node's own clients that wait for an answer.
#[derive(Debug)]
pub(super) struct Own {
    session: Option<Session>,
    /// The write that opens a session.
    opening: Option<u64>,
    /// Id of the first one in the ring; ids go on over generations.
    first: u64,
    writes: VecDeque<Option<Write>>,
    waiting: usize,
    bytes: usize,
    reads: BTreeMap<u64, Read>,
    next_read: u64,
    /// When they are looked through again.
    pub(super) check_at: Time,
}

#[derive(Debug)]
struct Write {
    /// `None`: nobody waits for the answer.
    ticket: Option<u64>,
    stamp: Option<Stamp>,
    request: Request,
    level: AckLevel,
    since: Time,
    deadline: Time,
    /// Who has it now, and since when.
    at: Option<(Incarnation, Time)>,
    /// How often it was handed to somebody: from the first time on it may stand.
    attempts: u32,
    /// Its client was answered already: it waits for a leader until its deadline.
    answered: bool,
}

#[derive(Debug)]
struct Read {
    ticket: u64,
    deadline: Time,
    at: Option<(Slot, Time)>,
    point: Option<ReadPoint>,
}

impl Write {
    fn new(request: Request, level: AckLevel, since: Time, deadline: Time) -> Self {
        let (ticket, stamp, at) = (None, None, None);
        Self { ticket, stamp, request, level, since, deadline, at, attempts: 0, answered: false }
    }
}

impl Own {
    pub(super) fn new(now: Time) -> Self {
        Self {
            session: None,
            opening: None,
            first: 1,
            writes: VecDeque::new(),
            waiting: 0,
            bytes: 0,
            reads: BTreeMap::new(),
            next_read: 1,
            check_at: now,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting == 0 && self.reads.is_empty()
    }

    fn at(&self, id: u64) -> Option<usize> {
        usize::try_from(id.checked_sub(self.first)?).ok()
    }

    fn get_mut(&mut self, id: u64) -> Option<&mut Write> {
        let at = self.at(id)?;
        self.writes.get_mut(at)?.as_mut()
    }

    fn add(&mut self, write: Write) -> u64 {
        self.waiting += 1;
        self.bytes += write.request.size();
        self.writes.push_back(Some(write));
        self.first + self.writes.len() as u64 - 1
    }

    fn remove(&mut self, id: u64) -> Option<Write> {
        let at = self.at(id)?;
        let write = self.writes.get_mut(at)?.take()?;
        self.waiting -= 1;
        self.bytes -= write.request.size();
        while let Some(None) = self.writes.front() {
            self.writes.pop_front();
            self.first += 1;
        }
        Some(write)
    }

    fn ids(&self) -> Vec<u64> {
        let some = |(at, write): (usize, &Option<Write>)| write.as_ref().map(|_| self.first + at as u64);
        self.writes.iter().enumerate().filter_map(some).collect()
    }
}

impl Node {
    /// A client of this node wants something written.
    pub(super) fn propose(
        &mut self,
        ticket: u64,
        stamp: Option<Stamp>,
        request: Request,
        level: AckLevel,
        deadline: Time,
    ) {
        if let Err(refusal) = self.may_take(stamp, &request, level) {
            return self.outbox.reply(ticket, Err(refusal));
        }
        let mut write = Write::new(request, level, self.now, deadline);
        (write.ticket, write.stamp) = (Some(ticket), stamp);
        if level == AckLevel::Direct {
            let declared = write.request.cache().and_then(|cache| self.replica.store().limits(cache));
            let ttl = declared.and_then(|limits| limits.ttl);
            if self.replica.show(&write.request, self.now, ttl, || true) != Shows::Yes {
                return self.outbox.reply(ticket, Err(Refusal::Limit(Limit::Waiting)));
            }
            self.outbox.reply(ticket, Ok(Done { version: 0, effect: Effect::Accepted }));
            (write.ticket, write.level, write.answered) = (None, AckLevel::Leader, true);
        }
        let id = self.own.add(write);
        self.hand_on(id);
    }

    /// What the replica shows already is handed on at level Leader, also if nobody leads at the moment: its client was told
    /// that it is on its way. Not into another generation: what was written before a wipe does not come back after it.
    pub(super) fn propose_shown(
        &mut self,
        ticket: u64,
        generation: Generation,
        request: Request,
        deadline: Time,
    ) {
        let here = self.bound_ref().is_some_and(|bound| bound.generation == generation);
        let level = AckLevel::Leader;
        let may = if here {
            self.fits(&request, level).and_then(|()| self.has_room(&request))
        } else {
            Err(Refusal::UnknownOutcome)
        };
        if let Err(refusal) = may {
            return self.outbox.reply(ticket, Err(refusal));
        }
        let write = Write::new(request, level, self.now, deadline);
        let id = self.own.add(Write { ticket: Some(ticket), answered: true, ..write });
        self.hand_on(id);
    }

    /// Whether it can be taken at all; what is refused here was never handed to anybody.
    fn may_take(&self, stamp: Option<Stamp>, request: &Request, level: AckLevel) -> Result<(), Refusal> {
        self.fits(request, level)?;
        if !self.serves() && self.present_leader().is_none() {
            return Err(Refusal::NoQuorum);
        }
        let generation = self.bound_ref().map(|bound| bound.generation);
        if stamp.is_some_and(|stamp| Some(stamp.generation) != generation)
            && !self.settings.testing.lacks(crate::testing::Mutant::OlderGenerationApplied)
        {
            return Err(Refusal::UnknownOutcome);
        }
        self.has_room(request)
    }

    /// Whether it is small enough, and the level possible.
    fn fits(&self, request: &Request, level: AckLevel) -> Result<(), Refusal> {
        let settings = &self.settings;
        let (key, value) = match request {
            Request::Put { key, value, .. } => (key.len(), value.len()),
            Request::Delete { key, .. } | Request::Take { key, .. } | Request::Increment { key, .. } => {
                (key.len(), 0)
            }
            Request::Clear { .. } | Request::Declare { .. } | Request::OpenSession => (0, 0),
        };
        if key > settings.key_bytes || value > settings.value_bytes {
            return Err(Refusal::Limit(Limit::Size));
        }
        let declared = request.cache().and_then(|cache| self.replica.store().limits(cache));
        let direct = declared.is_some_and(|limits| limits.direct);
        let fits = match level {
            AckLevel::Direct => direct && request.is_plain(),
            AckLevel::Leader | AckLevel::Once => !request.needs_its_effect(),
            AckLevel::Quorum => true,
            AckLevel::All => !direct,
        };
        if fits { Ok(()) } else { Err(Refusal::Level) }
    }

    /// Whether this node has room for one more.
    fn has_room(&self, request: &Request) -> Result<(), Refusal> {
        let limit = |limit| Err(Refusal::Limit(limit));
        let settings = &self.settings;
        if self.own.waiting >= settings.waiting || self.own.bytes + request.size() > settings.waiting_bytes {
            return limit(Limit::Waiting);
        }
        if self.own.writes.len() as u64 >= settings.session_window {
            return limit(Limit::Window);
        }
        Ok(())
    }

    pub(super) fn on_forward_reply(&mut self, from: &Incarnation, reply: ForwardReply) {
        let Some(write) = self.own.get_mut(reply.id) else { return };
        let holder = write.at.as_ref().is_some_and(|(who, _)| who == from);
        // What is done is done, whoever says so; what is not, only the one who has it knows.
        if reply.result.is_ok() || holder {
            self.answered(reply.id, reply.result);
        }
    }

    /// Somebody has answered a write of this node.
    pub(super) fn answered(&mut self, id: u64, result: Result<Done, Refusal>) {
        let soon = self.now + Span(self.settings.heartbeat.0 / 4);
        let Some(write) = self.own.get_mut(id) else { return };
        match result {
            Err(Refusal::NotLeader | Refusal::NoQuorum) => {
                write.at = None; // tried again
                self.own.check_at = self.own.check_at.min(soon);
            }
            // It was refused this time, but an earlier attempt may stand.
            Err(Refusal::Limit(_) | Refusal::Level) if write.attempts > 1 => write.at = None,
            result => {
                if result == Err(Refusal::UnknownOutcome)
                    && let (Some(stamp), Some(session)) = (write.stamp, &self.own.session)
                    && stamp.session == session.number
                {
                    self.own.session = None; // the leader may not know it any more
                }
                self.conclude(id, result);
            }
        }
    }

    fn conclude(&mut self, id: u64, result: Result<Done, Refusal>) {
        let Some(write) = self.own.remove(id) else { return };
        if self.own.opening == Some(id) {
            self.own.opening = None;
            let generation = self.bound_ref().map(|bound| bound.generation);
            if let (Ok(done), Some(generation)) = (&result, generation) {
                self.own.session = Some(Session { generation, number: done.version, used_at: self.now });
                for id in self.own.ids() {
                    if self.own.get_mut(id).is_some_and(|w| w.at.is_none()) {
                        self.hand_on(id);
                    }
                }
            }
            if let Err(refusal @ Refusal::Limit(_)) = result {
                // There is no room for a session: what waits for it is refused for that reason.
                for id in self.own.ids() {
                    if self.own.get_mut(id).is_some_and(|w| w.attempts == 0 && w.stamp.is_none()) {
                        self.conclude(id, Err(refusal));
                    }
                }
            }
            return;
        }
        if let Some(ticket) = write.ticket {
            self.outbox.reply(ticket, result);
        }
    }

    /// The leader has changed, or was reached again: whatever it does not have is handed to it.
    pub(super) fn hand_on_all(&mut self) {
        if self.own.is_empty() {
            return;
        }
        let leader = if self.serves() { Some(self.outbox.me.clone()) } else { self.present_leader() };
        let Some(leader) = leader else { return };
        let now = self.now;
        for id in self.own.ids() {
            // A session opened twice costs little; whoever waits for it, waits.
            let opening = self.own.opening == Some(id);
            let patience = if opening { self.settings.heartbeat.times(2) } else { self.settings.lease };
            let due = self.own.get_mut(id).is_some_and(|write| match &write.at {
                None => true,
                Some((who, since)) => {
                    *who != leader || (*who != self.outbox.me && now.since(*since) >= patience)
                }
            });
            if due {
                self.hand_on(id);
            }
        }
        self.ask_for_points(&leader);
    }

    /// Looks through what waits: deadlines, and what must be handed on again.
    pub(super) fn check_own(&mut self) {
        if self.own.is_empty() || self.now < self.own.check_at {
            return;
        }
        let (now, lease) = (self.now, self.settings.lease);
        self.own.check_at = now + self.settings.heartbeat;
        for id in self.own.ids() {
            let Some(write) = self.own.get_mut(id) else { continue };
            let unhanded = !write.answered && write.attempts == 0 && now.since(write.since) >= lease;
            if unhanded || now >= write.deadline {
                let refusal = if write.attempts > 0 { Refusal::UnknownOutcome } else { Refusal::NoQuorum };
                self.conclude(id, Err(refusal));
            }
        }
        let late: Vec<u64> =
            self.own.reads.iter().filter(|(_, r)| now >= r.deadline).map(|(id, _)| *id).collect();
        for id in late {
            self.conclude_read(id, None);
        }
        self.hand_on_all();
    }

    /// This leader leads no more: its own clients' writes are handed to the next one.
    pub(super) fn take_back_own(&mut self) {
        let me = self.outbox.me.clone();
        self.take_back(|who| *who == me);
    }

    /// The stream to a slot broke: what it has may be on its way, or lost.
    pub(super) fn take_back_from(&mut self, slot: &Slot) {
        self.take_back(|who| who.slot == *slot);
    }

    fn take_back(&mut self, which: impl Fn(&Incarnation) -> bool) {
        for write in self.own.writes.iter_mut().flatten() {
            if write.at.as_ref().is_some_and(|(who, _)| which(who)) {
                write.at = None;
            }
        }
        for read in self.own.reads.values_mut() {
            read.at = None;
        }
        self.own.check_at = self.own.check_at.min(self.now + self.settings.heartbeat);
    }

    /// A new life begins: what the old one was asked has no result.
    pub(super) fn give_up_own(&mut self) {
        for id in self.own.ids() {
            let handed = self.own.get_mut(id).is_some_and(|write| write.attempts > 0);
            self.conclude(id, Err(if handed { Refusal::UnknownOutcome } else { Refusal::NoQuorum }));
        }
        for id in self.own.reads.keys().copied().collect::<Vec<_>>() {
            self.conclude_read(id, None);
        }
        (self.own.session, self.own.opening) = (None, None);
    }

    fn heard_leader(&self) -> bool {
        let lease = self.settings.lease;
        self.bound_ref().and_then(|b| b.acked_at).is_some_and(|at| self.now < at + lease)
    }

    /// The leader it follows, heard within L.
    pub(super) fn present_leader(&self) -> Option<Incarnation> {
        match &self.bound_ref()?.part {
            Part::Follower(f) if self.heard_leader() && !f.out_of_reach => f.leader.clone(),
            _ => None,
        }
    }

    /// A client of this node wants to read what stands now.
    pub(super) fn read(&mut self, ticket: u64, deadline: Time) {
        let full = self.own.reads.len() >= self.settings.waiting;
        let leader = if self.serves() { Some(self.outbox.me.clone()) } else { self.present_leader() };
        let Some(leader) = leader.filter(|_| !full) else {
            return self.outbox.out.push(Output::ReadReady { ticket, point: None });
        };
        let id = self.own.next_read;
        self.own.next_read += 1;
        let at = Some((leader.slot.clone(), self.now));
        self.own.reads.insert(id, Read { ticket, deadline, at, point: None });
        self.ask_for_point(&leader, id);
    }

    fn ask_for_point(&mut self, leader: &Incarnation, id: u64) {
        if *leader == self.outbox.me {
            self.accept_read(Waiting::Own { id });
        } else {
            self.outbox.send(leader, Body::ReadIndex(ReadIndex { id }));
        }
    }

    fn ask_for_points(&mut self, leader: &Incarnation) {
        let (now, patience) = (self.now, self.settings.lease);
        let mut ask = Vec::new();
        for (id, read) in &mut self.own.reads {
            let due = read.at.as_ref().is_none_or(|(slot, since)| {
                *slot != leader.slot || (leader.slot != self.outbox.me.slot && now.since(*since) >= patience)
            });
            // What another leader had appended may never be applied: the point is asked for anew.
            let moved = read.at.as_ref().is_none_or(|(slot, _)| *slot != leader.slot);
            if due && (read.point.is_none() || moved) {
                read.point = None;
                read.at = Some((leader.slot.clone(), now));
                ask.push(*id);
            }
        }
        for id in ask {
            self.ask_for_point(leader, id);
        }
    }

    pub(super) fn on_read_index_reply(&mut self, reply: ReadIndexReply) {
        self.read_answered(reply.id, reply.point);
    }

    pub(super) fn read_answered(&mut self, id: u64, point: Option<(Index, crate::types::LogTime)>) {
        let Some(generation) = self.bound_ref().map(|bound| bound.generation) else { return };
        let Some(read) = self.own.reads.get_mut(&id) else { return };
        let Some((index, log_time)) = point else {
            read.at = None;
            return;
        };
        let point = ReadPoint { generation, index, log_time };
        read.point = Some(point);
        if index <= self.readable() {
            self.conclude_read(id, Some(point));
        }
    }

    /// What is applied here, and whole.
    fn readable(&self) -> Index {
        self.bound_ref().filter(|b| b.install.is_none()).map_or(0, |b| b.commit)
    }

    /// Reads whose point is applied here may go on.
    pub(super) fn release_reads(&mut self) {
        if self.own.reads.is_empty() {
            return;
        }
        let applied = self.readable();
        let ready: Vec<(u64, ReadPoint)> = self
            .own
            .reads
            .iter()
            .filter_map(|(id, read)| Some((*id, read.point.filter(|point| point.index <= applied)?)))
            .collect();
        for (id, point) in ready {
            self.conclude_read(id, Some(point));
        }
    }

    fn conclude_read(&mut self, id: u64, point: Option<ReadPoint>) {
        if let Some(read) = self.own.reads.remove(&id) {
            self.outbox.out.push(Output::ReadReady { ticket: read.ticket, point });
        }
    }
}
