//! The deterministic state machine: named caches of keys and values, in shards.
//!
//! ```text
//! Store ─ shard 0 … 15 ─ { applied index
//!       │                  cache ─▶ { key ─▶ Value (version, end), by end, by version where evicted, limits }
//!       │                  session ─▶ { floor, seq ─▶ result } }
//!       ├ applied index, totals, usage of each cache      (derived)
//!       ├ feed: what the last entries changed
//!       └ marks: digests at positions that every replica passes
//! ```
//!
//! A key always lives in the same shard, on every node. What the log says is applied shard by shard; replicas that
//! applied the same index hold the same bytes, which [`Store::digest`] compares. What concerns no single key (sessions,
//! limits, clearing a cache) every shard does for itself, so that a shard is whole by itself and can be copied while
//! others go on (rule 11). The locks are for readers on other threads: only the consensus task writes.

mod answer;
mod cache;
mod dedup;
mod feed;
mod frozen;
mod hash;
mod marks;
mod record;
mod shard;
#[cfg(test)]
mod tests;
mod value;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use bytes::Bytes;

use crate::log::{Entry, Op, Payload, Tag};
use crate::request::{Done, Effect, Limits};
use crate::testing::{Mutant, Testing};
use crate::types::{Index, LogTime};
use answer::{Answer, both, refused, unknown};
use dedup::Admission;
pub use feed::{Change, Changed, Gap, Removal};
use feed::{Feed, Seen};
pub(crate) use frozen::Frozen;
use hash::Keys;
use marks::Marks;
pub use marks::{CHECKPOINT, Removals};
pub use record::{Ended, Record};
use shard::{Applied, Locked, Shard, Size};
pub(crate) use value::Parts;
pub use value::Value;

/// Number of shards; the same on every node, since a snapshot is made of them.
pub const SHARDS: u32 = 16;

/// What a cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Values, ended ones included until they are removed.
    pub entries: u64,
    /// Bytes of keys and values, with a fixed part for each.
    pub bytes: u64,
}

/// The shards.
#[derive(Debug)]
pub struct Store {
    shards: Vec<Locked>,
    applied: AtomicU64,
    entries: AtomicUsize,
    bytes: AtomicUsize,
    dedup: AtomicUsize,
    /// The caches that hold something.
    usage: RwLock<BTreeMap<Arc<str>, Usage>>,
    feed: Feed,
    marks: Marks,
    testing: Testing,
}

impl Default for Store {
    fn default() -> Self {
        Self::new(Testing::default())
    }
}

impl Store {
    /// An empty store whose tables are hashed with known keys: for tests only.
    #[must_use]
    pub fn new(testing: Testing) -> Self {
        Self::seeded(0, testing)
    }

    /// An empty store. The seed is secret, so that nobody can choose keys that collide; nothing else depends on it.
    #[must_use]
    pub fn seeded(seed: u64, testing: Testing) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Locked::new(Shard::new(Keys::secret(seed)))).collect(),
            applied: AtomicU64::new(0),
            entries: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            dedup: AtomicUsize::new(0),
            usage: RwLock::default(),
            feed: Feed::default(),
            marks: Marks::default(),
            testing,
        }
    }

    /// What a value is charged with, in bytes: its key, itself, and what holds them.
    #[must_use]
    pub(crate) const fn cost(key: usize, value: usize) -> usize {
        const FIXED: usize = 120;
        FIXED + key + value
    }

    fn read(&self, shard: u32) -> RwLockReadGuard<'_, Shard> {
        self.shards[(shard % SHARDS) as usize].read()
    }

    fn write(&self, shard: u32) -> RwLockWriteGuard<'_, Shard> {
        self.shards[(shard % SHARDS) as usize].write()
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

    /// Bytes of keys and values, with a fixed part for each value.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Bytes of sessions and the results that they remember, over all shards.
    #[must_use]
    pub fn dedup_bytes(&self) -> usize {
        self.dedup.load(Ordering::Relaxed)
    }

    /// The value of a key, ended or not.
    #[must_use]
    pub fn get(&self, cache: &str, key: &[u8]) -> Option<Value> {
        self.look_up(cache, key).0
    }

    /// The value of a key, ended or not, and a position that is no older than what was seen.
    pub(crate) fn look_up(&self, cache: &str, key: &[u8]) -> (Option<Value>, Index) {
        // The shard may hold an entry already that is not applied everywhere yet.
        let applied = self.applied();
        let shard = self.read(hash::shard_of(cache, key));
        (shard.get(cache, key).cloned(), applied.max(shard.applied()))
    }

    /// What a cache was declared to hold.
    #[must_use]
    pub fn limits(&self, cache: &str) -> Option<Limits> {
        self.read(0).cache(cache)?.limits().copied() // as in every shard
    }

    /// What a cache holds.
    #[must_use]
    pub fn usage(&self, cache: &str) -> Usage {
        let usage = self.usage.read().unwrap_or_else(PoisonError::into_inner);
        usage.get(cache).copied().unwrap_or_default()
    }

    /// Every cache that holds something or is declared, in the order of their names.
    #[must_use]
    pub fn caches(&self) -> Vec<(Arc<str>, Usage, Option<Limits>)> {
        let usage = self.usage.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut all: BTreeMap<_, _> =
            usage.into_iter().map(|(cache, usage)| (cache, (usage, None))).collect();
        for (cache, held) in self.read(0).caches() {
            if let Some(limits) = held.limits() {
                all.entry(cache.clone()).or_default().1 = Some(*limits);
            }
        }
        all.into_iter().map(|(cache, (usage, limits))| (cache, usage, limits)).collect()
    }

    /// Open sessions with the greatest floor that any shard has seen, in the order of their numbers.
    #[must_use]
    pub(crate) fn sessions(&self) -> Vec<(Index, u64)> {
        let mut all = BTreeMap::new();
        for shard in 0..SHARDS {
            for (session, floor) in self.read(shard).sessions.floors() {
                let highest = all.entry(session).or_insert(floor);
                *highest = floor.max(*highest);
            }
        }
        all.into_iter().collect()
    }

    /// What became of a request for this key; without one, of a request that every shard carried out for itself.
    #[must_use]
    pub(crate) fn recorded(&self, key: Option<(&str, &[u8])>, session: Index, seq: u64) -> Option<Done> {
        if self.testing.lacks(Mutant::NoDedup) {
            return None;
        }
        let recorded = |shard| self.read(shard).sessions.recorded(session, seq).cloned();
        let Some((cache, key)) = key else {
            return (0..SHARDS).map(recorded).collect::<Option<Vec<_>>>()?.into_iter().reduce(both);
        };
        recorded(self.results_of(hash::shard_of(cache, key), session, seq))
    }

    /// The shard that remembers the result of a request: its key's.
    fn results_of(&self, shard: u32, session: Index, seq: u64) -> u32 {
        if self.testing.lacks(Mutant::DedupApart) {
            (session.wrapping_add(seq) % u64::from(SHARDS)) as u32
        } else {
            shard
        }
    }

    /// Applies an entry; says what it did.
    pub(crate) fn apply(&self, entry: &Arc<Entry>) -> Done {
        let nothing = || (Done { version: entry.index, effect: Effect::Nothing }, None);
        let (done, change) = match &entry.payload {
            _ if self.testing.no_store() => {
                self.applied.store(entry.index, Ordering::Release);
                return nothing().0;
            }
            Payload::Noop | Payload::Configuration(_) => nothing(),
            Payload::Remove { cache, key, .. } => self.apply_to_key(entry, cache, key, None),
            Payload::Floor { .. } | Payload::EndSession { .. } => self.apply_to_all(entry, None, None),
            Payload::Write { tag, op } => match op {
                Op::Put { cache, key, .. }
                | Op::Delete { cache, key }
                | Op::Take { cache, key }
                | Op::Increment { cache, key, .. } => self.apply_to_key(entry, cache, key, *tag),
                Op::Clear { cache } | Op::Declare { cache, .. } => {
                    self.apply_to_all(entry, Some(cache), *tag)
                }
                Op::OpenSession => self.apply_to_all(entry, None, *tag),
            },
        };
        self.applied.store(entry.index, Ordering::Release);
        let removal = change.as_ref().and_then(|(_, seen)| seen.removal());
        // While shards of a snapshot are ahead of the log, what is in them together no other replica ever had.
        if self.feed.push(entry, change) {
            self.marks.passed(entry.index, removal, || self.digest());
        }
        done
    }

    /// Looks at the keys of entries that are about to be applied, which changes nothing. What a table and its values are made of
    /// is spread over memory; here several keys are waited for at the same time, and when the entries are applied, one after
    /// the other, it is near.
    pub(crate) fn look_ahead<'a>(&self, entries: impl Iterator<Item = &'a Entry>) {
        if self.testing.no_store() {
            return;
        }
        // All locks before the first look: taking one would end what is under way.
        let shards: Vec<_> = (0..SHARDS).map(|shard| self.read(shard)).collect();
        let guess = |entry: &'a Entry| {
            let Payload::Write { op, .. } = &entry.payload else { return None };
            let (cache, key) = op.key()?;
            shards[hash::shard_of(cache, key) as usize].guess(cache, key)
        };
        // All places in the tables first, then all values: the less is done between two looks, the more of them are waited
        // for together.
        let mut values = Vec::with_capacity(entries.size_hint().0);
        values.extend(entries.filter_map(guess));
        let seen = values.into_iter().fold(0, |seen, value| seen ^ value.glance());
        black_box(seen);
    }

    fn apply_to_key(&self, entry: &Entry, cache: &Arc<str>, key: &[u8], tag: Option<Tag>) -> Answer {
        let home = hash::shard_of(cache, key);
        let results = tag.map_or(home, |tag| self.results_of(home, tag.session, tag.seq));
        let applied = if results == home {
            self.change(home, Some(cache), |shard| self.apply_in(shard, entry, tag))
        } else {
            self.apply_apart(entry, cache, (home, results), tag)
        };
        let (done, change) = applied.unwrap_or_else(|| (unknown(entry), None));
        (done, change.map(|change| (cache.clone(), change)))
    }

    /// The mutant: results live in another shard than the key's.
    fn apply_apart(
        &self,
        entry: &Entry,
        cache: &Arc<str>,
        (home, results): (u32, u32),
        tag: Option<Tag>,
    ) -> Option<(Done, Option<Seen>)> {
        let admission = self.change(results, None, |shard| shard.admit(tag, true));
        if admission != Admission::New {
            return Some((refused(entry, admission), None));
        }
        let applied = self.change(home, Some(cache), |shard| self.apply_in(shard, entry, None))?;
        self.change(results, None, |shard| shard.record(tag, &applied.0));
        Some(applied)
    }

    fn apply_to_all(&self, entry: &Entry, cache: Option<&Arc<str>>, tag: Option<Tag>) -> Answer {
        let (mut all, mut changed) = (None, None);
        for shard in 0..SHARDS {
            let applied = self.change(shard, cache, |shard| self.apply_in(shard, entry, tag));
            let Some((done, change)) = applied else { continue };
            all = Some(match all {
                None => done,
                Some(all) => both(all, done),
            });
            changed = changed.or(change);
        }
        (all.unwrap_or_else(|| unknown(entry)), cache.cloned().zip(changed))
    }

    /// `None`: the shard has this entry in it already.
    fn apply_in(&self, shard: &mut Shard, entry: &Entry, tag: Option<Tag>) -> Option<(Done, Option<Seen>)> {
        if !shard.lacks(entry.index) {
            return None;
        }
        shard.pass(entry.index);
        match shard.admit(tag, !self.testing.lacks(Mutant::NoDedup)) {
            Admission::New => {
                let (effect, change): Applied = shard.execute(entry);
                let done = Done { version: entry.index, effect };
                shard.record(tag, &done);
                Some((done, change))
            }
            other => Some((refused(entry, other), None)),
        }
    }

    /// Changes a shard, of its caches at most this one.
    fn change<T>(&self, shard: u32, cache: Option<&Arc<str>>, change: impl FnOnce(&mut Shard) -> T) -> T {
        let mut guard = self.write(shard);
        let before = guard.size();
        let result = change(&mut guard);
        let after = guard.size();
        drop(guard);
        self.settle(cache, before, after);
        result
    }

    /// Brings the totals up to date with a shard that has changed, in this cache only.
    fn settle(&self, cache: Option<&Arc<str>>, before: Size, after: Size) {
        let change = |total: &AtomicUsize, before: usize, after: usize| {
            if before != after {
                // Wraps around when it gets less.
                total.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
            }
        };
        change(&self.dedup, before.dedup, after.dedup);
        if (before.entries, before.bytes) == (after.entries, after.bytes) {
            return;
        }
        change(&self.entries, before.entries, after.entries);
        change(&self.bytes, before.bytes, after.bytes);
        let Some(cache) = cache else { return };
        let mut usage = self.usage.write().unwrap_or_else(PoisonError::into_inner);
        let mut now = usage.get(&**cache).copied().unwrap_or_default();
        now.entries = (now.entries + after.entries as u64).saturating_sub(before.entries as u64);
        now.bytes = (now.bytes + after.bytes as u64).saturating_sub(before.bytes as u64);
        if now.entries == 0 {
            usage.remove(&**cache);
        } else if let Some(held) = usage.get_mut(&**cache) {
            *held = now;
        } else {
            usage.insert(cache.clone(), now);
        }
    }

    /// Values that have ended at `now`, first ended first, at most `limit`.
    #[must_use]
    pub(crate) fn ended(&self, now: LogTime, limit: usize) -> Vec<Ended> {
        let mut out = Vec::new();
        for shard in 0..SHARDS {
            self.read(shard).ended(now, limit, &mut out);
        }
        out.sort_unstable_by_key(|(end, ended)| (*end, ended.version));
        out.truncate(limit);
        out.into_iter().map(|(_, ended)| ended).collect()
    }

    /// Key, version and cost of the values of a cache that were written after `after`, first written first, at most
    /// `limit`; none of a cache that is not declared to evict.
    #[must_use]
    pub(crate) fn oldest(&self, cache: &str, after: Index, limit: usize) -> Vec<(Bytes, Index, usize)> {
        let mut out = Vec::new();
        for shard in 0..SHARDS {
            let shard = self.read(shard);
            if let Some(held) = shard.cache(cache) {
                out.extend(held.oldest(after).take(limit).cloned());
            }
        }
        out.sort_unstable_by_key(Value::version);
        out.truncate(limit);
        let one =
            |v: Value| (Bytes::copy_from_slice(v.key()), v.version(), Self::cost(v.key().len(), v.len()));
        out.into_iter().map(one).collect()
    }

    /// What applied entries changed after a position, in order, at most `limit` changes; of one cache or of all. Whoever
    /// got fewer goes on from the [`Self::feed_end`] that he asked for before.
    ///
    /// # Errors
    /// If not all that changed after it is known any more.
    pub fn changes(&self, after: Index, cache: Option<&str>, limit: usize) -> Result<Vec<Change>, Gap> {
        self.feed.after(after, cache, limit)
    }

    /// The position up to which [`Self::changes`] knows everything.
    #[must_use]
    pub fn feed_end(&self) -> Index {
        self.feed.end()
    }

    /// Copies a shard in one piece, with the index it has applied (rule 11): whatever touches it later has a higher one.
    #[must_use]
    pub(crate) fn copy(&self, shard: u32) -> Frozen {
        let shard = self.read(shard);
        // While the lock is held nothing is applied to the shard: all that it can have of the log is in it.
        let applied = self.applied().max(shard.applied());
        shard.freeze(applied)
    }

    /// Replaces what is in a shard by records of another one, which had applied so much.
    pub(crate) fn install(&self, shard: u32, applied: Index, records: impl IntoIterator<Item = Record>) {
        self.change(shard, None, |shard| shard.install(applied, records));
        self.count();
    }

    /// Says from where entries are applied after an install.
    pub(crate) fn begin_at(&self, index: Index) {
        let installed = (0..SHARDS).map(|shard| self.read(shard).applied()).max();
        self.feed.begin_at(installed.map_or(index, |installed| installed.max(index)));
        self.marks.forget();
        self.applied.store(index, Ordering::Release);
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        self.applied.store(0, Ordering::Release);
        for shard in 0..SHARDS {
            self.change(shard, None, Shard::clear);
        }
        self.count();
        self.feed.begin_at(0);
        self.marks.forget();
    }

    /// Counts anew what each cache holds.
    fn count(&self) {
        let mut all = BTreeMap::<_, Usage>::new();
        for shard in 0..SHARDS {
            for (cache, held) in self.read(shard).caches().filter(|(_, held)| held.len() > 0) {
                let usage = all.entry(cache.clone()).or_default();
                usage.entries += held.len() as u64;
                usage.bytes += held.bytes() as u64;
            }
        }
        *self.usage.write().unwrap_or_else(PoisonError::into_inner) = all;
    }

    /// No shard is ahead of the applied index, as those of a snapshot are at first: the digest means something.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.feed.end() <= self.applied()
    }

    /// The digests at the last indices that [`CHECKPOINT`] divides, in order.
    #[must_use]
    pub fn checkpoints(&self) -> Vec<(Index, u64)> {
        self.marks.checkpoints()
    }

    /// What was removed without being asked for, since the process began.
    #[must_use]
    pub fn removals(&self) -> Removals {
        self.marks.removals()
    }

    /// A digest of all values, limits, sessions and results, independent of their order; equal on replicas that applied
    /// the same index.
    #[must_use]
    pub fn digest(&self) -> u64 {
        // What every shard holds alike must not cancel out.
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        (0..SHARDS).fold(0, |all: u64, shard| all.wrapping_mul(ODD) ^ self.read(shard).digest())
    }
}
