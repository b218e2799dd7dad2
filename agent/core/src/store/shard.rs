//! One shard: values by cache and key, and the order in which they end.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use crate::log::{Entry, Payload};
use crate::store::hash::hash;
use crate::store::{Record, Value};
use crate::types::{Index, LogTime};

/// What a value takes beyond its name, key and bytes, roughly.
const FIXED: usize = 120;

/// A copy of a shard, for a snapshot.
#[derive(Debug)]
pub(crate) struct Copied {
    pub(crate) applied: Index,
    pub(crate) records: Vec<Record>,
}

#[derive(Debug, Default)]
pub(crate) struct Shard {
    /// Entries up to here are in it already: an installed shard may be ahead of the log (rule 11).
    applied: Index,
    /// Looked up, never iterated where the order could be seen.
    caches: BTreeMap<Arc<str>, HashMap<Bytes, Value>>,
    /// (end, version) → (cache, key): versions are unique.
    ends: BTreeSet<(LogTime, Index, Arc<str>, Bytes)>,
    entries: usize,
    bytes: usize,
    /// Of all values, combined with XOR: their order does not show, and a change costs its own value only.
    digest: u64,
}

impl Shard {
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.entries, self.bytes)
    }

    pub(crate) fn get(&self, cache: &str, key: &[u8]) -> Option<&Value> {
        self.caches.get(cache)?.get(key)
    }

    /// Returns whether the key was there before.
    pub(crate) fn apply(&mut self, entry: &Entry) -> bool {
        if entry.index <= self.applied {
            return false;
        }
        self.applied = entry.index;
        match &entry.payload {
            Payload::Noop | Payload::Configuration(_) => false,
            Payload::Put { cache, key, value, expires_at } => {
                let existed = self.remove(cache, key);
                self.insert(
                    cache.clone(),
                    key.clone(),
                    Value { value: value.clone(), version: entry.index, expires_at: *expires_at },
                );
                existed
            }
            Payload::Delete { cache, key } => self.remove(cache, key),
            Payload::Expire { cache, key, version } => {
                self.get(cache, key).is_some_and(|v| v.version == *version) && self.remove(cache, key)
            }
        }
    }

    fn insert(&mut self, cache: Arc<str>, key: Bytes, value: Value) {
        self.digest ^= digest_of(&cache, &key, &value);
        if let Some(end) = value.expires_at {
            self.ends.insert((end, value.version, cache.clone(), key.clone()));
        }
        self.entries += 1;
        self.bytes += FIXED + key.len() + value.value.len();
        self.caches.entry(cache).or_default().insert(key, value);
    }

    fn remove(&mut self, cache: &Arc<str>, key: &Bytes) -> bool {
        let Some(values) = self.caches.get_mut(cache) else { return false };
        let Some(value) = values.remove(key) else { return false };
        self.digest ^= digest_of(cache, key, &value);
        if values.is_empty() {
            self.caches.remove(cache);
        }
        if let Some(end) = value.expires_at {
            self.ends.remove(&(end, value.version, cache.clone(), key.clone()));
        }
        self.entries -= 1;
        self.bytes -= FIXED + key.len() + value.value.len();
        true
    }

    pub(crate) fn ended(&self, now: LogTime, limit: usize, out: &mut Vec<Record>) {
        for (end, version, cache, key) in self.ends.iter().take(limit) {
            if *end > now {
                return;
            }
            out.push(Record {
                cache: cache.clone(),
                key: key.clone(),
                value: Bytes::new(),
                version: *version,
                expires_at: Some(*end),
            });
        }
    }

    /// In the order of their keys, so that the same shard gives the same bytes on every node.
    pub(crate) fn records(&self) -> Vec<Record> {
        let mut out = Vec::with_capacity(self.entries);
        for (cache, values) in &self.caches {
            for (key, v) in values {
                out.push(Record {
                    cache: cache.clone(),
                    key: key.clone(),
                    value: v.value.clone(),
                    version: v.version,
                    expires_at: v.expires_at,
                });
            }
        }
        out.sort_unstable_by_key(|r| r.version);
        out
    }

    pub(crate) fn install(&mut self, copied: Copied) {
        *self = Self { applied: copied.applied, ..Self::default() };
        for r in copied.records {
            self.insert(
                r.cache,
                r.key,
                Value { value: r.value, version: r.version, expires_at: r.expires_at },
            );
        }
    }

    pub(crate) fn digest(&self) -> u64 {
        self.digest
    }
}

fn digest_of(cache: &str, key: &[u8], value: &Value) -> u64 {
    let end = value.expires_at.map_or(u64::MAX, |t| t.0).to_be_bytes();
    hash([cache.as_bytes(), key, &value.value, &value.version.to_be_bytes(), &end])
}
