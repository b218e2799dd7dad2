//! The deterministic state machine: named caches of keys and values, in shards.
//!
//! ```text
//! Store ─ shard 0 … 15 ─ { applied index, (cache, key) → { value, version, expires_at }, (expires_at, …) order }
//! ```
//!
//! A key always lives in the same shard, on every node. What the log says is applied shard by shard; replicas that
//! applied the same index hold the same bytes, which [`Store::digest`] compares. The locks are for readers on other
//! threads: only the consensus task writes.

mod hash;
mod shard;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use crate::log::{Entry, Payload};
use crate::types::{Index, LogTime};
pub(crate) use shard::Copied;
use shard::Shard;

/// Number of shards; the same on every node, since a snapshot is made of them.
pub const SHARDS: u32 = 16;

/// One value as a snapshot carries it.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its cache.
    pub cache: Arc<str>,
    /// Its key.
    pub key: Bytes,
    /// Itself.
    pub value: Bytes,
    /// Index of the entry that wrote it.
    pub version: Index,
    /// When it ends.
    pub expires_at: Option<LogTime>,
}

/// A value in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// The bytes.
    pub value: Bytes,
    /// Index of the entry that wrote it.
    pub version: Index,
    /// When it ends.
    pub expires_at: Option<LogTime>,
}

/// The shards.
#[derive(Debug)]
pub struct Store {
    shards: Vec<RwLock<Shard>>,
    applied: AtomicU64,
    entries: AtomicUsize,
    bytes: AtomicUsize,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            applied: AtomicU64::new(0),
            entries: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
        }
    }
}

impl Store {
    fn read(&self, shard: u32) -> RwLockReadGuard<'_, Shard> {
        // A shard is never left half changed: a panic elsewhere does not make it wrong.
        self.shards[(shard % SHARDS) as usize].read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, shard: u32) -> RwLockWriteGuard<'_, Shard> {
        self.shards[(shard % SHARDS) as usize].write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last index that is applied in every shard.
    #[must_use]
    pub fn applied(&self) -> Index {
        self.applied.load(Ordering::Acquire)
    }

    /// Number of values.
    #[must_use]
    pub fn entries(&self) -> usize {
        self.entries.load(Ordering::Relaxed)
    }

    /// Bytes of caches' names, keys and values, with a fixed part for each value.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The value of a key, ended or not.
    #[must_use]
    pub fn get(&self, cache: &str, key: &[u8]) -> Option<Value> {
        self.read(hash::shard_of(cache, key)).get(cache, key).cloned()
    }

    /// Applies an entry; says whether the key was there before.
    pub(crate) fn apply(&self, entry: &Entry) -> bool {
        let existed = match &entry.payload {
            Payload::Noop | Payload::Configuration(_) => false,
            Payload::Put { cache, key, .. }
            | Payload::Delete { cache, key }
            | Payload::Expire { cache, key, .. } => {
                let mut shard = self.write(hash::shard_of(cache, key));
                let before = shard.size();
                let existed = shard.apply(entry);
                self.resize(before, shard.size());
                existed
            }
        };
        self.applied.store(entry.index, Ordering::Release);
        existed
    }

    fn resize(&self, before: (usize, usize), after: (usize, usize)) {
        let change = |total: &AtomicUsize, before: usize, after: usize| {
            total.fetch_add(after, Ordering::Relaxed);
            total.fetch_sub(before, Ordering::Relaxed);
        };
        change(&self.entries, before.0, after.0);
        change(&self.bytes, before.1, after.1);
    }

    /// Values that have ended at `now`, oldest first, at most `limit`.
    #[must_use]
    pub(crate) fn ended(&self, now: LogTime, limit: usize) -> Vec<Record> {
        let mut out = Vec::new();
        for shard in 0..SHARDS {
            self.read(shard).ended(now, limit - out.len(), &mut out);
            if out.len() >= limit {
                break;
            }
        }
        out
    }

    /// Copies a shard in one piece, with the index it has applied (rule 11): whatever touches it later has a higher
    /// one. `floor` is what all shards have applied at least.
    #[must_use]
    pub(crate) fn copy(&self, shard: u32) -> Copied {
        let guard = self.read(shard);
        Copied { applied: self.applied(), records: guard.records() }
    }

    /// Replaces a shard by a copy.
    pub(crate) fn install(&self, shard: u32, copied: Copied) {
        let mut guard = self.write(shard);
        let before = guard.size();
        guard.install(copied);
        self.resize(before, guard.size());
    }

    /// Says from where entries are applied after an install.
    pub(crate) fn begin_at(&self, index: Index) {
        self.applied.store(index, Ordering::Release);
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        for shard in 0..SHARDS {
            let mut guard = self.write(shard);
            let before = guard.size();
            *guard = Shard::default();
            self.resize(before, guard.size());
        }
        self.applied.store(0, Ordering::Release);
    }

    /// A digest of all values, independent of their order; equal on replicas that applied the same index.
    #[must_use]
    pub fn digest(&self) -> u64 {
        (0..SHARDS).fold(0, |all, shard| all ^ self.read(shard).digest())
    }
}
