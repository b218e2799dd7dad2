//! The fingerprint of a state: equal for states that differ by the names of slots and of generations only.

use crate::genesis::Genesis;
use crate::genesis::state::{Generation, Round, State};
use crate::search::fingerprint;
use crate::slots::{MAX_GENERATIONS, MAX_SLOTS, ORDERS, members, rename};

const WORDS: usize = MAX_SLOTS + MAX_GENERATIONS + 1;

fn column(state: &State, slot: usize, order: &[usize]) -> u64 {
    let mut column = u64::from(state.quarantine[slot]);
    for at in order {
        let Generation { founder, held, sent, seats, given, members, .. } = state.generations[*at];
        let Generation { acks, swapped, newcomers, .. } = state.generations[*at];
        for set in [founder, held, sent, seats, given, members, acks, swapped, newcomers] {
            column = column << 1 | u64::from(set >> slot & 1);
        }
    }
    column
}

impl Genesis {
    pub(super) fn key(&self, state: &State) -> u64 {
        let mut best = [u64::MAX; WORDS];
        for order in ORDERS[usize::from(state.count)] {
            best = best.min(self.words(state, order));
        }
        fingerprint(&best)
    }

    fn words(&self, state: &State, order: &[usize]) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        let mut count = 0;
        for slot in members(self.slots) {
            words[count] = column(state, slot, order);
            count += 1;
        }
        words[..count].sort_unstable();
        for (to, at) in order.iter().enumerate() {
            let generation = &state.generations[*at];
            let round = match generation.round {
                Round::None => 0,
                Round::Entry => 1,
                Round::Seats => 2,
            };
            let flags = [generation.formed, generation.active, generation.dead];
            let flags = flags.iter().fold(round, |bits, flag| bits << 1 | u64::from(*flag));
            words[MAX_SLOTS + to] = flags << 40
                | u64::from(generation.ballot) << 32
                | u64::from(generation.lease) << 24
                | u64::from(generation.fresh) << 16
                | rename(generation.seen, order) << 8
                | rename(generation.before, order);
        }
        words[WORDS - 1] = u64::from(state.count);
        words
    }
}
