//! The clients at work: what is sent and looked at, and what comes back.
//!
//! ```text
//! use_cache ─┬─ writes: one, or hundreds at once; stamped clients ask, repeat, and open sessions      here
//!            ├─ reads: Local, Session, Linearizable; some stand still in the middle                 reads.rs
//!            └─ watchers                                                                            reads.rs
//! replied, read_ready ─▶ checker
//! ```

mod reads;

use rauthy_core::{
    AckLevel, Directly, Done, Effect, Generation, Input, Limit, Refusal, Request, Span, Stamp,
};

use crate::clients::Attempt;
use crate::clients::stamped::{self, Move};
use crate::clients::traffic::Rush;
use crate::faults::Fault;
use crate::world::{SECOND, World};

/// Whoever asks has an answer so long after his deadline.
const PATIENCE: u64 = SECOND;
/// After the faults a write through every node stands within this.
const SERVES: u64 = 8 * SECOND;
/// The same where remembered results take all the room that they may: a client asks for so long for what it was refused,
/// which is what its results are kept for, and then nobody asks for 5 L, and a moment more.
const FORGETS: u64 = stamped::PATIENCE + 6 * SECOND;

/// What became of a write after the faults.
enum Last {
    Stands,
    Refused(Option<Refusal>),
}

impl World {
    /// The generation of a node.
    pub(crate) fn generation_of(&self, slot: usize) -> Option<Generation> {
        self.nodes[slot].node.as_ref()?.inside().map(|inside| inside.generation)
    }

    /// A deadline at a node: on its clock, and in the world's time.
    fn deadline(&mut self, slot: usize) -> (rauthy_core::Time, u64) {
        let clock = self.nodes[slot].clock;
        let local = clock.local(self.now) + Span(self.random.between(300_000, 5 * SECOND));
        (local, clock.real(local))
    }

    /// Whoever asks gets an answer.
    pub(crate) fn everybody_is_answered(&self) -> Result<(), String> {
        let late = |slot: usize, due: u64| {
            let node = &self.nodes[slot];
            node.runs() && self.now > due.max(node.runs_since) + PATIENCE
        };
        if let Some(((slot, _), attempt)) = self.clients.pending.iter().find(|((s, _), a)| late(*s, a.due)) {
            let asked = self.checker.requests.get(attempt.number);
            return Err(format!("n{slot} has not answered what was due at {}: {asked:?}", attempt.due));
        }
        if let Some(((slot, _), question)) = self.clients.questions.iter().find(|((s, _), q)| late(*s, q.due))
        {
            return Err(format!("n{slot} has not answered a read: {question:?}"));
        }
        Ok(())
    }

    /// Writes and reads, each somewhere.
    pub(crate) fn use_cache(&mut self) -> Result<(), String> {
        self.checker.at(self.now, self.drift_beyond);
        self.everybody_is_answered()?;
        let slot = self.random.pick(self.nodes.len());
        // A burst may be more than the small ring holds: whoever is slow then begins a new life.
        let faulty =
            self.now < self.faults_until && self.script.is_none() && self.mix != crate::report::Mix::Rolling;
        if faulty {
            self.press();
        }
        if faulty && self.random.chance(4) {
            self.burst(slot)?;
        } else if self.random.chance(350) {
            let client = self.random.pick(self.clients.stamped.len());
            self.stamped(client, slot, None)?;
        } else if self.nodes[slot].runs() {
            self.write_something(slot)?;
        }
        self.read_somewhere()?;
        self.watch()
    }

    /// While slots are about to leave, one of them may hear nothing of it, and what is written must be seen everywhere: All
    /// has to wait for those as well that have no seat any more.
    fn press(&mut self) {
        let list = &self.operator.written;
        let Some(next) = &list.next else { return };
        self.clients.pressed_until = self.now + SECOND;
        let leaves =
            |slot: &usize| list.now.contains(&self.slots[*slot]) && !next.contains(&self.slots[*slot]);
        let leaving: Vec<usize> = (0..self.slots.len()).filter(leaves).collect();
        if !leaving.is_empty() && self.random.chance(20) {
            let slot = leaving[self.random.pick(leaving.len())];
            self.aimed.push((self.now, Fault::Isolate(slot)));
        }
    }

    /// A client that stamps nothing writes something.
    fn write_something(&mut self, slot: usize) -> Result<(), String> {
        let generation = self.generation_of(slot);
        let number = self.checker.requests.next();
        let (request, level) = self.clients.wish(number, generation, &mut self.random);
        let pressed = level == AckLevel::Quorum && self.now < self.clients.pressed_until;
        let level = if pressed && self.random.chance(500) { AckLevel::All } else { level };
        self.checker.requests.add(0, request, level, None, self.now);
        self.propose(slot, number, None)
    }

    /// Hundreds of requests at once, so that queues and tables are full; of many clients of a node, or of one that stamps
    /// them.
    fn burst(&mut self, slot: usize) -> Result<(), String> {
        let client = self.random.pick(self.clients.stamped.len());
        let times = self.random.between(30, 350);
        let early = self.now + 18 * SECOND < self.faults_until;
        let (what, stamps, spread) = match self.random.between(0, 100) {
            0..55 => (Rush::Anything, false, false),
            55..75 => (Rush::Anything, true, false),
            75..88 => (Rush::Fill, false, true),
            88..98 => (Rush::Take, true, false),
            // It takes a while until those end that nobody uses.
            _ if early => (Rush::Sessions, false, false),
            _ => return Ok(()),
        };
        self.trace.line(self.now, &format!("{times} times {what:?} at once at n{slot}"));
        for at in 0..times as usize {
            let slot = if spread { at % self.nodes.len() } else { slot };
            if stamps {
                self.stamped(client, slot, Some(what))?;
            } else if self.nodes[slot].runs() {
                let number = self.checker.requests.next();
                let generation = self.generation_of(slot);
                let (request, level) = self.clients.rush(what, number, generation, &mut self.random);
                self.checker.requests.add(0, request, level, None, self.now);
                self.propose(slot, number, None)?;
            }
        }
        Ok(())
    }

    fn stamped(&mut self, client: usize, slot: usize, rush: Option<Rush>) -> Result<(), String> {
        if !self.nodes[slot].runs() {
            return Ok(());
        }
        let Some(generation) = self.generation_of(slot) else { return Ok(()) };
        // Its node may have died before it could say anything.
        let waits = |number| self.clients.pending.values().any(|attempt| attempt.number == number);
        if self.clients.stamped[client].opening.is_some_and(|number| !waits(number)) {
            self.clients.stamped[client].opening = None;
        }
        let name = self.clients.stamped[client].name;
        match self.clients.stamped[client].next(self.now, generation, rush.is_some(), &mut self.random) {
            Move::Wait => Ok(()),
            Move::Open => {
                let level = AckLevel::Quorum;
                let number = self.checker.requests.add(name, Request::OpenSession, level, None, self.now);
                self.clients.stamped[client].opening = Some(number);
                self.propose(slot, number, None)
            }
            Move::Ask(stamp) => {
                let number = self.checker.requests.next();
                let what = rush.unwrap_or(Rush::Anything);
                let (request, level) = self.clients.rush(what, number, Some(generation), &mut self.random);
                self.checker.requests.add(name, request, level, Some(stamp), self.now);
                self.clients.stamped[client].asked(number, stamp, self.now);
                self.propose(slot, number, Some(stamp))
            }
            Move::Repeat(number, stamp) => self.propose(slot, number, Some(stamp)),
        }
    }

    /// Sends a request to a node.
    fn propose(&mut self, slot: usize, number: u64, stamp: Option<Stamp>) -> Result<(), String> {
        let (deadline, due) = self.deadline(slot);
        let ticket = self.clients.ticket();
        let generation = self.generation_of(slot);
        let Some(asked) = self.checker.requests.get_mut(number) else { return Ok(()) };
        asked.sent += 1;
        asked.generation = asked.generation.or(generation);
        let (request, level) = (asked.request.clone(), asked.level);
        if (level, stamp) == (AckLevel::Direct, None)
            && let Some(generation) = self.show(slot, &request)
        {
            // Answered by the thread of its caller; of what becomes of it nobody hears.
            let done = Done { version: 0, effect: Effect::Accepted };
            self.clients.answers[0] += 1;
            self.checker.at(self.now, self.drift_beyond);
            self.checker.answered(number, Some(generation), &Ok(done))?;
            self.clients.shown.insert((slot, ticket));
            return self.step(slot, Input::Shown { ticket, generation, request, deadline });
        }
        self.clients.pending.insert((slot, ticket), Attempt { number, due, at: self.now });
        self.step(slot, Input::Propose { ticket, stamp, request, level, deadline })
    }

    /// Shows a write at level Direct in the replica of a node, as its callers do.
    fn show(&self, slot: usize, request: &Request) -> Option<Generation> {
        let node = &self.nodes[slot];
        let replica = node.node.as_ref().filter(|_| node.runs())?.replica();
        match replica.show_directly(request, node.clock.local(self.now)) {
            Directly::Shown(generation) => Some(generation),
            Directly::NoRoom | Directly::AskNode => None,
        }
    }

    /// A node has answered a write.
    pub(crate) fn replied(
        &mut self,
        slot: usize,
        ticket: u64,
        result: Result<Done, Refusal>,
    ) -> Result<(), String> {
        self.checker.at(self.now, self.drift_beyond);
        if self.clients.shown.remove(&(slot, ticket)) {
            return Ok(());
        }
        let Some(attempt) = self.clients.pending.remove(&(slot, ticket)) else {
            return Err(format!("n{slot} answered ticket {ticket} twice or for nobody"));
        };
        self.clients.answers[match &result {
            Ok(_) => 0,
            Err(Refusal::UnknownOutcome) => 1,
            Err(Refusal::NoQuorum) => 2,
            Err(Refusal::Limit(_) | Refusal::Level | Refusal::NotLeader) => 3,
        }] += 1;
        self.checker.answered(attempt.number, self.generation_of(slot), &result)?;
        let Some(asked) = self.checker.requests.get(attempt.number) else { return Ok(()) };
        let (client, generation, level) = (asked.client, asked.generation, asked.level);
        let (request, number) = (asked.request.clone(), asked.number);
        if let Some(stamped) = client.checked_sub(1).and_then(|at| self.clients.stamped.get_mut(at as usize))
        {
            if stamped.opening == Some(number) {
                stamped.opened(generation, &result);
            } else {
                stamped.answered(number, &result);
            }
        }
        let (Ok(done), Some(generation)) = (result, generation) else { return Ok(()) };
        if done.effect == Effect::Accepted {
            return Ok(());
        }
        self.clients.declared(&request, generation);
        self.wrote(number, generation, done.version);
        let key = match &request {
            Request::Put { cache, key, .. }
            | Request::Delete { cache, key }
            | Request::Take { cache, key }
            | Request::Increment { cache, key, .. } => Some((cache, key)),
            Request::Clear { .. } | Request::Declare { .. } | Request::OpenSession => None,
        };
        let Some((cache, key)) = key else { return Ok(()) };
        if matches!(done.effect, Effect::Put { .. } | Effect::Number(_)) {
            self.clients.saw(cache, key, done.version);
        }
        if level == AckLevel::All {
            // From this moment on nobody serves what was there before.
            for other in 0..self.nodes.len() {
                self.look(other, cache, key, None)?;
            }
        }
        Ok(())
    }

    /// 17: a write through every node is acknowledged within a bound (queues that the faults have filled empty first), and
    /// then nobody was told anything that is not so.
    pub(crate) fn writes_succeed(&mut self) -> Result<(), String> {
        for slot in 0..self.nodes.len() {
            let (mut end, at_last) = (self.now + SERVES, self.now + FORGETS);
            while self.nodes[slot].node.is_some() {
                let refusal = match self.write_last(slot, end)? {
                    Last::Stands => break,
                    Last::Refused(refusal) => refusal,
                };
                if refusal == Some(Refusal::Limit(Limit::Dedup)) {
                    end = at_last;
                }
                if self.now >= end {
                    return Err(format!("17: writes through n{slot} fail, {refusal:?}: {}", self.describe()));
                }
            }
        }
        self.checker.promises_kept()?;
        self.checker.linear()
    }

    /// A write through this node; says why it was not acknowledged.
    fn write_last(&mut self, slot: usize, end: u64) -> Result<Last, String> {
        self.checker.at(self.now, self.drift_beyond);
        let number = self.checker.requests.next();
        let request = crate::clients::traffic::last(number);
        self.checker.requests.add(0, request, AckLevel::Quorum, None, self.now);
        self.propose(slot, number, None)?;
        let waits = |world: &Self| world.clients.pending.values().any(|attempt| attempt.number == number);
        while waits(self) {
            if self.now >= end {
                return Err(format!("17: a write through n{slot} got no answer: {}", self.describe()));
            }
            self.advance(end)?;
        }
        let asked = self.checker.requests.get(number);
        if asked.is_some_and(|asked| asked.answer.is_some()) {
            return Ok(Last::Stands);
        }
        let next = self.now + SECOND / 10;
        while self.now < next {
            self.advance(next)?;
        }
        Ok(Last::Refused(self.checker.requests.get(number).and_then(|asked| asked.refusal)))
    }
}
