//! The fingerprint of a state: equal for states that differ by the names of alike slots only.

use std::ops::Range;

use crate::search::fingerprint;
use crate::seats::Seats;
use crate::seats::log::{LIVES, Log, MAX_SLOTS, Nodes};
use crate::seats::state::{Part, Process, State};
use crate::slots::{Slots, members};

/// More words than a state has.
const WORDS: usize = 128;

/// What a state is written down into.
struct Words {
    all: [u64; WORDS],
    len: usize,
}

impl Words {
    fn push(&mut self, word: u64) {
        if let Some(place) = self.all.get_mut(self.len) {
            *place = word;
            self.len += 1;
        }
    }

    fn log(&mut self, log: &Log, names: &[usize; MAX_SLOTS]) {
        self.push(u64::from(log.len()));
        for pair in log.entries().chunks(2) {
            self.push(pair.iter().fold(0, |word, entry| word << 32 | entry.renamed(names)));
        }
    }
}

/// Every way to rename slots within the parts that the lists tell apart.
pub(super) fn names((old, new): (Slots, Slots)) -> Vec<[usize; MAX_SLOTS]> {
    let alike = |a: usize, b: usize| (old >> a & 1, new >> a & 1) == (old >> b & 1, new >> b & 1);
    let mut all = vec![];
    let mut names: [usize; MAX_SLOTS] = std::array::from_fn(|slot| slot);
    permute(&mut names, 0, &alike, &mut all);
    let used = old | new;
    all.retain(|names| (0..MAX_SLOTS).all(|slot| used >> slot & 1 != 0 || names[slot] == slot));
    all
}

fn permute(
    names: &mut [usize; MAX_SLOTS],
    from: usize,
    alike: &impl Fn(usize, usize) -> bool,
    all: &mut Vec<[usize; MAX_SLOTS]>,
) {
    if from == MAX_SLOTS {
        if names.iter().enumerate().all(|(slot, name)| alike(slot, *name)) {
            all.push(*names);
        }
        return;
    }
    for other in from..MAX_SLOTS {
        names.swap(from, other);
        permute(names, from + 1, alike, all);
        names.swap(from, other);
    }
}

fn nodes(set: Nodes, names: &[usize; MAX_SLOTS]) -> u64 {
    let lives = |slot: usize| u64::from(set >> (slot * LIVES)) & 7;
    (0..MAX_SLOTS).fold(0, |renamed, slot| renamed | lives(slot) << (names[slot] * LIVES))
}

/// What of a process does not depend on names.
fn nameless(process: &Process) -> u64 {
    let part = match process.part {
        Part::Follower => 0,
        Part::Candidate => 1,
        Part::Leader => 2,
    };
    let head = u64::from(process.life)
        | u64::from(process.term) << 3
        | u64::from(process.voted) << 6
        | part << 7
        | u64::from(process.commit) << 9;
    let terms = process
        .log
        .entries()
        .iter()
        .fold(u64::from(process.log.len()), |all, e| all << 3 | u64::from(e.term()));
    head << 32 | terms
}

impl Seats {
    pub(super) fn key(&self, state: &State) -> u64 {
        let heads = state.processes.map(|process| nameless(&process));
        // Of all names, those under which the processes are in order; the least fingerprint decides among them.
        let sorted = |names: &&[usize; MAX_SLOTS]| {
            let mut renamed = [0; MAX_SLOTS];
            (0..MAX_SLOTS).for_each(|slot| renamed[names[slot]] = heads[slot]);
            self.runs.iter().all(|run| renamed[run.clone()].is_sorted())
        };
        self.names.iter().filter(sorted).map(|names| self.print(state, &heads, names)).min().unwrap_or(1)
    }

    fn print(&self, state: &State, heads: &[u64; MAX_SLOTS], names: &[usize; MAX_SLOTS]) -> u64 {
        let mut words = Words { all: [0; WORDS], len: 0 };
        for name in members(self.all()) {
            let Some(slot) = names.iter().position(|n| *n == name) else { continue };
            let process = &state.processes[slot];
            words.push(heads[slot]);
            words.log(&process.log, names);
            match process.part {
                Part::Follower => {}
                Part::Candidate => words.push(nodes(process.votes, names)),
                Part::Leader => {
                    let acks = &process.acks[..usize::from(process.log.len())];
                    for four in acks.chunks(4) {
                        words.push(four.iter().fold(0, |word, set| word << 16 | nodes(*set, names)));
                    }
                }
            }
        }
        state.led.iter().for_each(|log| words.log(log, names));
        words.log(&state.committed, names);
        words.push(state.committed_in.iter().fold(0, |all, term| all << 8 | u64::from(*term)));
        fingerprint(&words.all[..words.len])
    }
}

/// Neighbouring slots that the lists do not tell apart.
pub(super) fn runs((old, new): (Slots, Slots)) -> Vec<Range<usize>> {
    let (small, large) = (old.count_ones().min(new.count_ones()), old.count_ones().max(new.count_ones()));
    vec![0..small as usize, small as usize..large as usize]
}
