//! After each step: what only helps a violation to show itself is done at once.

use crate::genesis::state::{Generation, Round, State};
use crate::genesis::{ALTERNATE, Genesis, OLD_LEASE, TWO_LEASES};
use crate::search::Broken;
use crate::slots::{Slots, bit, majority, members};

impl Genesis {
    /// Processes that are bound to no generation.
    pub(super) fn free(&self, state: &State) -> Slots {
        self.slots & !state.alive().iter().fold(0, |bound, g| bound | g.members)
    }

    /// Those whose quarantine is over.
    pub(super) fn admitted(&self, state: &State) -> Slots {
        members(self.slots).filter(|slot| state.quarantine[*slot] == 0).fold(0, |set, slot| set | bit(slot))
    }

    pub(super) fn quorum(&self, set: Slots, given: Slots) -> bool {
        majority(set, if self.rule.quorum_of_slots { self.slots } else { given })
    }

    pub(super) fn committable(&self, generation: &Generation) -> bool {
        let Generation { acks, swapped, given, .. } = *generation;
        match generation.round {
            Round::None => false,
            Round::Entry => self.quorum(acks, given),
            Round::Seats => self.quorum(acks & !swapped, given) && self.quorum(acks, given | swapped),
        }
    }

    /// Commits what can be committed and buries what cannot commit any more. Returns what is broken.
    pub(super) fn settle(&self, state: &mut State) -> Option<Broken> {
        loop {
            let earlier = *state;
            let bound = self.slots & !self.free(state);
            let broken = self.settle_generations(state);
            if broken.is_some() {
                return broken;
            }
            // Whoever lost its generation or its seat can only restart.
            let unseated = state.alive().iter().fold(0, |set, g| set | g.members & !g.seats & !g.newcomers);
            for slot in members(unseated | bound & self.free(state)) {
                self.begin_incarnation(state, slot);
            }
            if *state == earlier {
                return None;
            }
        }
    }

    fn settle_generations(&self, state: &mut State) -> Option<Broken> {
        loop {
            let earlier = *state;
            for at in 0..usize::from(state.count) {
                self.settle_rounds(state, at);
            }
            if *state == earlier {
                break;
            }
        }
        let broken = Self::broken(state);
        for at in (0..usize::from(state.count)).rev() {
            self.bury(state, at);
        }
        broken
    }

    fn broken(state: &State) -> Option<Broken> {
        let count = usize::from(state.count);
        let before = |a: usize, b: usize| state.generations[b].before >> a & 1 != 0;
        let leased = |a: usize| state.generations[a].lease > 0;
        let pairs = (0..count).flat_map(|a| (0..count).map(move |b| (a, b))).filter(|(a, b)| a != b);
        pairs.fold(None, |broken, (a, b)| {
            let found = if before(a, b) && before(b, a) {
                Some(ALTERNATE)
            } else if before(a, b) && leased(a) {
                Some(OLD_LEASE)
            } else if leased(a) && leased(b) {
                Some(TWO_LEASES)
            } else {
                None
            };
            broken.or(found)
        })
    }

    fn settle_rounds(&self, state: &mut State, at: usize) {
        let others = state.others_active(at);
        let generation = &mut state.generations[at];
        if !generation.formed || generation.dead {
            return;
        }
        let live = generation.seats & generation.members;
        // A seat for an incarnation that died without an ack changes nothing.
        generation.swapped &= generation.newcomers | generation.acks;
        if generation.round == Round::Seats && generation.swapped == 0 {
            generation.round = Round::Entry;
        }
        if generation.round == Round::Entry && self.committable(generation) {
            Self::commit(generation);
        }
        if generation.round == Round::None && self.quorum(live, generation.given) {
            generation.active = true;
            generation.before |= others;
            generation.lease = self.ticks;
        }
        if live == 0 {
            generation.lease = 0;
        }
    }

    /// The pending round has its quorum: the lease counts from when it was proposed.
    pub(super) fn commit(generation: &mut Generation) {
        generation.before |= generation.seen;
        generation.seats |= generation.newcomers;
        generation.given |= generation.swapped;
        generation.active = true;
        generation.lease = generation.lease.max(generation.fresh);
        generation.clear_round();
    }

    /// Whether it could ever commit something, if everything that may still help did.
    fn can_still_commit(&self, state: &State, at: usize) -> bool {
        let generation = &state.generations[at];
        let free = self.free(state);
        if !generation.formed {
            return generation.founder & free & generation.held != 0;
        }
        if generation.round == Round::None && generation.seats & generation.members == 0 {
            return false; // nobody is left who could propose
        }
        let mut may_ack = generation.members | free;
        if !generation.active && self.rule.ack_where_promised {
            may_ack &= generation.members | generation.held;
        }
        if !self.rule.new_identity || !self.rule.bound_for_life {
            may_ack = Slots::MAX; // any process may come to it, or come back
        }
        let hope = generation.acks | (generation.seats | generation.newcomers) & may_ack;
        self.quorum(hope, generation.given)
    }

    fn bury(&self, state: &mut State, at: usize) {
        let Generation { dead, lease, .. } = state.generations[at];
        // A lease outlives the quorum that gave it: reads may still be served.
        if !dead && lease == 0 && !self.can_still_commit(state, at) {
            let Generation { name, ballot, active, before, .. } = state.generations[at];
            state.generations[at] = Generation {
                name,
                ballot,
                active,
                before,
                formed: true,
                dead: true,
                ..Generation::default()
            };
        }
        let alive =
            state.alive().iter().enumerate().filter(|(_, g)| !g.dead).fold(0, |set, (at, _)| set | 1 << at);
        if state.generations[at].dead && state.generations[at].before & alive == 0 {
            state.forget(at);
        }
    }

    /// A new process in the slot.
    pub(super) fn begin_incarnation(&self, state: &mut State, slot: usize) {
        state.incarnation[slot] = state.incarnation[slot].wrapping_add(1);
        state.quarantine[slot] = self.ticks;
        let others = !bit(slot);
        for generation in state.alive_mut() {
            generation.members &= others;
            generation.held &= others;
            generation.founder &= others;
            if self.rule.new_identity {
                generation.sent &= others;
                generation.seats &= others;
                generation.newcomers &= others;
            }
        }
    }

    /// The incarnation belongs to this generation and to no other.
    pub(super) fn bind(&self, state: &mut State, slot: usize, to: usize) {
        let others = !bit(slot);
        for (at, generation) in state.alive_mut().iter_mut().enumerate() {
            generation.held &= others;
            if at == to {
                generation.members |= bit(slot);
                continue;
            }
            generation.members &= others;
            if self.rule.new_identity {
                generation.sent &= others;
                generation.seats &= others;
                generation.newcomers &= others;
            }
        }
    }
}
