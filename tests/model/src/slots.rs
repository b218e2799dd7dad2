//! Sets of slots and of generations, and the names under which they are alike.
//!
//! ```text
//! Slots       = bits, slot 0 lowest          Generations = bits, by place in the table
//! order       = places of the table in the order in which the generations are named
//! ```

/// A set of slots, a bit each.
pub type Slots = u8;

/// Slots are numbered from 0 and there are fewer than this.
pub const MAX_SLOTS: usize = 8;

/// A set of generations, by place.
pub type Generations = u8;

/// Generations that can be alive at once.
pub const MAX_GENERATIONS: usize = 3;

/// The members of a set, in order.
pub fn members(set: Slots) -> impl Iterator<Item = usize> {
    (0..MAX_SLOTS).filter(move |slot| set & bit(*slot) != 0)
}

/// The set of one.
#[must_use]
pub fn bit(slot: usize) -> Slots {
    1 << slot
}

/// The first so many slots.
#[must_use]
pub fn first(count: usize) -> Slots {
    (0..count.min(MAX_SLOTS)).map(bit).sum()
}

/// Whether more than half of the slots of a list are in the set.
#[must_use]
pub fn majority(set: Slots, list: Slots) -> bool {
    (set & list).count_ones() > list.count_ones() / 2
}

/// The set of generations without the one at a place, whose followers move up.
pub(crate) fn squeeze(set: Generations, at: usize) -> Generations {
    (set & ((1 << at) - 1)) | ((set >> (at + 1)) << at)
}

/// Every order in which so many generations can be named.
pub(crate) const ORDERS: [&[&[usize]]; MAX_GENERATIONS + 1] = [
    &[&[]],
    &[&[0]],
    &[&[0, 1], &[1, 0]],
    &[&[0, 1, 2], &[0, 2, 1], &[1, 0, 2], &[1, 2, 0], &[2, 0, 1], &[2, 1, 0]],
];

/// The set under the names of an order.
pub(crate) fn rename(set: Generations, order: &[usize]) -> u64 {
    order.iter().enumerate().fold(0, |named, (to, at)| named | u64::from(set >> at & 1) << to)
}

/// As `{0 2}`.
pub(crate) fn slots(set: Slots) -> String {
    let names: Vec<String> = members(set).map(|slot| slot.to_string()).collect();
    format!("{{{}}}", names.join(" "))
}

/// As `{0.1 2.0}`: slots with their present incarnations.
pub(crate) fn processes(set: Slots, incarnation: &[u8; MAX_SLOTS]) -> String {
    let names: Vec<String> = members(set).map(|slot| format!("{slot}.{}", incarnation[slot])).collect();
    format!("{{{}}}", names.join(" "))
}
