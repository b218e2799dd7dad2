//! The change feed: what applied entries really changed, in their order.
//!
//! ```text
//! Feed ─ start ┆ change, change, … ┆ end     complete for positions in [start, end]; bounded in bytes and number
//! ```
//!
//! A watcher at a position before the start has missed something and is told so: it must read anew. What a snapshot
//! brought is missed as well, up to the last index that any of its shards had in it.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;

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

impl Changed {
    /// Why a value is gone, if one is.
    pub(super) fn removal(&self) -> Option<Removal> {
        match self {
            Self::Removed { why, .. } => Some(*why),
            Self::Put { .. } | Self::Cleared => None,
        }
    }
}

impl Change {
    fn size(&self) -> usize {
        let bytes = match &self.change {
            Changed::Put { key, value } => key.len() + value.len(),
            Changed::Removed { key, .. } => key.len(),
            Changed::Cleared => 0,
        };
        size_of::<Self>() + bytes
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
    changes: VecDeque<Change>,
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
    pub(super) fn push(&self, index: Index, change: Option<(Arc<str>, Changed)>) -> bool {
        self.change(|ring| {
            if index <= ring.end {
                return false;
            }
            ring.end = index;
            let Some((cache, change)) = change else { return true };
            let change = Change { index, cache, change };
            ring.bytes += change.size();
            ring.changes.push_back(change);
            while ring.bytes > self.bytes || ring.changes.len() > self.changes {
                let Some(dropped) = ring.changes.pop_front() else { break };
                ring.bytes -= dropped.size();
                ring.start = dropped.index;
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
        let from = ring.changes.partition_point(|change| change.index <= after);
        let wanted = |change: &&Change| cache.is_none_or(|cache| *cache == *change.cache);
        Ok(ring.changes.range(from..).filter(wanted).take(limit).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fills_the_bound_exactly_is_kept() {
        let change = || (Arc::from("codes"), Changed::Cleared);
        let size = Change { index: 0, cache: Arc::from("codes"), change: Changed::Cleared }.size();
        let known = |bytes| {
            let feed = Feed::bounded(bytes, usize::MAX);
            assert!((1..=2).all(|index| feed.push(index, Some(change()))));
            feed.after(0, None, 9).map(|changes| changes.len())
        };
        assert_eq!((known(2 * size), known(2 * size - 1)), (Ok(2), Err(Gap)));
    }
}
