//! Writes at level Direct that this node shows before they are in the log.
//!
//! ```text
//! Overlay ─ cache ─▶ key ─▶ { value or removed, until, its end }   │ by (until, number) ─▶ cache, key
//! ```
//!
//! One is shown until an applied entry concerns its key, or for a second. Bounded in number and bytes: who finds no room
//! waits, or is refused.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use bytes::Bytes;

use crate::store::{Parts, Store, Value};
use crate::types::Time;

/// Writes shown, at most.
const ENTRIES: usize = 4096;
/// Bytes of them, at most.
const BYTES: usize = 4 << 20;

/// A write that is shown.
#[derive(Clone, Debug)]
pub(super) struct Shown {
    /// `None`: it is removed.
    value: Option<Value>,
    until: Time,
    ttl_end: Option<Time>,
    number: u64,
}

/// What became of a write that was to be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shows {
    Yes,
    NoRoom,
    /// What it depended on was gone by then.
    Stale,
}

impl Shown {
    fn size(&self, key: &[u8]) -> usize {
        Store::cost(key.len(), self.value.as_ref().map_or(0, |value| value.len()))
    }

    /// What is to be seen at `now`; outer `None`: nothing of this any more.
    pub(super) fn at(self, now: Time) -> Option<Option<Value>> {
        let ended = self.ttl_end.is_some_and(|end| end <= now);
        (now < self.until).then_some(self.value.filter(|_| !ended))
    }
}

#[derive(Debug, Default)]
struct Held {
    caches: BTreeMap<Arc<str>, BTreeMap<Bytes, Shown>>,
    by_end: BTreeMap<(Time, u64), (Arc<str>, Bytes)>,
    bytes: usize,
    next: u64,
}

#[derive(Debug, Default)]
pub(super) struct Overlay {
    /// As many as are held: nobody takes the lock while there is nothing.
    len: AtomicUsize,
    held: RwLock<Held>,
}

impl Overlay {
    fn write(&self) -> RwLockWriteGuard<'_, Held> {
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_empty(&self) -> bool {
        self.len.load(Ordering::Acquire) == 0
    }

    pub(super) fn get(&self, cache: &str, key: &[u8]) -> Option<Shown> {
        if self.is_empty() {
            return None;
        }
        self.held.read().unwrap_or_else(PoisonError::into_inner).get(cache, key).cloned()
    }

    /// What is shown of the key already is replaced, if there is room. `still` is asked before anything is changed, while
    /// nobody else can change it.
    pub(super) fn show(
        &self,
        cache: &Arc<str>,
        key: &Bytes,
        value: Option<&Bytes>,
        until: Time,
        ttl_end: Option<Time>,
        still: impl FnOnce() -> bool,
    ) -> Shows {
        let size = Store::cost(key.len(), value.map_or(0, Bytes::len));
        // Copied before the lock is taken, which whoever applies needs.
        let value = value.map(|value| Value::new(Parts { key, value, version: 0, expires_at: None }));
        let mut held = self.write();
        if !still() {
            return Shows::Stale;
        }
        let (others, bytes) = match held.get(cache, key) {
            Some(shown) => (held.by_end.len() - 1, held.bytes - shown.size(key)),
            None => (held.by_end.len(), held.bytes),
        };
        if others >= ENTRIES || bytes + size > BYTES {
            return Shows::NoRoom;
        }
        held.remove(cache, key);
        held.next += 1;
        let number = held.next;
        held.bytes += size;
        held.by_end.insert((until, number), (cache.clone(), key.clone()));
        let shown = Shown { value, until, ttl_end, number };
        held.caches.entry(cache.clone()).or_default().insert(key.clone(), shown);
        self.len.store(held.by_end.len(), Ordering::Release);
        Shows::Yes
    }

    /// An entry for this key was applied; without a key, for the whole cache.
    pub(super) fn drop_key(&self, cache: &str, key: Option<&[u8]>) {
        if self.is_empty() {
            return;
        }
        let mut held = self.write();
        match key {
            Some(key) => held.remove(cache, key),
            None => {
                let keys: Vec<_> =
                    held.caches.get(cache).into_iter().flat_map(BTreeMap::keys).cloned().collect();
                keys.iter().for_each(|key| held.remove(cache, key));
            }
        }
        self.len.store(held.by_end.len(), Ordering::Release);
    }

    /// Forgets what is not shown any more at `now`.
    pub(super) fn prune(&self, now: Time) {
        if self.is_empty() {
            return;
        }
        let mut held = self.write();
        while let Some(first) = held.by_end.first_entry().filter(|first| first.key().0 <= now) {
            let (cache, key) = first.remove();
            held.remove(&cache, &key);
        }
        self.len.store(held.by_end.len(), Ordering::Release);
    }

    pub(super) fn clear(&self) {
        let mut held = self.write();
        *held = Held { next: held.next, ..Held::default() };
        self.len.store(0, Ordering::Release);
    }
}

impl Held {
    fn get(&self, cache: &str, key: &[u8]) -> Option<&Shown> {
        self.caches.get(cache)?.get(key)
    }

    fn remove(&mut self, cache: &str, key: &[u8]) {
        let Some(keys) = self.caches.get_mut(cache) else { return };
        let Some(shown) = keys.remove(key) else { return };
        self.bytes -= shown.size(key);
        self.by_end.remove(&(shown.until, shown.number));
        if keys.is_empty() {
            self.caches.remove(cache);
        }
    }
}
