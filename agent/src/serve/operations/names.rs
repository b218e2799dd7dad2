//! The caches that metrics name: the first that this process heard of. Whoever writes chooses the names of caches, so
//! that there must be an end to them; all later ones are counted together.

use std::sync::OnceLock;

/// So many caches are named.
pub const NAMED: usize = 32;
/// How all others are called.
pub const OTHER: &str = "other";
/// Their place.
const OTHER_PLACE: usize = 0;
/// Places of caches, that of all others included.
pub(super) const PLACES: usize = NAMED + 1;

/// Which cache has which place, from 1. Places are given in order and kept, so that whoever looks for one needs no lock,
/// which readers on several processors would hand to and fro.
#[derive(Debug, Default)]
pub(super) struct Names([OnceLock<Box<str>>; NAMED]);

impl Names {
    /// The place of a cache, and gives it one if there is one left.
    pub(super) fn place(&self, cache: &str) -> usize {
        // Whoever comes at the same moment and is later finds there what the first has put.
        let has = |name: &OnceLock<Box<str>>| **name.get_or_init(|| cache.into()) == *cache;
        self.0.iter().position(has).map_or(OTHER_PLACE, |at| at + 1)
    }

    /// The place of what names no cache.
    pub(super) fn none() -> usize {
        OTHER_PLACE
    }

    /// The name for each place, in the order of places.
    pub(super) fn all(&self) -> Vec<Box<str>> {
        std::iter::once(OTHER.into()).chain(self.0.iter().map_while(OnceLock::get).cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_an_end_to_names() {
        let names = Names::default();
        for n in 0..1000 {
            let place = names.place(&format!("cache {n}"));
            assert_eq!(place, if n < NAMED { n + 1 } else { OTHER_PLACE });
        }
        assert_eq!(names.place("cache 3"), 4, "a place is kept");
        let all = names.all();
        assert_eq!((all.len(), &*all[0], &*all[4]), (PLACES, OTHER, "cache 3"));
    }

    #[test]
    fn all_threads_see_the_same_places() {
        const THREADS: usize = 4;
        for _ in 0..50 {
            let (names, begin) = (Names::default(), std::sync::Barrier::new(THREADS));
            // All ask for each place at the same moment, each for another cache first.
            let places = |thread: usize| -> Vec<usize> {
                let mut places = [0; 2 * THREADS];
                for first in [0, THREADS] {
                    begin.wait();
                    for n in (0..THREADS).map(|n| first + (n + thread) % THREADS) {
                        places[n] = names.place(&format!("cache {n}"));
                    }
                }
                places.into()
            };
            let all: Vec<_> = std::thread::scope(|scope| {
                let threads = [0, 1, 2, 3].map(|thread| scope.spawn(move || places(thread)));
                threads.map(|thread| thread.join().unwrap()).into()
            });
            assert!(all.iter().all(|places| *places == all[0]), "{all:?}");
            let mut given = all[0].clone();
            given.sort_unstable();
            assert_eq!(given, (1..=2 * THREADS).collect::<Vec<_>>(), "each place once: {all:?}");
        }
    }
}
