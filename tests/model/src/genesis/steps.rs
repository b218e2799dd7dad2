//! What can happen next, and what it does.

use crate::genesis::Genesis;
use crate::genesis::rule::Quarantine;
use crate::genesis::state::{Generation, Round, State};
use crate::slots::{Slots, bit, members};

/// One thing that can happen. Generations are named by their place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// A tick of time passes.
    Tick,
    /// A process dies and the next one of its slot is born.
    Restart(u8),
    /// A free process takes a ballot of this rank and asks for promises.
    Found(u8, u8),
    /// A process gives its promise, which leaves a lower ballot.
    Promise(u8, u8),
    /// The promise arrives at the founder.
    Arrive(u8, u8),
    /// The founder fixes the seats.
    Form(u8),
    /// A member proposes a round, with new incarnations for these seats.
    Propose(u8, Round, Slots),
    /// A free process acks the pending round and is bound.
    Ack(u8, u8),
    /// The pending change of seats is committed.
    Commit(u8),
    /// The pending round comes to nothing.
    Drop(u8),
}

impl Genesis {
    pub(super) fn possible(&self, state: &State, steps: &mut Vec<Step>) {
        steps.clear();
        let waits = |g: &Generation| g.lease > 0 || g.fresh > 0;
        if members(self.slots).any(|slot| state.quarantine[slot] > 0) || state.alive().iter().any(waits) {
            steps.push(Step::Tick);
        }
        let founders = match self.rule.quarantine {
            Quarantine::Nobody => self.free(state),
            Quarantine::Everybody | Quarantine::Founder => self.free(state) & self.admitted(state),
        };
        for slot in members(self.slots) {
            steps.push(Step::Restart(slot as u8));
            let earlier = state.alive().iter().find(|g| !g.formed && g.founder == bit(slot));
            let room = usize::from(state.count) < self.rule.generations || earlier.is_some();
            if room && founders & bit(slot) != 0 {
                // The earlier attempt of the same founder goes, and its rank with it.
                let gone = |ballot: u8| u8::from(earlier.is_some_and(|e| e.ballot <= ballot));
                let held = state.alive().iter().find(|g| g.held & bit(slot) != 0);
                let lowest = held.map_or(0, |g| g.ballot + 1 - gone(g.ballot));
                let highest = state.count - u8::from(earlier.is_some());
                steps.extend((lowest..=highest).map(|rank| Step::Found(slot as u8, rank)));
            }
        }
        for (at, generation) in state.alive().iter().enumerate() {
            if generation.dead {
                continue;
            }
            if !generation.formed {
                self.possible_founding(state, at, steps);
            } else if generation.round == Round::None {
                self.possible_proposals(state, at, steps);
            } else {
                self.possible_answers(state, at, steps);
            }
        }
    }

    fn possible_founding(&self, state: &State, at: usize, steps: &mut Vec<Step>) {
        let generation = &state.generations[at];
        let mut willing = if self.rule.bound_for_life { self.free(state) } else { self.slots };
        if self.rule.quarantine == Quarantine::Everybody {
            willing &= self.admitted(state);
        }
        let as_high = state.alive().iter().filter(|g| g.ballot >= generation.ballot);
        let bound_by = as_high.fold(0, |set, g| set | g.held);
        for slot in members(willing & !bound_by) {
            steps.push(Step::Promise(at as u8, slot as u8));
        }
        for slot in members(generation.sent & !generation.seats) {
            steps.push(Step::Arrive(at as u8, slot as u8));
        }
        let asks = generation.founder & generation.held & self.free(state) != 0;
        if asks && crate::slots::majority(generation.seats, self.slots) {
            steps.push(Step::Form(at as u8));
        }
    }

    fn possible_proposals(&self, state: &State, at: usize, steps: &mut Vec<Step>) {
        let generation = &state.generations[at];
        let live = generation.seats & generation.members;
        if live == 0 {
            return;
        }
        if !self.quorum(live, generation.given) {
            steps.push(Step::Propose(at as u8, Round::Entry, 0));
        }
        if generation.active {
            for slot in members(self.free(state) & !generation.seats) {
                steps.push(Step::Propose(at as u8, Round::Seats, bit(slot)));
            }
        }
    }

    fn possible_answers(&self, state: &State, at: usize, steps: &mut Vec<Step>) {
        let generation = &state.generations[at];
        let mut willing = self.free(state);
        if !self.rule.bound_for_life {
            // Bound elsewhere, but its promise has moved here.
            willing |= generation.held;
        }
        if !generation.active {
            if self.rule.quarantine == Quarantine::Everybody {
                willing &= self.admitted(state);
            }
            if self.rule.ack_where_promised && self.rule.new_identity {
                willing &= generation.held;
            }
        }
        for slot in members((generation.seats | generation.newcomers) & willing & !generation.acks) {
            steps.push(Step::Ack(at as u8, slot as u8));
        }
        if generation.round == Round::Seats && self.committable(generation) {
            steps.push(Step::Commit(at as u8));
        }
        steps.push(Step::Drop(at as u8));
    }

    pub(super) fn apply(&self, state: &mut State, step: Step) {
        match step {
            Step::Tick => {
                state.quarantine.iter_mut().for_each(|left| *left = left.saturating_sub(1));
                for generation in state.alive_mut() {
                    generation.lease = generation.lease.saturating_sub(1);
                    generation.fresh = generation.fresh.saturating_sub(1);
                }
            }
            Step::Restart(slot) => self.begin_incarnation(state, usize::from(slot)),
            Step::Found(slot, rank) => Self::found(state, usize::from(slot), rank),
            Step::Promise(at, slot) => {
                state.alive_mut().iter_mut().for_each(|g| g.held &= !bit(usize::from(slot)));
                let generation = &mut state.generations[usize::from(at)];
                generation.held |= bit(usize::from(slot));
                generation.sent |= bit(usize::from(slot));
            }
            Step::Arrive(at, slot) => {
                let generation = &mut state.generations[usize::from(at)];
                generation.sent &= !bit(usize::from(slot));
                generation.seats |= bit(usize::from(slot));
            }
            Step::Form(at) => {
                let at = usize::from(at);
                let generation = &mut state.generations[at];
                generation.formed = true;
                generation.sent = 0;
                // Who counts them only needs to know how many; with the rule it makes no difference.
                generation.given = if self.rule.quorum_of_slots { 0 } else { generation.seats };
                let founder = generation.founder.trailing_zeros() as usize;
                generation.founder = 0;
                self.bind(state, founder, at);
            }
            Step::Propose(at, round, seats) => self.propose(state, usize::from(at), round, seats),
            Step::Ack(at, slot) => {
                state.generations[usize::from(at)].acks |= bit(usize::from(slot));
                self.bind(state, usize::from(slot), usize::from(at));
            }
            Step::Commit(at) => Self::commit(&mut state.generations[usize::from(at)]),
            Step::Drop(at) => state.generations[usize::from(at)].clear_round(),
        }
        if self.rule.quorum_of_slots {
            state.alive_mut().iter_mut().for_each(|g| g.given = 0);
        }
    }

    fn found(state: &mut State, slot: usize, rank: u8) {
        let earlier = state.alive().iter().position(|g| !g.formed && g.founder == bit(slot));
        if let Some(earlier) = earlier {
            state.forget(earlier);
        }
        for generation in state.alive_mut() {
            generation.ballot += u8::from(generation.ballot >= rank);
            generation.held &= !bit(slot);
        }
        // Names are for traces; in an endless walk they may come again.
        state.names = state.names % 200 + 1;
        state.generations[usize::from(state.count)] = Generation {
            name: state.names,
            ballot: rank,
            founder: bit(slot),
            held: bit(slot),
            seats: bit(slot),
            ..Generation::default()
        };
        state.count += 1;
    }

    fn propose(&self, state: &mut State, at: usize, round: Round, seats: Slots) {
        let free = self.free(state);
        let seen = state.others_active(at);
        let generation = &mut state.generations[at];
        generation.round = round;
        generation.fresh = self.ticks;
        generation.seen = seen;
        generation.newcomers = seats & (free | generation.members);
        generation.swapped = generation.newcomers;
        generation.acks = (generation.seats | generation.newcomers) & generation.members;
    }
}
