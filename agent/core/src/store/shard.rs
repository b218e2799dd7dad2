//! One shard: caches, and the sessions as far as their results concern its keys.
//!
//! What is in it is a function of the log up to its applied index, and of nothing else. A value whose end the entry's
//! own time has reached counts as absent, whether or not the leader has had it removed already.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use crate::log::{Entry, Op, Payload, Tag, Why};
use crate::request::{Condition, Done, Effect, Limits};
use crate::store::cache::Cache;
use crate::store::dedup::{Admission, Sessions};
use crate::store::feed::{Changed, Removal, Seen};
use crate::store::frozen::Frozen;
use crate::store::hash::{Keys, hash};
use crate::store::record::{Ended, Record};
use crate::store::value::{Parts, Value};
use crate::types::{Index, LogTime};

/// What an entry did here, and what a watcher sees of it.
pub(super) type Applied = (Effect, Option<Seen>);

/// What a shard holds, for the totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) entries: usize,
    pub(super) bytes: usize,
    pub(super) dedup: usize,
}

/// A shard behind its lock, in memory of its own, down to the lines that processors hand to and fro (they fetch two at a
/// time): readers of two shards are not to wait for each other.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Locked(RwLock<Shard>);

impl Locked {
    pub(super) fn new(shard: Shard) -> Self {
        Self(RwLock::new(shard))
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Shard> {
        // A shard is never left half changed: a panic elsewhere does not make it wrong.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Shard> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub(super) struct Shard {
    /// The last entry that touched it. An installed shard may be ahead of the log (rule 11).
    applied: Index,
    caches: HashMap<Arc<str>, Cache, Keys>,
    pub(super) sessions: Sessions,
    entries: usize,
    bytes: usize,
    /// Of the caches' values and limits.
    digest: u64,
}

impl Shard {
    pub(super) fn new(keys: Keys) -> Self {
        let (caches, sessions) = (HashMap::with_hasher(keys), Sessions::default());
        Self { applied: 0, caches, sessions, entries: 0, bytes: 0, digest: 0 }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        *self = Self::new(*self.caches.hasher());
    }

    pub(super) fn applied(&self) -> Index {
        self.applied
    }

    pub(super) fn size(&self) -> Size {
        Size { entries: self.entries, bytes: self.bytes, dedup: self.sessions.bytes() }
    }

    pub(super) fn cache(&self, cache: &str) -> Option<&Cache> {
        self.caches.get(cache)
    }

    pub(super) fn get(&self, cache: &str, key: &[u8]) -> Option<&Value> {
        self.cache(cache)?.get(key)
    }

    /// As [`Cache::guess`].
    pub(super) fn guess(&self, cache: &str, key: &[u8]) -> Option<&Value> {
        self.cache(cache)?.guess(key)
    }

    /// The caches that it knows, in no order: it must make no difference.
    #[allow(clippy::disallowed_methods, reason = "what is made of it is put in order, or is the same in any")]
    pub(super) fn caches(&self) -> impl Iterator<Item = (&Arc<str>, &Cache)> {
        self.caches.iter()
    }

    /// Whether an entry is to be applied here: an installed shard has some of the log's entries in it already.
    pub(super) fn lacks(&self, index: Index) -> bool {
        index > self.applied
    }

    /// Says whether a request is applied, and what came of it if not; raises the session's floor.
    pub(super) fn admit(&mut self, tag: Option<Tag>, look: bool) -> Admission {
        tag.map_or(Admission::New, |tag| self.sessions.admit(tag, look))
    }

    pub(super) fn record(&mut self, tag: Option<Tag>, done: &Done) {
        if let Some(tag) = tag {
            self.sessions.record(tag.session, tag.seq, done.clone());
        }
    }

    /// As if nothing of the log were in it.
    #[cfg(test)]
    pub(super) fn forget_applied(&mut self) {
        self.applied = 0;
    }

    /// The entry is in it now, whatever it did.
    pub(super) fn pass(&mut self, index: Index) {
        self.applied = self.applied.max(index);
    }

    /// Does what the entry says; rules 9 and 11 are the caller's.
    pub(super) fn execute(&mut self, entry: &Entry) -> Applied {
        let (version, now) = (entry.index, entry.time);
        match &entry.payload {
            Payload::Noop | Payload::Configuration(_) => (Effect::Nothing, None),
            Payload::Write { op, .. } => self.write(op, version, now),
            Payload::Remove { cache, key, version, why } => {
                if self.get(cache, key).is_none_or(|held| held.version() != *version) {
                    return (Effect::Deleted { existed: false }, None);
                }
                self.remove(cache, key);
                (Effect::Deleted { existed: true }, Some(removed(key, (*why).into())))
            }
            Payload::Floor { session, floor } => {
                self.sessions.raise(*session, *floor);
                (Effect::Nothing, None)
            }
            Payload::EndSession { session } => {
                self.sessions.end(*session);
                (Effect::Nothing, None)
            }
        }
    }

    fn write(&mut self, op: &Op, version: Index, now: LogTime) -> Applied {
        match op {
            Op::Put { cache, key, value, expires_at, condition } => {
                let there = || self.get(cache, key).filter(|held| held.lives_at(now)).map(Value::version);
                let unmet = match condition {
                    Condition::Always => None,
                    Condition::Absent => there().map(Some),
                    Condition::Version(wanted) => Some(there()).filter(|there| *there != Some(*wanted)),
                };
                if let Some(version) = unmet {
                    return (Effect::Unmet { version }, None);
                }
                let existed = self.insert(cache, Parts { key, value, version, expires_at: *expires_at }, now);
                (Effect::Put { existed }, Some(Seen::AsWritten))
            }
            Op::Delete { cache, key } => {
                let old = self.remove(cache, key);
                let change = old.as_ref().map(|old| removed(key, Removal::Deleted.unless_ended(old, now)));
                (Effect::Deleted { existed: old.is_some_and(|old| old.lives_at(now)) }, change)
            }
            Op::Take { cache, key } => {
                let old = self.remove(cache, key);
                let change = old.as_ref().map(|old| removed(key, Removal::Taken.unless_ended(old, now)));
                // A copy, so that what is remembered of it is what is charged for it.
                let taken = old.filter(|old| old.lives_at(now)).map(|old| Bytes::copy_from_slice(&old));
                (Effect::Taken(taken), change)
            }
            Op::Increment { cache, key, by, expires_at } => {
                let there = self.get(cache, key).filter(|held| held.lives_at(now));
                let (before, end) =
                    there.map_or((Some(0), *expires_at), |held| (number(held), held.expires_at()));
                let Some(sum) = before.and_then(|before| before.checked_add(*by)) else {
                    return (Effect::NotANumber, None);
                };
                let text = Bytes::from(sum.to_string());
                self.insert(cache, Parts { key, value: &text, version, expires_at: end }, now);
                let change = Changed::Put { key: key.clone(), value: text };
                (Effect::Number(sum), Some(Seen::Changed(change)))
            }
            Op::Clear { cache } => {
                let Some(held) = self.caches.get_mut(cache) else {
                    return (Effect::Cleared { values: 0 }, None);
                };
                let change = (held.len() > 0).then_some(Seen::Changed(Changed::Cleared));
                let values = held.len() - held.ended(now).count();
                self.entries -= held.len();
                self.bytes -= held.bytes();
                self.digest ^= held.digest();
                held.clear();
                if held.is_void() {
                    self.caches.remove(cache);
                }
                (Effect::Cleared { values: values as u64 }, change)
            }
            Op::Declare { cache, limits } => {
                self.declare(cache, *limits);
                (Effect::Declared, None)
            }
            Op::OpenSession => {
                self.sessions.open(version);
                (Effect::Opened, None)
            }
        }
    }

    /// Knows the cache from now on, if it holds nothing yet.
    fn know(&mut self, cache: &Arc<str>) {
        if !self.caches.contains_key(cache) {
            self.caches.insert(cache.clone(), Cache::new(*self.caches.hasher()));
        }
    }

    /// Says whether it takes the place of a value that had not ended at `now`.
    fn insert(&mut self, cache: &Arc<str>, new: Parts<'_>, now: LogTime) -> bool {
        let insert = |name: &str, held: &mut Cache| held.insert(name, new, now);
        if let Some(existed) = self.change(cache, insert) {
            return existed;
        }
        self.know(cache);
        self.change(cache, insert).unwrap_or_default()
    }

    fn remove(&mut self, cache: &str, key: &[u8]) -> Option<Value> {
        self.change(cache, |name, held| held.remove(name, key))?
    }

    /// Changes the values of a cache that is known here, and keeps the account.
    fn change<T>(&mut self, cache: &str, change: impl FnOnce(&str, &mut Cache) -> T) -> Option<T> {
        let held = self.caches.get_mut(cache)?;
        let (entries, bytes, digest) = (held.len(), held.bytes(), held.digest());
        let result = change(cache, held);
        self.entries = self.entries + held.len() - entries;
        self.bytes = self.bytes + held.bytes() - bytes;
        self.digest ^= digest ^ held.digest();
        if held.is_void() {
            self.caches.remove(cache);
        }
        Some(result)
    }

    fn declare(&mut self, cache: &Arc<str>, limits: Limits) {
        self.know(cache);
        let Some(held) = self.caches.get_mut(cache) else { return };
        self.digest ^= digest_of_limits(cache, held.limits()) ^ digest_of_limits(cache, Some(&limits));
        held.declare(limits);
    }

    /// At most `limit` values that have ended at `now`, first ended first.
    pub(super) fn ended(&self, now: LogTime, limit: usize, out: &mut Vec<(LogTime, Ended)>) {
        let from = out.len();
        for (cache, held) in self.caches() {
            out.extend(held.ended(now).take(limit).map(|value| {
                let (cache, key) = (cache.clone(), Bytes::copy_from_slice(value.key()));
                (value.expires_at().unwrap_or_default(), Ended { cache, key, version: value.version() })
            }));
        }
        out[from..].sort_unstable_by_key(|(end, ended)| (*end, ended.version));
        out.truncate(from.saturating_add(limit));
    }

    /// What is in it, by reference; so much of the log is.
    pub(super) fn freeze(&self, applied: Index) -> Frozen {
        let (mut limits, mut values) = (Vec::new(), Vec::new());
        for (cache, held) in self.caches() {
            limits.extend(held.limits().map(|limits| (cache.clone(), *limits)));
            values.push((cache.clone(), held.share()));
        }
        Frozen::new(applied, self.sessions.records().collect(), limits, values)
    }

    pub(super) fn install(&mut self, applied: Index, records: impl IntoIterator<Item = Record>) {
        self.clear();
        self.applied = applied;
        for record in records {
            match record {
                Record::Session { session } => self.sessions.open(session),
                Record::Floor { session, floor } => self.sessions.raise(session, floor),
                Record::Outcome { session, seq, done } => self.sessions.record(session, seq, done),
                Record::Cache { cache, limits } => self.declare(&cache, limits),
                Record::Value { cache, key, value, version, expires_at } => {
                    let new = Parts { key: &key, value: &value, version, expires_at };
                    self.insert(&cache, new, LogTime::default());
                }
            }
        }
    }

    /// Of everything that must be equal on replicas that applied the same index.
    pub(super) fn digest(&self) -> u64 {
        self.digest ^ self.sessions.digest()
    }
}

fn number(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn removed(key: &Bytes, why: Removal) -> Seen {
    Seen::Changed(Changed::Removed { key: key.clone(), why })
}

impl Removal {
    fn unless_ended(self, old: &Value, now: LogTime) -> Self {
        if old.lives_at(now) { self } else { Self::Expired }
    }
}

impl From<Why> for Removal {
    fn from(why: Why) -> Self {
        match why {
            Why::Expired => Self::Expired,
            Why::Evicted => Self::Evicted,
        }
    }
}

/// 0 for what is not declared.
fn digest_of_limits(cache: &str, limits: Option<&Limits>) -> u64 {
    let Some(limits) = limits else { return 0 };
    let number = |n: Option<u64>| [u64::from(n.is_some()), n.unwrap_or(0)];
    let all = [
        number(limits.entries),
        number(limits.bytes),
        number(limits.ttl.map(|ttl| ttl.0)),
        [limits.when_full as u64, u64::from(limits.direct)],
    ];
    let bytes = all.as_flattened().iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>();
    hash([b"limits".as_slice(), cache.as_bytes(), &bytes])
}
