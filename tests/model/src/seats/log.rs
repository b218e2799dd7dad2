//! Logs, and the configurations in them.
//!
//! ```text
//! Entry (32 bits) = term (3) | is a configuration (1) | lists (2) | swapping (1) | old map (10) | new map (10)
//! map             = two bits a slot: 0 nobody, k+1 its k-th incarnation
//! Node            = slot × 3 + incarnation; Nodes = a bit each
//! ```

use crate::slots::{Slots, bit, members};

/// Slots in this model.
pub const MAX_SLOTS: usize = 5;
/// Incarnations of one slot.
pub const LIVES: usize = 3;
/// Entries in one log.
pub const MAX_LOG: usize = 7;

/// A set of incarnations.
pub type Nodes = u16;

/// The set of one incarnation.
#[must_use]
pub fn node(slot: usize, life: u8) -> Nodes {
    1 << (slot * LIVES + usize::from(life))
}

/// Which incarnation holds the seat of each slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Map(u16);

impl Map {
    /// The incarnation that holds the seat.
    #[must_use]
    pub fn holder(self, slot: usize) -> Option<u8> {
        ((self.0 >> (2 * slot) & 3) as u8).checked_sub(1)
    }

    /// The same with another holder.
    #[must_use]
    pub fn with(self, slot: usize, life: u8) -> Self {
        Self(self.0 & !(3 << (2 * slot)) | (u16::from(life) + 1) << (2 * slot))
    }

    /// Everybody who holds a seat.
    #[must_use]
    pub fn nodes(self) -> Nodes {
        (0..MAX_SLOTS).filter_map(|slot| Some(node(slot, self.holder(slot)?))).sum()
    }

    /// The same with slots by other names.
    #[must_use]
    pub fn renamed(self, names: &[usize; MAX_SLOTS]) -> Self {
        Self((0..MAX_SLOTS).fold(0, |map, slot| map | (self.0 >> (2 * slot) & 3) << (2 * names[slot])))
    }
}

/// Which slot lists count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub enum Counting {
    /// The list before the change of size.
    #[default]
    Old,
    /// Both.
    Both,
    /// The list after it.
    New,
}

/// Slot lists × seat maps.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Configuration {
    /// The lists.
    pub counting: Counting,
    /// The map in force, the old one during a swap.
    pub map: Map,
    /// The new one during a swap.
    pub next: Option<Map>,
}

impl Configuration {
    /// A majority of each list under each map.
    #[must_use]
    pub fn quorum(&self, set: Nodes, (old, new): (Slots, Slots)) -> bool {
        let lists = match self.counting {
            Counting::Old => [old, old],
            Counting::Both => [old, new],
            Counting::New => [new, new],
        };
        let maps = [self.map, self.next.unwrap_or(self.map)];
        lists.iter().all(|list| {
            maps.iter().all(|map| {
                let holds = |slot: &usize| map.holder(*slot).is_some_and(|life| set & node(*slot, life) != 0);
                members(*list).filter(holds).count() > list.count_ones() as usize / 2
            })
        })
    }

    /// Every slot that counts.
    #[must_use]
    pub fn slots(&self, (old, new): (Slots, Slots)) -> Slots {
        match self.counting {
            Counting::Old => old,
            Counting::Both => old | new,
            Counting::New => new,
        }
    }

    /// Whether the incarnation has a seat that counts.
    #[must_use]
    pub fn seats(&self, slot: usize, life: u8, lists: (Slots, Slots)) -> bool {
        let held = self.map.nodes() | self.next.unwrap_or_default().nodes();
        self.slots(lists) & bit(slot) != 0 && held & node(slot, life) != 0
    }
}

/// One entry of a log. Whatever is no configuration is alike: a no-op.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Entry(u32);

impl Entry {
    /// Of a term, with a configuration or without.
    #[must_use]
    pub fn new(term: u8, configuration: Option<Configuration>) -> Self {
        let Some(c) = configuration else { return Self(u32::from(term)) };
        let counting = match c.counting {
            Counting::Old => 0,
            Counting::Both => 1,
            Counting::New => 2,
        };
        Self(
            u32::from(term)
                | 1 << 3
                | counting << 4
                | u32::from(c.next.is_some()) << 6
                | u32::from(c.map.0) << 7
                | u32::from(c.next.unwrap_or_default().0) << 17,
        )
    }

    /// The term of the leader that appended it.
    #[must_use]
    pub fn term(self) -> u8 {
        (self.0 & 7) as u8
    }

    /// What it says about seats and lists.
    #[must_use]
    pub fn configuration(self) -> Option<Configuration> {
        (self.0 >> 3 & 1 != 0).then(|| Configuration {
            counting: match self.0 >> 4 & 3 {
                0 => Counting::Old,
                1 => Counting::Both,
                _ => Counting::New,
            },
            map: Map((self.0 >> 7 & 0x3ff) as u16),
            next: (self.0 >> 6 & 1 != 0).then_some(Map((self.0 >> 17 & 0x3ff) as u16)),
        })
    }

    /// The same with slots by other names, as a number.
    #[must_use]
    pub fn renamed(self, names: &[usize; MAX_SLOTS]) -> u64 {
        let renamed = self.configuration().map(|c| Configuration {
            map: c.map.renamed(names),
            next: c.next.map(|next| next.renamed(names)),
            ..c
        });
        u64::from(Self::new(self.term(), renamed).0)
    }
}

/// A log; indices begin at 1.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Log {
    len: u8,
    entries: [Entry; MAX_LOG],
}

impl Log {
    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> u8 {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of them.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries[..usize::from(self.len)]
    }

    /// The term of the last entry, 0 without one.
    #[must_use]
    pub fn last_term(&self) -> u8 {
        self.entries().last().map_or(0, |entry| entry.term())
    }

    /// The first so many entries.
    #[must_use]
    pub fn prefix(&self, len: u8) -> Self {
        let mut prefix = *self;
        prefix.len = len.min(self.len);
        prefix.entries[usize::from(prefix.len)..].fill(Entry::default());
        prefix
    }

    /// Appends, if there is room.
    pub fn push(&mut self, entry: Entry) {
        if let Some(place) = self.entries.get_mut(usize::from(self.len)) {
            *place = entry;
            self.len += 1;
        }
    }

    /// How many entries both begin with.
    #[must_use]
    pub fn common(&self, other: &Self) -> u8 {
        self.entries().iter().zip(other.entries()).take_while(|(a, b)| a == b).count() as u8
    }

    /// The configurations with their indices, newest first.
    pub fn configurations(&self) -> impl Iterator<Item = (u8, Configuration)> {
        let all = self.entries().iter().enumerate().rev();
        all.filter_map(|(at, entry)| Some((at as u8 + 1, entry.configuration()?)))
    }

    /// Whether a voter with this log may vote for a candidate with that one: Raft's comparison (thesis, 3.6.1).
    #[must_use]
    pub fn no_newer_than(&self, candidate: &Self) -> bool {
        (self.last_term(), self.len) <= (candidate.last_term(), candidate.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_keeps_what_it_is_given() {
        let map = Map::default().with(0, 0).with(4, 2);
        let next = map.with(0, 1);
        let all = [
            None,
            Some(Configuration { counting: Counting::Old, map, next: None }),
            Some(Configuration { counting: Counting::Both, map, next: Some(next) }),
            Some(Configuration { counting: Counting::New, map: next, next: None }),
        ];
        for configuration in all {
            let entry = Entry::new(5, configuration);
            assert_eq!((entry.term(), entry.configuration()), (5, configuration));
        }
        assert_eq!(next.nodes(), node(0, 1) | node(4, 2));
    }

    #[test]
    fn a_quorum_is_one_of_each_list_under_each_map() {
        let map = (0..3).fold(Map::default(), |map, slot| map.with(slot, 0));
        let swap = Configuration { counting: Counting::Old, map, next: Some(map.with(0, 1)) };
        let lists = (0b111, 0b111);
        assert!(swap.quorum(node(1, 0) | node(2, 0), lists));
        assert!(!swap.quorum(node(0, 1) | node(2, 0), lists), "one of the old map");
        assert!(!swap.quorum(node(0, 0) | node(2, 0), lists), "one of the new map");
        let resize = Configuration { counting: Counting::Both, map, next: None };
        assert!(!resize.quorum(node(1, 0) | node(2, 0), (0b111, 0b001)));
        assert!(resize.quorum(node(0, 0) | node(2, 0), (0b111, 0b001)));
    }
}
