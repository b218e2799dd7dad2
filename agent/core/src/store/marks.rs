//! What a node remembers of its way through the log, beside the data: digests at positions that every replica passes,
//! and how much was removed without being asked for.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};

use crate::store::feed::Removal;
use crate::types::Index;

/// A digest is kept at every index that this divides: replicas under load are compared there, since they are never
/// seen at the same index otherwise.
pub const CHECKPOINT: Index = 4096;
/// So many are kept: more than are passed while a report is on its way.
const KEPT: usize = 128;

/// Values that were removed without being asked for, since the process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Removals {
    /// Their time had come.
    pub expired: u64,
    /// To make room.
    pub evicted: u64,
}

#[derive(Debug, Default)]
pub(super) struct Marks {
    checkpoints: RwLock<VecDeque<(Index, u64)>>,
    expired: AtomicU64,
    evicted: AtomicU64,
}

impl Marks {
    /// An entry was applied in every shard, and removed a value for this reason.
    pub(super) fn passed(&self, index: Index, removal: Option<Removal>, digest: impl FnOnce() -> u64) {
        match removal {
            Some(Removal::Expired) => {
                self.expired.fetch_add(1, Ordering::Relaxed);
            }
            Some(Removal::Evicted) => {
                self.evicted.fetch_add(1, Ordering::Relaxed);
            }
            Some(Removal::Deleted | Removal::Taken) | None => {}
        }
        if index.is_multiple_of(CHECKPOINT) {
            let digest = digest();
            let mut kept = self.checkpoints.write().unwrap_or_else(PoisonError::into_inner);
            if kept.len() == KEPT {
                kept.pop_front();
            }
            kept.push_back((index, digest));
        }
    }

    /// The data is another's now, or gone.
    pub(super) fn forget(&self) {
        self.checkpoints.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn checkpoints(&self) -> Vec<(Index, u64)> {
        self.checkpoints.read().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }

    pub(super) fn removals(&self) -> Removals {
        Removals {
            expired: self.expired.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_checkpoints_are_kept() {
        let marks = Marks::default();
        for index in 1..=CHECKPOINT * 200 {
            marks.passed(index, None, || index + 1);
        }
        let kept = marks.checkpoints();
        assert_eq!(kept.len(), KEPT);
        assert_eq!(kept.last(), Some(&(CHECKPOINT * 200, CHECKPOINT * 200 + 1)));
        marks.forget();
        assert_eq!(marks.checkpoints(), []);
    }

    #[test]
    fn removals_are_counted_by_their_cause() {
        let marks = Marks::default();
        for why in [Removal::Expired, Removal::Evicted, Removal::Evicted, Removal::Deleted, Removal::Taken] {
            marks.passed(1, Some(why), || 0);
        }
        assert_eq!(marks.removals(), Removals { expired: 1, evicted: 2 });
    }
}
