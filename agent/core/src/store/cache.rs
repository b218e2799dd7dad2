//! One cache, as one shard holds it.
//!
//! ```text
//! Cache ─ values: key ─▶ Value │ ends: (end, version) ─▶ Value │ order: version ─▶ Value, where values are evicted │ limits
//! ```
//!
//! The orders share the values' memory. The table of values has a keyed hash, since clients choose keys. Where it is
//! iterated over, the order must make no difference: only a snapshot shows it, to a member whose tables have other keys.

use std::collections::{BTreeMap, HashSet};
use std::hint::black_box;

use crate::request::{Limits, WhenFull};
use crate::store::Store;
use crate::store::hash::{Keys, hash};
use crate::store::value::{ByKey, Value};
use crate::types::{Index, LogTime};

/// A table that is filled to less than this part is made smaller.
const SPARSE: usize = 8;
/// Values that are fetched from memory at the same time.
const TOGETHER: usize = 32;

#[derive(Debug)]
pub(super) struct Cache {
    values: HashSet<ByKey, Keys>,
    ends: BTreeMap<(LogTime, Index), Value>,
    /// Only where [`WhenFull::Evict`] is declared.
    order: Option<BTreeMap<Index, Value>>,
    limits: Option<Limits>,
    bytes: usize,
    /// Of all values, combined with XOR: their order does not show, and a change costs its own value only.
    digest: u64,
}

impl Cache {
    pub(super) fn new(keys: Keys) -> Self {
        let values = HashSet::with_hasher(keys);
        Self { values, ends: BTreeMap::new(), order: None, limits: None, bytes: 0, digest: 0 }
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
        self.bytes
    }

    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    pub(super) fn limits(&self) -> Option<&Limits> {
        self.limits.as_ref()
    }

    /// Nothing would be lost with it.
    pub(super) fn is_void(&self) -> bool {
        self.values.is_empty() && self.limits.is_none()
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<&Value> {
        self.values.get(key).map(|held| &held.0)
    }

    /// Gives what was there before.
    pub(super) fn insert(&mut self, name: &str, value: Value) -> Option<Value> {
        self.digest ^= digest_of(name, &value);
        self.bytes += charge(&value);
        if let Some(end) = value.expires_at() {
            self.ends.insert((end, value.version()), value.clone());
        }
        if let Some(order) = &mut self.order {
            order.insert(value.version(), value.clone());
        }
        let old = self.values.replace(ByKey(value))?.0;
        self.forget(name, &old);
        Some(old)
    }

    pub(super) fn remove(&mut self, name: &str, key: &[u8]) -> Option<Value> {
        let old = self.values.take(key)?.0;
        self.forget(name, &old);
        if self.values.len() * SPARSE < self.values.capacity() {
            self.values.shrink_to(self.values.len() * 2);
        }
        Some(old)
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

    /// Removes all values.
    pub(super) fn clear(&mut self) {
        let order = self.order.is_some().then(BTreeMap::new);
        *self = Self { limits: self.limits, order, ..Self::new(*self.values.hasher()) };
    }

    pub(super) fn declare(&mut self, limits: Limits) {
        self.limits = Some(limits);
        match limits.when_full {
            WhenFull::Evict if self.order.is_none() => {
                self.order = Some(self.values().map(|v| (v.version(), v.clone())).collect());
            }
            WhenFull::Evict => {}
            WhenFull::Reject => self.order = None,
        }
    }

    /// All values, in no order: it must make no difference.
    #[allow(clippy::disallowed_methods, reason = "what is made of it is put in order, or is the same in any")]
    pub(super) fn values(&self) -> impl Iterator<Item = &Value> {
        self.values.iter().map(|held| &held.0)
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
        self.ends.range(..=(now, Index::MAX)).map(|(_, value)| value)
    }

    /// Values written after `after`, first written first; none where values are not evicted.
    pub(super) fn oldest(&self, after: Index) -> impl Iterator<Item = &Value> {
        let from = after.saturating_add(1);
        self.order.iter().flat_map(move |order| order.range(from..)).map(|(_, value)| value)
    }
}

fn charge(value: &Value) -> usize {
    Store::cost(value.key().len(), value.len())
}

fn digest_of(name: &str, value: &Value) -> u64 {
    hash([name.as_bytes(), value.raw()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_made_smaller_below_an_eighth_and_no_earlier() {
        let mut cache = Cache::new(Keys::secret(1));
        let key = |i: usize| format!("k{i}").into_bytes();
        for i in 0..1000 {
            cache.insert("codes", Value::new(&key(i), b"v", 1 + i as Index, None));
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
