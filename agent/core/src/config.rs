//! Who counts: host lists, configurations, and the quorum of both.
//!
//! ```text
//! configuration = { slot lists (1 or 2) } × { seat maps (1 or 2) }
//! quorum        = for each list, for each map: more than half of the list's SLOTS are held by an incarnation
//!                 that said yes; a vacant or dead seat counts as silent
//! ```
//!
//! A seat swap stands with two maps for a moment, a size change with two lists.

use std::collections::BTreeMap;

use crate::types::{Epoch, Incarnation, Slot};

/// What HA_HOSTS says, with the number of the change that made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostList {
    /// Counted up by whoever writes the list.
    pub epoch: Epoch,
    /// The members now.
    pub now: Vec<Slot>,
    /// The members after the change that is under way.
    pub next: Option<Vec<Slot>>,
}

impl HostList {
    /// A list that nothing changes.
    #[must_use]
    pub fn fixed(slots: Vec<Slot>) -> Self {
        Self { epoch: 0, now: slots, next: None }
    }

    /// Every slot named, once, sorted.
    #[must_use]
    pub fn slots(&self) -> Vec<Slot> {
        union(self.lists().iter().map(Vec::as_slice))
    }

    /// One or two lists.
    #[must_use]
    pub fn lists(&self) -> Vec<Vec<Slot>> {
        std::iter::once(self.now.clone()).chain(self.next.clone()).collect()
    }
}

fn union<'a>(lists: impl Iterator<Item = &'a [Slot]>) -> Vec<Slot> {
    let mut all: Vec<Slot> = lists.flatten().cloned().collect();
    all.sort();
    all.dedup();
    all
}

/// Which incarnation holds which seat; a slot that is missing is vacant.
pub type Seats = BTreeMap<Slot, Incarnation>;

/// A configuration of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Configuration {
    /// Number of the host list that its lists correspond to (rule 3): a change of size is known by its number, never
    /// by the names of its slots alone.
    pub epoch: Epoch,
    /// Two lists: made by a change of size, which any later leader completes by itself. Those of a genesis wait for one.
    pub resizing: bool,
    /// One slot list, or two while the size changes.
    pub lists: Vec<Vec<Slot>>,
    /// One seat map, or two while a seat is swapped.
    pub maps: Vec<Seats>,
}

impl Configuration {
    /// Whether those for whom `yes` holds are a quorum of each list under each map.
    #[must_use]
    pub fn quorum(&self, mut yes: impl FnMut(&Incarnation) -> bool) -> bool {
        !self.lists.is_empty()
            && !self.maps.is_empty()
            && self.parts().all(|(list, seats)| {
                list.iter().filter(|slot| seats.get(slot).is_some_and(&mut yes)).count() > list.len() / 2
            })
    }

    /// The greatest value that a quorum has reached, given each incarnation's own: the ⌊n/2⌋+1-th greatest of each
    /// list under each map, and the least of those.
    #[must_use]
    pub fn reached<T: Ord + Copy + Default>(&self, mut of: impl FnMut(&Incarnation) -> T) -> T {
        let mut least = None;
        for (list, seats) in self.parts() {
            let mut value = |slot: &Slot| seats.get(slot).map_or_else(T::default, &mut of);
            // Asked for with every heartbeat and every commit: no allocation for lists as long as they are.
            let mut few = [T::default(); 16];
            let reached = if let Some(values) = few.get_mut(..list.len()) {
                values.iter_mut().zip(list).for_each(|(v, slot)| *v = value(slot));
                middle(values)
            } else {
                middle(&mut list.iter().map(value).collect::<Vec<T>>())
            };
            least = Some(least.map_or(reached, |least: T| least.min(reached)));
        }
        least.unwrap_or_default()
    }

    /// One of its lists has this slot.
    #[must_use]
    pub fn has(&self, slot: &Slot) -> bool {
        self.lists.iter().any(|list| list.contains(slot))
    }

    fn parts(&self) -> impl Iterator<Item = (&Vec<Slot>, &Seats)> {
        self.lists.iter().flat_map(|list| self.maps.iter().map(move |seats| (list, seats)))
    }

    /// The same without the slots whose seats nobody holds: what a quorum must not be counted of.
    pub(crate) fn present(&self) -> Self {
        let held = |slot: &&Slot| self.maps.iter().any(|seats| seats.contains_key(*slot));
        let lists = self.lists.iter().map(|list| list.iter().filter(held).cloned().collect()).collect();
        Self { lists, ..self.clone() }
    }

    /// Whether it holds a seat under any map.
    #[must_use]
    pub fn seats(&self, who: &Incarnation) -> bool {
        self.maps.iter().any(|seats| seats.get(&who.slot) == Some(who)) && self.has(&who.slot)
    }

    /// Every incarnation that holds a seat, once.
    #[must_use]
    pub fn seated(&self) -> Vec<Incarnation> {
        let slots = self.slots();
        let mut all: Vec<Incarnation> = self
            .maps
            .iter()
            .flat_map(|m| m.values())
            .filter(|who| slots.contains(&who.slot))
            .cloned()
            .collect();
        all.sort();
        all.dedup();
        all
    }

    /// Every slot of every list, once, sorted.
    #[must_use]
    pub fn slots(&self) -> Vec<Slot> {
        union(self.lists.iter().map(Vec::as_slice))
    }

    /// Nothing changes: one list and one map.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.lists.len() == 1 && self.maps.len() == 1
    }

    /// Bytes that it takes, roughly.
    #[must_use]
    pub fn size(&self) -> usize {
        64 * (self.maps.iter().map(BTreeMap::len).sum::<usize>()
            + self.lists.iter().map(Vec::len).sum::<usize>())
    }
}

/// The ⌊n/2⌋+1-th greatest.
fn middle<T: Ord + Copy + Default>(values: &mut [T]) -> T {
    values.sort_unstable_by(|a, b| b.cmp(a));
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Boot;

    fn slots(n: usize) -> Vec<Slot> {
        (0..n).map(|i| Slot::new(&format!("n{i}:1"))).collect()
    }

    fn seats(list: &[Slot], boot: u128) -> Seats {
        list.iter().map(|s| (s.clone(), Incarnation { slot: s.clone(), boot: Boot(boot) })).collect()
    }

    #[test]
    fn a_quorum_is_of_the_slots_not_of_the_seats_present() {
        let list = slots(5);
        let config = Configuration {
            epoch: 0,
            resizing: false,
            lists: vec![list.clone()],
            maps: vec![seats(&list[..2], 1)],
        };
        assert!(!config.quorum(|_| true), "two of five seats are no quorum however few are held");
        let config = Configuration {
            epoch: 0,
            resizing: false,
            lists: vec![list.clone()],
            maps: vec![seats(&list[..3], 1)],
        };
        assert!(config.quorum(|_| true));
        assert_eq!(config.reached(|who| if who.slot == list[0] { 9 } else { 4 }), 4);
    }

    #[test]
    fn two_maps_need_both() {
        let list = slots(3);
        let old = seats(&list, 1);
        let mut new = old.clone();
        new.insert(list[0].clone(), Incarnation { slot: list[0].clone(), boot: Boot(2) });
        let config =
            Configuration { epoch: 0, resizing: false, lists: vec![list.clone()], maps: vec![old, new] };
        assert!(config.quorum(|who| who.slot != list[0]));
        assert!(
            !config.quorum(|who| who.slot != list[1] && who.boot == Boot(1)),
            "no quorum under the new map"
        );
        assert_eq!(config.seated().len(), 4);
    }

    #[test]
    fn two_lists_need_both() {
        let (small, large) = (slots(3), slots(5));
        let config = Configuration {
            epoch: 0,
            resizing: false,
            lists: vec![small.clone(), large.clone()],
            maps: vec![seats(&large, 1)],
        };
        assert!(!config.quorum(|who| small.contains(&who.slot) && who.slot != small[0]), "two of five");
        assert!(config.quorum(|who| who.slot == small[0] || who.slot == small[1] || who.slot == large[4]));
    }

    #[test]
    fn nothing_changes_with_one_list_and_one_map() {
        let list = slots(3);
        for (lists, maps, settled) in [(1, 1, true), (2, 1, false), (1, 2, false), (2, 2, false)] {
            let (lists, maps) = (vec![list.clone(); lists], vec![seats(&list, 1); maps]);
            let config = Configuration { epoch: 0, resizing: false, lists, maps };
            assert_eq!(config.settled(), settled, "{config:?}");
            let names = 3 * (config.lists.len() + config.maps.len());
            assert_eq!(config.size(), 64 * names, "for each slot and each seat");
        }
    }

    #[test]
    fn a_host_list_names_the_slots_of_both_its_lists_once() {
        let all = slots(4);
        let hosts =
            HostList { epoch: 2, now: vec![all[2].clone(), all[0].clone()], next: Some(all[1..].to_vec()) };
        assert_eq!(hosts.slots(), all);
        assert_eq!(hosts.lists(), [vec![all[2].clone(), all[0].clone()], all[1..].to_vec()]);
        assert_eq!(HostList::fixed(all.clone()).lists(), [all]);
    }
}
