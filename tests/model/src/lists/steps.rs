//! What can happen next, and what it does.

use crate::lists::rule::Matching;
use crate::lists::state::{Configuration, Generation, Round, State};
use crate::lists::{HostList, Lists};
use crate::slots::{Slots, bit, members};

/// One thing that can happen. Generations are named by their place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// The operator writes the next list.
    Write,
    /// A slot reads the next list; its first one starts its pod.
    Read(u8),
    /// A process dies and the next one of its slot begins.
    Restart(u8),
    /// A free process begins to found a generation.
    Found(u8),
    /// A free process gives its only promise.
    Promise(u8, u8),
    /// The founder fixes the seats.
    Form(u8),
    /// A member proposes a round, with new incarnations for these seats.
    Propose(u8, Round, Slots),
    /// A free process acks the pending round and is bound.
    Ack(u8, u8),
    /// The pending change is committed.
    Commit(u8),
    /// The pending round comes to nothing.
    Drop(u8),
}

impl Lists {
    pub(super) fn possible(&self, state: &State, steps: &mut Vec<Step>) {
        steps.clear();
        if self.may_write(state) {
            steps.push(Step::Write);
        }
        let (running, free) = (self.running(state), self.free(state));
        for slot in members(self.plan.all() & !self.vacant) {
            let reads = state.view[slot].max(self.births[slot].saturating_sub(1));
            if reads < state.written {
                steps.push(Step::Read(slot as u8));
            }
            if running & bit(slot) != 0 {
                steps.push(Step::Restart(slot as u8));
            }
            let promised = state.alive().iter().any(|g| g.promised & bit(slot) != 0);
            let again = state.alive().iter().any(|g| !g.formed && g.founder == bit(slot));
            let room = usize::from(state.count) < self.rule.generations || again;
            let named = self.plan.slots(state.view[slot]) & bit(slot) != 0;
            if room && free & bit(slot) != 0 && !promised && named {
                steps.push(Step::Found(slot as u8));
            }
        }
        for at in 0..usize::from(state.count) {
            let generation = &state.generations[at];
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

    /// Rules 3e and 3f: what the operator waits for.
    fn may_write(&self, state: &State) -> bool {
        if state.written >= self.plan.last() {
            return false;
        }
        let seen = state.committed >= self.awaited(state);
        let taken_back = self.plan.change(state.written).is_some_and(|change| change.taken_back);
        match (state.written % 2 == 1, taken_back) {
            (true, true) => true,
            (true, false) => seen || !self.rule.waits_for_set_size && self.confirmed(state, state.written),
            (false, true) => state.written == 0 || seen || !self.rule.waits_for_take_back,
            (false, false) => true,
        }
    }

    fn possible_founding(&self, state: &State, at: usize, steps: &mut Vec<Step>) {
        let generation = &state.generations[at];
        if self.rule.exclusive_promises {
            let later =
                state.generations[at..usize::from(state.count)].iter().fold(0, |set, g| set | g.promised);
            for slot in members(self.may_promise(state, generation) & !later & !generation.seats) {
                steps.push(Step::Promise(at as u8, slot as u8));
            }
        }
        if self.enough_promises(generation.seats, generation.epoch) {
            steps.push(Step::Form(at as u8));
        }
    }

    fn possible_proposals(&self, state: &State, at: usize, steps: &mut Vec<Step>) {
        let generation = &state.generations[at];
        let live = generation.seats & generation.members;
        if live == 0 {
            return;
        }
        let mut propose = |round, seats| steps.push(Step::Propose(at as u8, round, seats));
        if !self.entry_quorum(live, generation) || !generation.active {
            propose(Round::Entry, 0);
        }
        if !generation.active {
            return;
        }
        for slot in members(self.free(state) & !generation.seats & generation.slots()) {
            propose(Round::Seats, bit(slot));
        }
        for number in 1..=state.written {
            for to in self.commanded(state, generation.configuration, number).into_iter().flatten() {
                let joining = to.slots() & !generation.slots() & self.running(state);
                propose(Round::Change(to), joining);
            }
        }
    }

    /// Where a generation may be led by the `SetSize` of this number: the next configuration, by each of the two changes
    /// that it can stand for.
    fn commanded(&self, state: &State, here: Configuration, number: u8) -> [Option<Configuration>; 2] {
        let Some(change) = self.plan.change(number) else { return [None; 2] };
        let HostList { now, .. } = self.plan.list(number - 1);
        let fits = |number: u8, lists: (Slots, Slots)| {
            let known = match self.rule.matching {
                Matching::Number => here.number == number,
                Matching::LowerNumber => here.number <= number,
                Matching::Slots => true,
            };
            known && here.lists() == lists
        };
        if number % 2 == 1 {
            let allowed = (!change.taken_back || self.rule.takes_back_what_commits)
                && (!self.rule.confirmations || self.confirmed(state, number));
            let joint = Configuration { number, now, next: change.to };
            let single = Configuration { number: number + 1, now: change.to, next: 0 };
            let completes = allowed || self.rule.completes_by_itself;
            return [
                (allowed && fits(number - 1, (now, 0))).then_some(joint),
                (completes && fits(number, (now, change.to))).then_some(single),
            ];
        }
        let allowed =
            change.taken_back && (!self.rule.take_back_confirmations || self.confirmed(state, number));
        let HostList { now, next } = self.plan.list(number - 1);
        let back = Configuration { number, now, next: 0 };
        let missed = here.now == now && here.number < number;
        let (two, one) = (self.rule.catches_up, self.rule.catches_up || self.rule.renumbers_from_any);
        let leaves = two && missed && here.next != 0 || fits(number - 1, (now, next.unwrap_or(0)));
        let renumbers =
            self.rule.renumbering && fits(number - 2, (now, 0)) || one && missed && here.next == 0;
        [(allowed && leaves).then_some(back), (allowed && renumbers && here != back).then_some(back)]
    }

    fn possible_answers(&self, state: &State, at: usize, steps: &mut Vec<Step>) {
        let generation = &state.generations[at];
        let elsewhere = state.alive().iter().fold(0, |set, g| set | g.promised) & !generation.promised;
        let asked = generation.seats | generation.newcomers;
        let willing = self.free(state) & self.may_ack(state, generation) & !elsewhere;
        for slot in members(asked & willing & !generation.acks) {
            steps.push(Step::Ack(at as u8, slot as u8));
        }
        if generation.round != Round::Entry && self.committable(generation) {
            steps.push(Step::Commit(at as u8));
        }
        steps.push(Step::Drop(at as u8));
    }

    pub(super) fn apply(&self, state: &mut State, step: Step) {
        match step {
            Step::Write => state.written += 1,
            Step::Read(slot) => {
                let slot = usize::from(slot);
                let started = self.running(state) & bit(slot) != 0;
                state.view[slot] = (state.view[slot] + 1).max(self.births[slot]);
                if !started {
                    self.begin_incarnation(state, slot);
                }
            }
            Step::Restart(slot) => {
                let slot = usize::from(slot);
                state.incarnation[slot] = state.incarnation[slot].wrapping_add(1);
                self.begin_incarnation(state, slot);
            }
            Step::Found(slot) => self.found(state, usize::from(slot)),
            Step::Promise(at, slot) => {
                state.alive_mut().iter_mut().for_each(|g| g.promised &= !bit(usize::from(slot)));
                let generation = &mut state.generations[usize::from(at)];
                generation.promised |= bit(usize::from(slot));
                generation.seats |= bit(usize::from(slot));
            }
            Step::Form(at) => {
                let at = usize::from(at);
                let generation = &mut state.generations[at];
                generation.formed = true;
                generation.configuration = self.founded(generation.epoch);
                generation.seats &= generation.slots();
                let founder = generation.founder.trailing_zeros() as usize;
                generation.founder = 0;
                Self::bind(state, founder, at);
            }
            Step::Propose(at, round, seats) => self.propose(state, usize::from(at), round, seats),
            Step::Ack(at, slot) => {
                state.generations[usize::from(at)].acks |= bit(usize::from(slot));
                Self::bind(state, usize::from(slot), usize::from(at));
            }
            Step::Commit(at) => Self::commit(&mut state.generations[usize::from(at)], &mut state.committed),
            Step::Drop(at) => state.generations[usize::from(at)].clear_round(),
        }
    }

    fn found(&self, state: &mut State, slot: usize) {
        let earlier = state.alive().iter().position(|g| !g.formed && g.founder == bit(slot));
        if let Some(earlier) = earlier {
            state.forget(earlier);
        }
        // Names are for traces; in an endless walk they may come again.
        state.names = state.names % 200 + 1;
        let mut generation = Generation {
            name: state.names,
            founder: bit(slot),
            epoch: state.view[slot],
            seats: bit(slot),
            ..Generation::default()
        };
        if self.rule.exclusive_promises {
            generation.promised = bit(slot);
        } else {
            generation.seats |= self.may_promise(state, &generation);
        }
        state.generations[usize::from(state.count)] = generation;
        state.count += 1;
    }

    fn propose(&self, state: &mut State, at: usize, round: Round, seats: Slots) {
        let free = self.free(state);
        let seen = state.others_active(at);
        if !state.generations[at].active {
            state.generations[at].terms = (state.generations[at].terms + 1).min(2);
        }
        let willing = self.may_ack(state, &state.generations[at]);
        let generation = &mut state.generations[at];
        generation.round = round;
        generation.seen = seen;
        generation.newcomers = seats & (free | generation.members);
        generation.swapped = generation.newcomers;
        generation.acks = (generation.seats | generation.newcomers) & generation.members & willing;
    }
}
