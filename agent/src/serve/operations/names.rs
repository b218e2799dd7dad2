//! The caches that metrics name: the first that this process heard of. Whoever writes chooses the names of caches, so
//! that there must be an end to them; all later ones are counted together.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

/// So many caches are named.
pub const NAMED: usize = 32;
/// How all others are called.
pub const OTHER: &str = "other";
/// Their place.
const OTHER_PLACE: usize = 0;
/// Places of caches, that of all others included.
pub(super) const PLACES: usize = NAMED + 1;

/// Which cache has which place, from 1.
#[derive(Debug, Default)]
pub(super) struct Names(RwLock<HashMap<Box<str>, usize>>);

impl Names {
    /// The place of a cache, and gives it one if there is one left.
    pub(super) fn place(&self, cache: &str) -> usize {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        match known.get(cache) {
            Some(place) => return *place,
            None if known.len() >= NAMED => return OTHER_PLACE,
            None => drop(known),
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let next = known.len() + 1;
        match known.get(cache) {
            Some(place) => *place,
            None if next > NAMED => OTHER_PLACE,
            None => {
                known.insert(cache.into(), next);
                next
            }
        }
    }

    /// The place of what names no cache.
    pub(super) fn none() -> usize {
        OTHER_PLACE
    }

    /// The name for each place, in the order of places.
    pub(super) fn all(&self) -> Vec<Box<str>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut named: Vec<_> = known.iter().map(|(name, place)| (*place, name.clone())).collect();
        named.sort_unstable();
        std::iter::once(OTHER.into()).chain(named.into_iter().map(|(_, name)| name)).collect()
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
}
