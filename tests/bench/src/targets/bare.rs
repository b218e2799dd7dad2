//! The floor for a local read: a map in 64 shards, each behind a lock, nothing else. No lease, no clock, no versions.

use std::hash::BuildHasher;
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;
use hashbrown::{DefaultHashBuilder, HashMap};

const SHARDS: usize = 64;

/// The map.
pub struct Bare {
    shards: Vec<RwLock<HashMap<Bytes, Bytes>>>,
    hasher: DefaultHashBuilder,
}

impl Bare {
    /// All these keys, each with a copy of its own of the value.
    #[must_use]
    pub fn new(keys: &[Bytes], value: &[u8]) -> Self {
        let hasher = DefaultHashBuilder::default();
        let shards = std::iter::repeat_with(|| RwLock::new(HashMap::with_hasher(hasher.clone())))
            .take(SHARDS)
            .collect();
        let bare = Self { shards, hasher };
        for key in keys {
            let mut shard = bare.shard(key).write().unwrap_or_else(PoisonError::into_inner);
            shard.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        }
        bare
    }

    fn shard(&self, key: &[u8]) -> &RwLock<HashMap<Bytes, Bytes>> {
        // The map takes the low bits for the place and the high ones for the tag: the shard is chosen by those between.
        let at = (self.hasher.hash_one(key) >> 40) as usize % SHARDS;
        &self.shards[at]
    }

    /// Reads a value where it stands; its last byte, so that it is really touched.
    #[must_use]
    pub fn borrowed(&self, key: &[u8]) -> Option<u8> {
        let shard = self.shard(key).read().unwrap_or_else(PoisonError::into_inner);
        shard.get(key).and_then(|value| value.last().copied())
    }

    /// Gives a handle of a value.
    #[must_use]
    pub fn cloned(&self, key: &[u8]) -> Option<Bytes> {
        self.shard(key).read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }
}
