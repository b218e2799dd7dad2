//! One cache, as one shard holds it.
//!
//! ```text
//! Cache ─ values: key ─▶ Value │ limits
//!       └ Kept ─ ends: (end, version) ─▶ Value │ order: version ─▶ Value, where values are evicted │ bytes, digest
//! ```
//!
//! The orders share the values' memory. The table of values has a keyed hash, since clients choose keys. Where it is
//! iterated over, the order must make no difference: only a snapshot shows it, to a member whose tables have other keys.

use std::collections::BTreeMap;
use std::hint::black_box;

use hashbrown::HashTable;

use crate::request::{Limits, WhenFull};
use crate::store::Store;
use crate::store::hash::{Keys, hash_after};
use crate::store::value::{Parts, Value};
use crate::types::{Index, LogTime};

/// A table that is filled to less than this part is made smaller.
const SPARSE: usize = 8;
/// Values that are fetched from memory at the same time.
const TOGETHER: usize = 32;

#[derive(Debug)]
pub(super) struct Cache {
    values: HashTable<Value>,
    keys: Keys,
    kept: Kept,
    limits: Option<Limits>,
}

/// What is kept of all values beside the table.
#[derive(Debug, Default)]
struct Kept {
    ends: BTreeMap<(LogTime, Index), Value>,
    /// Only where [`WhenFull::Evict`] is declared.
    order: Option<BTreeMap<Index, Value>>,
    bytes: usize,
    /// Of all values, combined with XOR: their order does not show, and a change costs its own value only.
    digest: u64,
}

impl Kept {
    fn note(&mut self, name: &str, new: &Value) {
        self.digest ^= digest_of(name, new);
        self.bytes += charge(new);
        if let Some(end) = new.expires_at() {
            self.ends.insert((end, new.version()), new.clone());
        }
        if let Some(order) = &mut self.order {
            order.insert(new.version(), new.clone());
        }
    }

    fn forget(&mut self, name: &str, old: &Value) {
        self.digest ^= digest_of(name, old);
        self.bytes -= charge(old);
        if let Some(end) = old.expires_at() {
            self.ends.remove(&(end, old.version()));
        }
        if let Some(order) = &mut self.order {
            order.remove(&old.version());
        }
    }
}

impl Cache {
    pub(super) fn new(keys: Keys) -> Self {
        Self { values: HashTable::new(), keys, kept: Kept::default(), limits: None }
    }

    /// Number of values, ended ones included.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.values.capacity()
    }

    /// What its values are charged with.
    pub(super) fn bytes(&self) -> usize {
        self.kept.bytes
    }

    pub(super) fn digest(&self) -> u64 {
        self.kept.digest
    }

    pub(super) fn limits(&self) -> Option<&Limits> {
        self.limits.as_ref()
    }

    /// Nothing would be lost with it.
    pub(super) fn is_void(&self) -> bool {
        self.values.is_empty() && self.limits.is_none()
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&Value> {
        self.values.find(self.keys.of(key), |held| held.key() == key)
    }

    /// The value of a key as the table alone knows it: of a key that is there, in one case of about a hundred another one's.
    /// The memory of the value is not touched.
    pub(super) fn guess(&self, key: &[u8]) -> Option<&Value> {
        self.values.find(self.keys.of(key), |_| true)
    }

    /// Says whether it takes the place of a value that had not ended at `now`.
    pub(super) fn insert(&mut self, name: &str, new: Parts<'_>, now: LogTime) -> bool {
        let Self { values, keys, kept, .. } = self;
        let hash = keys.of(new.key);
        if let Some(held) = values.find_mut(hash, |held| held.key() == new.key) {
            let existed = held.lives_at(now);
            // The orders first: with them nobody has it but the table, in most cases, and its memory can be used again.
            kept.forget(name, held);
            if !held.rewrite(new) {
                *held = Value::new(new);
            }
            kept.note(name, held);
            return existed;
        }
        let value = Value::new(new);
        kept.note(name, &value);
        values.insert_unique(hash, value, |held| keys.of(held.key()));
        false
    }

    pub(super) fn remove(&mut self, name: &str, key: &[u8]) -> Option<Value> {
        let Self { values, keys, kept, .. } = self;
        let (old, _) = values.find_entry(keys.of(key), |held| held.key() == key).ok()?.remove();
        kept.forget(name, &old);
        if values.len() * SPARSE < values.capacity() {
            values.shrink_to(values.len() * 2, |held| keys.of(held.key()));
        }
        Some(old)
    }

    /// Removes all values.
    pub(super) fn clear(&mut self) {
        let order = self.kept.order.is_some().then(BTreeMap::new);
        let kept = Kept { order, ..Kept::default() };
        *self = Self { limits: self.limits, kept, ..Self::new(self.keys) };
    }

    pub(super) fn declare(&mut self, limits: Limits) {
        self.limits = Some(limits);
        match limits.when_full {
            WhenFull::Evict if self.kept.order.is_none() => {
                self.kept.order = Some(self.values().map(|v| (v.version(), v.clone())).collect());
            }
            WhenFull::Evict => {}
            WhenFull::Reject => self.kept.order = None,
        }
    }

    /// All values, in no order: it must make no difference.
    #[allow(clippy::disallowed_methods, reason = "what is made of it is put in order, or is the same in any")]
    pub(super) fn values(&self) -> impl Iterator<Item = &Value> {
        self.values.iter()
    }

    /// All values, in no order. Counting up the references of values that lie anywhere in memory would wait for each of them
    /// in turn; some of them are looked at first, which fetches these together.
    pub(super) fn share(&self) -> Vec<Value> {
        let (mut values, mut some) = (self.values(), Vec::with_capacity(TOGETHER));
        let mut shared = Vec::with_capacity(self.len());
        loop {
            some.extend(values.by_ref().take(TOGETHER));
            if some.is_empty() {
                return shared;
            }
            black_box(some.iter().fold(0, |all, value: &&Value| all ^ value.version()));
            shared.extend(some.drain(..).cloned());
        }
    }

    /// Values that have ended at `now`, first ended first.
    pub(super) fn ended(&self, now: LogTime) -> impl Iterator<Item = &Value> {
        self.kept.ends.range(..=(now, Index::MAX)).map(|(_, value)| value)
    }

    /// Values written after `after`, first written first; none where values are not evicted.
    pub(super) fn oldest(&self, after: Index) -> impl Iterator<Item = &Value> {
        let from = after.saturating_add(1);
        self.kept.order.iter().flat_map(move |order| order.range(from..)).map(|(_, value)| value)
    }
}

fn charge(value: &Value) -> usize {
    Store::cost(value.key().len(), value.len())
}

fn digest_of(name: &str, value: &Value) -> u64 {
    let (head, rest) = value.raw();
    hash_after(name.as_bytes(), head, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_whatever_orders_hold_it_but_not_under_a_copy() {
        let mut cache = Cache::new(Keys::secret(1));
        cache.declare(Limits { when_full: WhenFull::Evict, ..Limits::default() });
        let insert = |cache: &mut Cache, version, value: &[u8]| {
            let new = Parts { key: b"k", value, version, expires_at: Some(LogTime(version + 9)) };
            cache.insert("codes", new, LogTime(0));
            cache.get(b"k").unwrap().as_ref().as_ptr()
        };
        let stands_at = insert(&mut cache, 1, b"one");
        assert_eq!(insert(&mut cache, 2, b"two"), stands_at);
        let copy = cache.share();
        assert_ne!(insert(&mut cache, 3, b"wee"), stands_at);
        assert_eq!((copy[0].version(), &*copy[0]), (2, b"two".as_slice()));
        let versions = |values: Vec<&Value>| values.into_iter().map(Value::version).collect::<Vec<_>>();
        assert_eq!(versions(cache.oldest(0).collect()), [3]);
        assert_eq!(versions(cache.ended(LogTime(99)).collect()), [3]);
        assert_eq!(cache.guess(b"k").map(Value::version), Some(3));
    }

    #[test]
    fn a_table_is_made_smaller_below_an_eighth_and_no_earlier() {
        let mut cache = Cache::new(Keys::secret(1));
        let key = |i: usize| format!("k{i}").into_bytes();
        for i in 0..1000 {
            let new = Parts { key: &key(i), value: b"v", version: 1 + i as Index, expires_at: None };
            cache.insert("codes", new, LogTime(0));
        }
        // What was removed may count as taken until the table is built anew, so that the capacity is a few less.
        let full = cache.capacity();
        let mut least = 0;
        for i in 0..1000 {
            cache.remove("codes", &key(i));
            if cache.len() * SPARSE > full {
                assert!(cache.capacity() > full / 2, "smaller with {} values already", cache.len());
                least = cache.len();
            }
            if (1..least - SPARSE).contains(&cache.len()) {
                assert!(cache.capacity() < full / 2, "as large as before with {} values", cache.len());
            }
        }
    }
}
