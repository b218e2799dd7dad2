//! What the operator does to the host list, from the first list to the last.
//!
//! ```text
//! plan "3>(5)>4"      epoch   list
//!                     0       now {0 1 2}
//!                     1       now {0 1 2}, next {0 1 2 3 4}
//!                     2       now {0 1 2}                     taken back
//!                     3       now {0 1 2}, next {0 1 2 3}
//!                     4       now {0 1 2 3}                   finished
//! ```
//!
//! Even epochs have one list, odd ones two. What is decided after an odd epoch (finish, take back) is fixed by the
//! plan: the operator's compare-and-swap in the list object excludes the other, and before it nothing differs.

use std::fmt;
use std::str::FromStr;

use crate::slots::{MAX_SLOTS, Slots, bit, members};

/// What HA_HOSTS says at one epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HostList {
    /// The members now.
    pub now: Slots,
    /// The members after the change under way.
    pub next: Option<Slots>,
}

/// One change of the list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// The members wanted.
    pub to: Slots,
    /// It is taken back before its first `SetSize` was sent.
    pub taken_back: bool,
}

/// The first list and what is done to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Plan {
    lists: Vec<HostList>,
    changes: Vec<Change>,
}

impl Plan {
    /// The lists that these changes make. `None` if there are more than fit into the model, or an empty one.
    #[must_use]
    pub fn new(first: Slots, changes: &[Change]) -> Option<Self> {
        let mut lists = vec![HostList { now: first, next: None }];
        let mut now = first;
        for change in changes {
            lists.push(HostList { now, next: Some(change.to) });
            now = if change.taken_back { now } else { change.to };
            lists.push(HostList { now, next: None });
        }
        let fits = changes.len() <= 8 && first != 0 && changes.iter().all(|c| c.to != 0);
        fits.then(|| Self { lists, changes: changes.to_vec() })
    }

    /// The list of an epoch; of one beyond the last, the last.
    #[must_use]
    pub fn list(&self, epoch: u8) -> HostList {
        self.lists[usize::from(epoch.min(self.last()))]
    }

    /// The change that the list of an odd epoch announces and the following one ends.
    #[must_use]
    pub fn change(&self, epoch: u8) -> Option<Change> {
        self.changes.get(usize::from(epoch.saturating_sub(1) / 2)).copied()
    }

    /// Every slot of the list of an epoch.
    #[must_use]
    pub fn slots(&self, epoch: u8) -> Slots {
        let list = self.list(epoch);
        list.now | list.next.unwrap_or(0)
    }

    /// Every slot that is ever named.
    #[must_use]
    pub fn all(&self) -> Slots {
        self.lists.iter().fold(0, |all, list| all | list.now | list.next.unwrap_or(0))
    }

    /// The epoch of the last list.
    #[must_use]
    pub fn last(&self) -> u8 {
        (self.lists.len() - 1) as u8
    }

    /// The first epoch whose list names the slot: its pod is made for it.
    #[must_use]
    pub fn birth(&self, slot: usize) -> u8 {
        (0..=self.last()).find(|epoch| self.slots(*epoch) & bit(slot) != 0).unwrap_or(0)
    }

    /// Slots in groups that no list tells apart.
    #[must_use]
    pub fn classes(&self) -> Vec<Vec<usize>> {
        let mut classes: Vec<(Vec<bool>, Vec<usize>)> = Vec::new();
        for slot in members(self.all()) {
            let named = |list: &HostList| [list.now, list.next.unwrap_or(0)].map(|set| set & bit(slot) != 0);
            let key: Vec<bool> = self.lists.iter().flat_map(named).collect();
            match classes.iter_mut().find(|class| class.0 == key) {
                Some(class) => class.1.push(slot),
                None => classes.push((key, vec![slot])),
            }
        }
        classes.into_iter().map(|class| class.1).collect()
    }
}

/// A plan that cannot be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadPlan(String);

impl fmt::Display for BadPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is no plan: expected sizes or ranges up to 8 slots, as 3>5, 3>(5)>4 or 0-3>2-5",
            self.0
        )
    }
}

impl std::error::Error for BadPlan {}

impl FromStr for Plan {
    type Err = BadPlan;

    /// `3>5`: slots 0..3, then 0..5. `0-3>2-5`: slots 2..5 replace two hosts. `3>(5)`: taken back.
    fn from_str(text: &str) -> Result<Self, BadPlan> {
        let bad = || BadPlan(text.to_owned());
        let mut parts = text.split('>');
        let first = parts.next().and_then(slots).ok_or_else(bad)?;
        let change = |part: &str| {
            let inner = part.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
            let to = slots(inner.unwrap_or(part)).ok_or_else(bad)?;
            Ok(Change { to, taken_back: inner.is_some() })
        };
        let changes = parts.map(change).collect::<Result<Vec<_>, _>>()?;
        Self::new(first, &changes).ok_or_else(bad)
    }
}

fn slots(text: &str) -> Option<Slots> {
    let (from, to) = match text.split_once('-') {
        Some((from, to)) => (from.parse().ok()?, to.parse().ok()?),
        None => (0, text.parse().ok()?),
    };
    let sane = from < to && to <= MAX_SLOTS;
    sane.then(|| (from..to).map(bit).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_taken_back_leads_to_the_first_list_again() {
        let plan: Plan = "3>(5)>4".parse().unwrap();
        let lists: Vec<_> = (0..=plan.last()).map(|e| plan.list(e)).map(|l| (l.now, l.next)).collect();
        assert_eq!(lists, [(7, None), (7, Some(31)), (7, None), (7, Some(15)), (15, None)]);
        assert_eq!(plan.birth(3), 1);
        assert_eq!(plan.classes(), [vec![0, 1, 2], vec![3], vec![4]]);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "3>", "9", "3>x", "0", "3-1", "3>(5"] {
            assert!(text.parse::<Plan>().is_err(), "{text}");
        }
        assert_eq!("1-4".parse::<Plan>().unwrap().list(0).now, 0b1110);
    }
}
