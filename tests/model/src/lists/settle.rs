//! After each step: what only helps a violation to show itself is done at once.

use crate::lists::Lists;
use crate::lists::state::{Generation, Round, State};
use crate::slots::{bit, members};

impl Lists {
    /// Commits what can be committed and buries what cannot commit any more. Returns whether two generations commit
    /// alternately.
    pub(super) fn settle(&self, state: &mut State) -> bool {
        loop {
            let earlier = *state;
            let bound = self.running(state) & !self.free(state);
            if self.settle_generations(state) {
                return true;
            }
            // Whoever lost its generation or its seat can only restart.
            let unseated = state.alive().iter().fold(0, |set, g| set | g.members & !g.seats & !g.newcomers);
            for slot in members(unseated | bound & self.free(state)) {
                state.incarnation[slot] = state.incarnation[slot].wrapping_add(1);
                self.begin_incarnation(state, slot);
            }
            if *state == earlier {
                // Less than what the operator waits for is as good as nothing, and one state instead of many.
                if state.committed < self.awaited(state) {
                    state.committed = 0;
                }
                return false;
            }
        }
    }

    fn settle_generations(&self, state: &mut State) -> bool {
        loop {
            let earlier = *state;
            for at in 0..usize::from(state.count) {
                self.settle_rounds(state, at);
            }
            if *state == earlier {
                break;
            }
        }
        let count = usize::from(state.count);
        let alternate = |a: usize, b: usize| {
            state.generations[a].before >> b & 1 != 0 && state.generations[b].before >> a & 1 != 0
        };
        if (0..count).any(|a| (0..a).any(|b| alternate(a, b))) {
            return true;
        }
        for at in (0..count).rev() {
            self.bury(state, at);
        }
        false
    }

    fn settle_rounds(&self, state: &mut State, at: usize) {
        let others = state.others_active(at);
        let generation = state.generations[at];
        if !generation.formed || generation.dead {
            return;
        }
        let live = generation.seats & generation.members & self.may_ack(state, &generation);
        let State { generations, committed, .. } = state;
        let generation = &mut generations[at];
        // A seat for an incarnation that died without an ack changes nothing.
        generation.swapped &= generation.newcomers | generation.acks;
        if generation.round == Round::Seats && generation.swapped == 0 {
            generation.round = Round::Entry;
        }
        if generation.round == Round::Entry && self.committable(generation) {
            Self::commit(generation, committed);
        }
        if generation.round == Round::None && self.entry_quorum(live, generation) {
            Self::activate(generation, committed);
            generation.before |= others;
        }
    }

    /// Something is committed, which the operator may see before anything else happens.
    fn activate(generation: &mut Generation, committed: &mut u8) {
        (generation.active, generation.terms, generation.epoch) = (true, 0, 0);
        *committed = generation.configuration.number.max(*committed);
    }

    /// The pending round has its quorum.
    pub(super) fn commit(generation: &mut Generation, committed: &mut u8) {
        if let Round::Change(to) = generation.round {
            generation.configuration = to;
        }
        generation.before |= generation.seen;
        generation.seats = (generation.seats | generation.newcomers) & generation.slots();
        Self::activate(generation, committed);
        generation.clear_round();
    }

    fn bury(&self, state: &mut State, at: usize) {
        if !state.generations[at].dead && !self.can_still_commit(state, at) {
            let Generation { name, active, before, .. } = state.generations[at];
            state.generations[at] =
                Generation { name, active, before, formed: true, dead: true, ..Generation::default() };
        }
        let alive =
            state.alive().iter().enumerate().filter(|(_, g)| !g.dead).fold(0, |set, (at, _)| set | 1 << at);
        if state.generations[at].dead && state.generations[at].before & alive == 0 {
            state.forget(at);
        }
    }

    /// A new process in the slot, or its first.
    pub(super) fn begin_incarnation(&self, state: &mut State, slot: usize) {
        let others = !bit(slot);
        for generation in state.alive_mut() {
            generation.seats &= others;
            generation.members &= others;
            generation.promised &= others;
            generation.newcomers &= others;
            generation.founder &= others;
        }
        if self.rule.exclusive_promises {
            return;
        }
        for at in 0..usize::from(state.count) {
            if !state.generations[at].formed {
                let promises = self.may_promise(state, &state.generations[at]) & bit(slot);
                state.generations[at].seats |= promises;
            }
        }
    }

    /// The incarnation belongs to this generation and to no other.
    pub(super) fn bind(state: &mut State, slot: usize, to: usize) {
        for (at, generation) in state.alive_mut().iter_mut().enumerate() {
            if at == to {
                generation.members |= bit(slot);
            } else {
                generation.seats &= !bit(slot);
                generation.newcomers &= !bit(slot);
            }
            generation.promised &= !bit(slot);
        }
    }

    /// The number that the operator waits for before it goes on.
    pub(super) fn awaited(&self, state: &State) -> u8 {
        state.written + state.written % 2
    }
}
