//! The set of states seen, shared by the threads of a search.
//!
//! An open table of fingerprints with linear probing; 0 is an empty place. Beside each the fingerprint of the state
//! from which it was first reached, so that a counterexample can be told. It grows only between rounds of the search,
//! while one thread alone holds it.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU64, AtomicUsize};

pub(super) struct Seen {
    keys: Vec<AtomicU64>,
    parents: Vec<AtomicU64>,
    len: AtomicUsize,
}

fn zeros(size: usize) -> Vec<AtomicU64> {
    let mut table = Vec::new();
    table.resize_with(size, || AtomicU64::new(0));
    table
}

impl Seen {
    pub(super) fn new() -> Self {
        let size = 1 << 16;
        Self { keys: zeros(size), parents: zeros(size), len: AtomicUsize::new(0) }
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Makes sure that so many more fit with room to spare: a full table would be searched for ever.
    pub(super) fn reserve(&mut self, more: usize) {
        let wanted = ((self.len() + more) * 4 / 3).next_power_of_two();
        if wanted <= self.keys.len() {
            return;
        }
        let keys = std::mem::replace(&mut self.keys, zeros(wanted));
        let parents = std::mem::replace(&mut self.parents, zeros(wanted));
        self.len = AtomicUsize::new(0);
        for (key, parent) in keys.iter().zip(&parents) {
            if key.load(Relaxed) != 0 {
                self.insert(key.load(Relaxed), parent.load(Relaxed));
            }
        }
    }

    /// Whether it was new.
    pub(super) fn insert(&self, key: u64, parent: u64) -> bool {
        let mask = self.keys.len() - 1;
        let mut at = key as usize & mask;
        loop {
            match self.keys[at].compare_exchange(0, key, Relaxed, Relaxed) {
                Ok(_) => {
                    self.parents[at].store(parent, Relaxed);
                    self.len.fetch_add(1, Relaxed);
                    return true;
                }
                Err(found) if found == key => return false,
                Err(_) => at = (at + 1) & mask,
            }
        }
    }

    /// The fingerprints from the start to this one.
    pub(super) fn path(&self, to: u64) -> Vec<u64> {
        let mut path = vec![to];
        let mut at = to;
        while let Some(parent) = self.parent(at) {
            path.push(parent);
            at = parent;
        }
        path.reverse();
        path
    }

    fn parent(&self, key: u64) -> Option<u64> {
        let mask = self.keys.len() - 1;
        let mut at = key as usize & mask;
        loop {
            match self.keys[at].load(Relaxed) {
                0 => return None,
                found if found == key => {
                    return Some(self.parents[at].load(Relaxed)).filter(|parent| *parent != 0);
                }
                _ => at = (at + 1) & mask,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_and_keeps_the_ways() {
        let mut seen = Seen::new();
        assert!(seen.insert(1, 0));
        for key in 2..200_000 {
            seen.reserve(1);
            assert!(seen.insert(key, key - 1));
            assert!(!seen.insert(key, 7));
        }
        assert_eq!(seen.len(), 199_999);
        assert_eq!(seen.path(5), [1, 2, 3, 4, 5]);
    }
}
