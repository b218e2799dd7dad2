//! Reads in the world, and those who watch.

use std::cell::RefCell;

use bytes::Bytes;
use rauthy_core::replica::Position;
use rauthy_core::{Found, Incarnation, Input, ReadPoint, ReadRefusal};

use crate::checker::reads::Leased;
use crate::clients::{Later, Question, Watcher, traffic};
use crate::world::{SECOND, World};

/// Changes that a watcher takes at once, at most.
const CHANGES: usize = 64;

impl World {
    /// Somebody reads somewhere.
    pub(super) fn read_somewhere(&mut self) -> Result<(), String> {
        let due: Vec<Later> = {
            let now = self.now;
            self.clients.points.extract_if(.., |later| later.at <= now).collect()
        };
        for later in due {
            if self.nodes[later.slot].runs() {
                self.read_at(later.slot, &later.who, &later.question, later.point)?;
            }
        }
        let slot = self.random.pick(self.nodes.len());
        let (cache, key) = traffic::anywhere(&mut self.random);
        if !self.nodes[slot].runs() {
            return Ok(());
        }
        let dice = self.random.between(0, 1000);
        if dice < 250 {
            return self.ask(slot, cache, key);
        }
        let reader = (dice < 700).then(|| self.random.pick(self.clients.readers.len()));
        self.look(slot, cache, &key, reader)?;
        self.pause(cache, &key)
    }

    /// A reader stands still between the moment that he asks for the time and the one that he gets it, now and then for so
    /// long that the node has forgotten everything meanwhile.
    fn pause(&mut self, cache: &'static str, key: &Bytes) -> Result<(), String> {
        let cuts = self.network.cut.len();
        let fresh = cuts > self.clients.cuts;
        self.clients.cuts = cuts;
        let calm = self.script.is_some() || self.now >= self.faults_until;
        if self.clients.paused || calm || !self.random.chance(if fresh { 400 } else { 12 }) {
            return Ok(());
        }
        // Who has just been cut off still has a lease, and will have to forget everything.
        let cut: Vec<usize> = self.network.cut.iter().map(|(_, to)| *to).collect();
        let slot = if fresh { cut[self.random.pick(cut.len())] } else { self.random.pick(self.nodes.len()) };
        let (shortest, longest) = if fresh { (SECOND, 8 * SECOND) } else { (1000, 2 * SECOND) };
        let until = (self.now + self.random.between(shortest, longest)).min(self.faults_until);
        self.clients.paused = true;
        let result = self.look_until(slot, cache, key, None, until);
        self.clients.paused = false;
        result
    }

    /// Reads under the node's lease: Session for a reader who has seen something, else Local.
    pub(super) fn look(
        &mut self,
        slot: usize,
        cache: &str,
        key: &Bytes,
        reader: Option<usize>,
    ) -> Result<(), String> {
        self.look_until(slot, cache, key, reader, self.now)
    }

    /// A value that is always there, from everybody.
    pub(crate) fn read_everywhere(&mut self) -> Result<(), String> {
        let key = Bytes::from_static(b"key-0");
        for slot in 0..self.nodes.len() {
            self.look(slot, "codes", &key, None)?;
        }
        Ok(())
    }

    fn look_until(
        &mut self,
        slot: usize,
        cache: &str,
        key: &Bytes,
        reader: Option<usize>,
        until: u64,
    ) -> Result<(), String> {
        let Some(node) = self.nodes[slot].node.as_ref().filter(|_| self.nodes[slot].runs()) else {
            return Ok(());
        };
        let (who, replica) = (node.me().clone(), node.replica());
        let inside = node.inside();
        let generation = inside.as_ref().map(|inside| inside.generation);
        let seated = inside.as_ref().is_some_and(|i| i.configurations.iter().any(|c| c.seats(&who)));
        let leads = inside.filter(|inside| inside.leads).map(|inside| inside.term);
        let applied = replica.store().applied();
        let position = reader.and_then(|reader| self.clients.readers[reader]);
        let (at, before) = (self.now, self.checker.before(self.now));
        let time = self.nodes[slot].clock.local(at);

        let (world, run) = (RefCell::new(&mut *self), RefCell::new(Ok(())));
        let clock = || {
            // The time is what it was before the pause, as for a thread that is not run after it was told.
            if until > at {
                *run.borrow_mut() = world.borrow_mut().go_on(until, slot, &who);
            }
            time
        };
        let result = match position {
            Some(position) => replica.get_after(cache, key, position, clock),
            None => replica.get(cache, key, clock),
        };
        run.into_inner()?;
        match result {
            Err(refusal) => {
                self.clients.reads.1 += 1;
                self.refused(slot, reader, position, generation, refusal)
            }
            Ok(found) => {
                self.clients.reads.0 += 1;
                let after = position.map(|position| position.index);
                let read =
                    Leased { who: &who, generation, seated, leads, applied, before, at, cache, key, after };
                self.checker.leased(&read, &found)?;
                self.seen(reader, &found);
                if let Some((_, version)) = &found.value {
                    self.clients.saw(cache, key, *version);
                }
                Ok(())
            }
        }
    }

    /// The world goes on while a reader stands still: until then, or until the node has forgotten everything.
    fn go_on(&mut self, until: u64, slot: usize, who: &Incarnation) -> Result<(), String> {
        while self.now < until {
            self.advance(until)?;
            if self.nodes[slot].node.as_ref().is_some_and(|node| node.me() != who) {
                break;
            }
        }
        Ok(())
    }

    fn refused(
        &mut self,
        slot: usize,
        reader: Option<usize>,
        position: Option<Position>,
        generation: Option<rauthy_core::Generation>,
        refusal: ReadRefusal,
    ) -> Result<(), String> {
        let Some(reader) = reader.filter(|_| refusal == ReadRefusal::Gap) else { return Ok(()) };
        let (Some(now), Some(then)) = (generation, position.map(|position| position.generation)) else {
            return Err(format!("Session: n{slot} of {generation:?} sees a gap after {position:?}"));
        };
        if now == then {
            return Err(format!("Session: n{slot} of {now} sees a gap after {position:?}"));
        }
        // What he saw is gone, if the other one is the newer.
        if self.checker.rank(now) > self.checker.rank(then) {
            self.clients.readers[reader] = None;
        }
        Ok(())
    }

    fn seen(&mut self, reader: Option<usize>, found: &Found) {
        let Some(reader) = reader else { return };
        let position = Position { generation: found.generation, index: found.index };
        self.moves_to(reader, position);
    }

    fn moves_to(&mut self, reader: usize, position: Position) {
        let rank = |position: &Position| self.checker.rank(position.generation);
        let newer = self.clients.readers[reader]
            .is_none_or(|old| (rank(&old), old.index) < (rank(&position), position.index));
        if newer {
            self.clients.readers[reader] = Some(position);
        }
    }

    /// A write was acknowledged: whoever asked for it sees it from now on.
    pub(super) fn wrote(&mut self, number: u64, generation: rauthy_core::Generation, index: u64) {
        let reader = number as usize % self.clients.readers.len();
        self.moves_to(reader, Position { generation, index });
    }

    /// Asks for a read point.
    fn ask(&mut self, slot: usize, cache: &'static str, key: Bytes) -> Result<(), String> {
        let (deadline, due) = self.deadline(slot);
        let ticket = self.clients.ticket();
        let before = self.checker.before(self.now);
        self.clients.questions.insert((slot, ticket), Question { cache, key, at: self.now, due, before });
        self.step(slot, Input::Read { ticket, deadline })
    }

    /// A node has answered a question for a read point.
    pub(crate) fn read_ready(
        &mut self,
        slot: usize,
        ticket: u64,
        point: Option<ReadPoint>,
    ) -> Result<(), String> {
        self.checker.at(self.now, self.drift_beyond);
        let Some(question) = self.clients.questions.remove(&(slot, ticket)) else {
            return Err(format!("n{slot} answered read {ticket} twice or for nobody"));
        };
        let Some(point) = point else {
            self.clients.reads.1 += 1;
            return Ok(());
        };
        self.checker.point(question.before, point)?;
        let Some(who) = self.nodes[slot].node.as_ref().map(|node| node.me().clone()) else { return Ok(()) };
        if self.random.chance(700) {
            return self.read_at(slot, &who, &question, point);
        }
        let at = self.now + self.random.between(0, 300_000);
        self.clients.points.push(Later { at, slot, who, question, point });
        Ok(())
    }

    fn read_at(
        &mut self,
        slot: usize,
        who: &Incarnation,
        question: &Question,
        point: ReadPoint,
    ) -> Result<(), String> {
        let Some(node) = &self.nodes[slot].node else { return Ok(()) };
        // The step that gave the point may have ended this life, or joined another generation, after it.
        let same = node.me() == who && self.generation_of(slot) == Some(point.generation);
        let Question { cache, key, at, before, .. } = question;
        match node.replica().get_at(cache, key, point) {
            Ok(found) => {
                self.clients.reads.0 += 1;
                self.checker.linearizable(*before, point, cache, key, &found)?;
                let seen = found.value.map(|(value, version)| (Bytes::copy_from_slice(&value), version));
                self.checker.recorded.read(cache, key, found.generation, (*at, self.now), seen);
                Ok(())
            }
            Err(refusal) => {
                self.clients.reads.1 += 1;
                // A new life may be in the same generation, and hold nothing yet.
                if same && self.generation_of(slot) == Some(point.generation) {
                    return Err(format!(
                        "Linearizable: n{slot} refuses its own point {point:?}: {refusal:?}"
                    ));
                }
                Ok(())
            }
        }
    }

    /// Somebody looks at what has changed.
    pub(super) fn watch(&mut self) -> Result<(), String> {
        if !self.random.chance(150) {
            return Ok(());
        }
        self.clients.watchers.resize(self.nodes.len(), Watcher::default());
        let home = self.random.pick(self.nodes.len());
        // Most stay where they are.
        let slot = if self.random.chance(850) { home } else { self.random.pick(self.nodes.len()) };
        let Some(node) = self.nodes[slot].node.as_ref().filter(|_| self.nodes[slot].runs()) else {
            return Ok(());
        };
        let replica = node.replica();
        let Some(end) = replica.feed_end() else { return Ok(()) };
        let whole = node.inside().is_some_and(|inside| !inside.installing && inside.commit > 0);
        let me = whole.then(|| node.me().clone());
        let watcher = &mut self.clients.watchers[home];
        let Some(after) = watcher.position else {
            *watcher = Watcher { position: Some(end), from: me };
            return Ok(());
        };
        match replica.changes(after, None, CHANGES) {
            Ok(changes) => {
                let last = changes.last().map_or(after.index, |change| change.index);
                let upto = if changes.len() < CHANGES { end.index.max(after.index) } else { last };
                self.checker.watched(after.generation, after.index, upto, &changes)?;
                let position = Some(Position { generation: after.generation, index: upto });
                let from = if watcher.from == me || end.index >= after.index { me } else { None };
                *watcher = Watcher { position, from };
                Ok(())
            }
            Err(_) => {
                let kept = me.is_some() && watcher.from == me && after.generation == end.generation;
                *watcher = Watcher { position: Some(end), from: me };
                if kept {
                    return Err(format!(
                        "Watch: n{slot} has forgotten what came after {after:?}, though it was there"
                    ));
                }
                Ok(())
            }
        }
    }
}
