//! The change feed: what applied entries really changed, in their order.
//!
//! ```text
//! Feed ─ start ┆ change, change, … ┆ end     complete for positions in [start, end]; bounded in bytes and number
//! ```
//!
//! What was put as it was written is known from its entry, which as a rule the log holds as well; a change is made of it when
//! somebody asks.
//!
//! A watcher at a position before the start has missed something and is told so: it must read anew. What a snapshot
//! brought is missed as well, up to the last index that any of its shards had in it.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

use crate::log::Entry;
use crate::types::Index;

/// Bytes that the feed holds, at most.
const BYTES: usize = 4 << 20;
/// Changes that it holds, at most.
const CHANGES: usize = 1 << 15;

/// Something that changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Position of the entry that did it. One entry changes one thing.
    pub index: Index,
    /// In which cache.
    pub cache: Arc<str>,
    /// What.
    pub change: Changed,
}

/// What changed in a cache.
#[derive(Clone, Debug, PartialEq)]
pub enum Changed {
    /// A value was stored, or replaced.
    Put {
        /// Its key.
        key: Bytes,
        /// The value.
        value: Bytes,
    },
    /// A value was removed.
    Removed {
        /// Its key.
        key: Bytes,
        /// Why.
        why: Removal,
    },
    /// All values were removed.
    Cleared,
}

/// Why a value is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// A client deleted it.
    Deleted,
    /// A client took it.
    Taken,
    /// Its time had come.
    Expired,
    /// To make room.
    Evicted,
}

/// The changes after a position are not all known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap;

/// What a watcher sees of an entry that changed something.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Seen {
    /// The entry puts a value, and so it stands.
    AsWritten,
    /// Something that the entry alone does not say.
    Changed(Changed),
}

impl Seen {
    /// Why a value is gone, if one is.
    pub(super) fn removal(&self) -> Option<Removal> {
        match self {
            Self::Changed(Changed::Removed { why, .. }) => Some(*why),
            Self::AsWritten | Self::Changed(Changed::Put { .. } | Changed::Cleared) => None,
        }
    }
}

/// A change as it is held.
#[derive(Debug)]
enum Held {
    Entry(Arc<Entry>),
    Change(Change),
}

impl Held {
    fn index(&self) -> Index {
        match self {
            Self::Entry(entry) => entry.index,
            Self::Change(change) => change.index,
        }
    }

    /// What it counts for: keys and values, and what holds them. (As a rule an entry is held by the log as well; where that
    /// has let it go already, it takes some 180 bytes more.)
    fn size(&self) -> usize {
        let bytes = match self {
            Self::Entry(entry) => entry.put().map_or(0, |(_, key, value)| key.len() + value.len()),
            Self::Change(Change { change: Changed::Put { key, value }, .. }) => key.len() + value.len(),
            Self::Change(Change { change: Changed::Removed { key, .. }, .. }) => key.len(),
            Self::Change(Change { change: Changed::Cleared, .. }) => 0,
        };
        size_of::<Self>() + bytes
    }

    /// The change, if it is one of this cache; `None`: of any.
    fn of(&self, cache: Option<&str>) -> Option<Change> {
        let wanted = |of: &str| cache.is_none_or(|cache| cache == of);
        match self {
            Self::Entry(entry) => {
                let (cache, key, value) = entry.put().filter(|(cache, ..)| wanted(cache))?;
                let change = Changed::Put { key: key.clone(), value: value.clone() };
                Some(Change { index: entry.index, cache: cache.clone(), change })
            }
            Self::Change(change) => wanted(&change.cache).then(|| change.clone()),
        }
    }
}

#[derive(Debug)]
pub(super) struct Feed {
    ring: RwLock<Ring>,
    bytes: usize,
    changes: usize,
}

#[derive(Debug, Default)]
struct Ring {
    start: Index,
    end: Index,
    changes: VecDeque<Held>,
    bytes: usize,
}

impl Default for Feed {
    fn default() -> Self {
        Self::bounded(BYTES, CHANGES)
    }
}

impl Feed {
    pub(super) fn bounded(bytes: usize, changes: usize) -> Self {
        Self { ring: RwLock::default(), bytes, changes }
    }

    fn change<T>(&self, change: impl FnOnce(&mut Ring) -> T) -> T {
        change(&mut self.ring.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// An entry was applied; what it changed. False: it lies at or before the start, where all is known in part only.
    pub(super) fn push(&self, entry: &Arc<Entry>, seen: Option<(Arc<str>, Seen)>) -> bool {
        let index = entry.index;
        self.change(|ring| {
            if index <= ring.end {
                return false;
            }
            ring.end = index;
            let held = match seen {
                None => return true,
                Some((_, Seen::AsWritten)) => Held::Entry(entry.clone()),
                Some((cache, Seen::Changed(change))) => Held::Change(Change { index, cache, change }),
            };
            ring.bytes += held.size();
            ring.changes.push_back(held);
            while ring.bytes > self.bytes || ring.changes.len() > self.changes {
                let Some(dropped) = ring.changes.pop_front() else { break };
                ring.bytes -= dropped.size();
                ring.start = dropped.index();
            }
            true
        })
    }

    /// Nothing is known up to this position.
    pub(super) fn begin_at(&self, index: Index) {
        self.change(|ring| *ring = Ring { start: index, end: index, ..Ring::default() });
    }

    pub(super) fn end(&self) -> Index {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).end
    }

    pub(super) fn after(&self, after: Index, cache: Option<&str>, limit: usize) -> Result<Vec<Change>, Gap> {
        let ring = self.ring.read().unwrap_or_else(PoisonError::into_inner);
        if after < ring.start {
            return Err(Gap);
        }
        let from = ring.changes.partition_point(|held| held.index() <= after);
        Ok(ring.changes.range(from..).filter_map(|held| held.of(cache)).take(limit).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::{Op, Payload};
    use crate::request::Condition;
    use crate::types::LogTime;

    #[test]
    fn what_fills_the_bound_exactly_is_kept() {
        let entry = |index| {
            let op = Op::Put {
                cache: Arc::from("codes"),
                key: Bytes::from("key"),
                value: Bytes::from("value"),
                expires_at: None,
                condition: Condition::Always,
            };
            let payload = Payload::Write { tag: None, op };
            Arc::new(Entry { term: 1, index, time: LogTime(0), payload })
        };
        let cleared = Change { index: 0, cache: Arc::from("codes"), change: Changed::Cleared };
        for (seen, size) in [
            (Seen::Changed(Changed::Cleared), Held::Change(cleared).size()),
            (Seen::AsWritten, Held::Entry(entry(1)).size()),
        ] {
            let known = |bytes| {
                let feed = Feed::bounded(bytes, usize::MAX);
                let push = |index| feed.push(&entry(index), Some((Arc::from("codes"), seen.clone())));
                assert!((1..=2).all(push));
                feed.after(0, None, 9).map(|changes| changes.len())
            };
            assert_eq!((known(2 * size), known(2 * size - 1)), (Ok(2), Err(Gap)));
        }
    }
}
