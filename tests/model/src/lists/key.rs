//! The fingerprint of a state: equal for states that differ by the names of alike slots and of generations only.

use crate::lists::Lists;
use crate::lists::state::{Configuration, Generation, Round, State};
use crate::search::fingerprint;
use crate::slots::{MAX_GENERATIONS, MAX_SLOTS, ORDERS, rename};

const WORDS: usize = MAX_SLOTS + 2 * MAX_GENERATIONS + 1;

fn configuration(of: Configuration) -> u64 {
    u64::from(of.number) << 16 | u64::from(of.now) << 8 | u64::from(of.next)
}

fn column(state: &State, slot: usize, order: &[usize]) -> u64 {
    let mut column = u64::from(state.view[slot]);
    for at in order {
        let Generation { founder, seats, members, promised, acks, swapped, newcomers, .. } =
            state.generations[*at];
        for set in [founder, seats, members, promised, acks, swapped, newcomers] {
            column = column << 1 | u64::from(set >> slot & 1);
        }
    }
    column
}

impl Lists {
    pub(super) fn key(&self, state: &State) -> u64 {
        let orders = ORDERS[usize::from(state.count)];
        // Exclusive promises move to later founders: their order matters.
        let orders = if self.rule.exclusive_promises { &orders[..1] } else { orders };
        let mut best = [u64::MAX; WORDS];
        for order in orders {
            best = best.min(self.words(state, order));
        }
        fingerprint(&best)
    }

    fn words(&self, state: &State, order: &[usize]) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        let mut at = 0;
        for class in &self.classes {
            let from = at;
            for slot in class {
                words[at] = column(state, *slot, order);
                at += 1;
            }
            words[from..at].sort_unstable();
        }
        for (to, at) in order.iter().enumerate() {
            let generation = &state.generations[*at];
            let (round, target) = match generation.round {
                Round::None => (0, 0),
                Round::Entry => (1, 0),
                Round::Seats => (2, 0),
                Round::Change(to) => (3, configuration(to)),
            };
            let flags = [generation.formed, generation.active, generation.dead];
            let flags =
                flags.iter().fold(u64::from(generation.terms), |bits, flag| bits << 1 | u64::from(*flag));
            words[MAX_SLOTS + 2 * to] =
                flags << 48 | u64::from(generation.epoch) << 40 | configuration(generation.configuration);
            words[MAX_SLOTS + 2 * to + 1] = round << 48
                | rename(generation.seen, order) << 40
                | rename(generation.before, order) << 32
                | target;
        }
        words[WORDS - 1] =
            u64::from(state.written) << 16 | u64::from(state.committed) << 8 | u64::from(state.count);
        words
    }
}
