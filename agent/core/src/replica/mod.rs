//! What readers see: the store behind a lease.
//!
//! ```text
//! Replica ─ gate:    life, generation, lease { generation, term, commit c, end, log time }
//!         ├ overlay: writes at level Direct, shown before they are in the log
//!         └ store:   what the log says
//! ```
//!
//! A reader on any thread does, in this order (rule 7): load the lease; require applied ≥ c; read the value; **take the
//! clock anew** and require now < end and the same generation. Reading the clock before the value would let a paused
//! reader return something that a newer leader has replaced.

mod gate;
mod overlay;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::api::ReadPoint;
use crate::log::{Entry, Op, Payload};
use crate::request::{Done, Limits, Request};
use crate::store::{Change, Gap, Store, Value};
use crate::testing::{Mutant, Testing};
use crate::types::{Generation, Index, LogTime, Span, Term, Time};
use gate::{Gate, View};
use overlay::Overlay;
pub(crate) use overlay::Shows;

/// A value put without safety is shown on its own node for so long, at most.
const DIRECT: Span = Span::from_millis(1000);

/// Permission to read this replica until `end`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lease {
    pub(crate) generation: Generation,
    /// The term of the leader that granted it.
    pub(crate) term: Term,
    /// The commit index that must be applied.
    pub(crate) commit: Index,
    pub(crate) end: Time,
    /// The log's time was at least `log_time` and, at `log_time_at`, at most this; see [`Lease::latest_log_time`].
    pub(crate) log_time: LogTime,
    pub(crate) log_time_at: Time,
}

impl Lease {
    /// The latest that the log's time can be now (rule 10): reads judge expiry early, never late.
    pub(crate) fn latest_log_time(&self, now: Time) -> LogTime {
        self.log_time + now.since(self.log_time_at).stretched()
    }
}

/// What becomes of a write at level Direct on the thread of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directly {
    /// It is shown here from now on, in this generation.
    Shown(Generation),
    /// Too many are shown: there is room once some of them are applied.
    NoRoom,
    /// There is no read lease here, or it cannot be done at this level: only the node can say what becomes of it.
    AskNode,
}

/// Why a read is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadRefusal {
    /// No read lease: no quorum, or none yet.
    NoLease,
    /// There is a lease, but what the read requires is not applied yet; try again in a moment.
    Syncing,
    /// The position asked for is of another generation: its values are gone, waiting helps nothing.
    Gap,
}

/// A position in the log of one generation: what a session has seen or a watcher has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Of this generation.
    pub generation: Generation,
    /// The index.
    pub index: Index,
}

/// A truthful answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The value and its version; `None`: the key is not there. Version 0: written at level Direct, not applied yet.
    pub value: Option<(Value, Index)>,
    /// The generation that it was read from.
    pub generation: Generation,
    /// What the answer is no older than: a later Session read after this position sees nothing older.
    pub index: Index,
    /// The term of the leader whose lease it was read under; 0: Linearizable, which needs none.
    pub term: Term,
}

/// The store of one node behind its lease; shared by the consensus task and all readers.
#[derive(Debug, Default)]
pub struct Replica {
    store: Store,
    gate: Gate,
    overlay: Overlay,
    testing: Testing,
}

impl Replica {
    /// An empty one whose tables are hashed with known keys: for tests only.
    #[must_use]
    pub fn new(testing: Testing) -> Self {
        Self::seeded(0, testing)
    }

    /// An empty one, that nobody may read yet; the seed as for [`Store::seeded`].
    #[must_use]
    pub fn seeded(seed: u64, testing: Testing) -> Self {
        Self { store: Store::seeded(seed, testing), testing, ..Self::default() }
    }

    /// The store, for sizes and digests. Values are read with [`Self::get`] and its like.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Local: reads a key as this node knows it; `clock` gives the present time of this node's boot clock and is called
    /// after the read.
    ///
    /// # Errors
    /// If the node holds no valid lease or has not applied what it requires.
    pub fn get(&self, cache: &str, key: &[u8], clock: impl Fn() -> Time) -> Result<Found, ReadRefusal> {
        self.read(cache, key, None, clock)
    }

    /// Session: as [`Self::get`], and no older than a position that the caller has seen.
    ///
    /// # Errors
    /// As [`Self::get`]; [`ReadRefusal::Syncing`] while the position is not applied here; [`ReadRefusal::Gap`] if it is of
    /// another generation.
    pub fn get_after(
        &self,
        cache: &str,
        key: &[u8],
        after: Position,
        clock: impl Fn() -> Time,
    ) -> Result<Found, ReadRefusal> {
        self.read(cache, key, Some(after), clock)
    }

    fn read(
        &self,
        cache: &str,
        key: &[u8],
        after: Option<Position>,
        clock: impl Fn() -> Time,
    ) -> Result<Found, ReadRefusal> {
        let (before, version) = self.gate.look();
        let other = |generation| after.is_some_and(|after| after.generation != generation);
        let Some(lease) = before.lease else {
            let gap = before.generation.is_some_and(other);
            return Err(if gap { ReadRefusal::Gap } else { ReadRefusal::NoLease });
        };
        if other(lease.generation) {
            return Err(ReadRefusal::Gap);
        }
        if self.store.applied() < after.map_or(lease.commit, |after| lease.commit.max(after.index)) {
            return Err(if clock() < lease.end { ReadRefusal::Syncing } else { ReadRefusal::NoLease });
        }
        let checked = if self.testing.lacks(Mutant::ValueAfterLeaseCheck) {
            // Whoever is not run for a while after this reads who knows what.
            Some(clock()).filter(|now| *now < lease.end)
        } else {
            None
        };
        // First what is shown in advance: it is dropped only after the store has it.
        let shown = self.overlay.get(cache, key);
        let (value, index) = self.store.look_up(cache, key);
        let now = match checked {
            Some(now) => now,
            None => self.still(&before, version, &lease, &clock)?,
        };
        let latest = if self.testing.lacks(Mutant::ExpiryByLocalClock) {
            LogTime(now.since(before.begun).0)
        } else {
            lease.latest_log_time(now)
        };
        let value = match shown.and_then(|shown| shown.at(now)) {
            Some(shown) => shown,
            None => value.filter(|value| value.lives_at(latest)),
        };
        Ok(found(value, lease.generation, index, lease.term))
    }

    /// The present time, if the lease and the life of before still stand.
    fn still(
        &self,
        before: &View,
        version: u64,
        lease: &Lease,
        clock: impl Fn() -> Time,
    ) -> Result<Time, ReadRefusal> {
        let now = clock();
        let same = self.gate.unchanged_since(version) || {
            // Renewed, most probably.
            let after = self.gate.load();
            after.life == before.life && after.lease.is_some_and(|l| l.generation == lease.generation)
        };
        if same && now < lease.end { Ok(now) } else { Err(ReadRefusal::NoLease) }
    }

    /// Linearizable: reads a key as it stood at a point that [`crate::Output::ReadReady`] gave, or later. Needs no lease,
    /// and shows nothing that is not in the log.
    ///
    /// # Errors
    /// [`ReadRefusal::Gap`] if the point is of another generation, [`ReadRefusal::Syncing`] while it is not applied here.
    pub fn get_at(&self, cache: &str, key: &[u8], point: ReadPoint) -> Result<Found, ReadRefusal> {
        self.get_at_while(cache, key, point, || ())
    }

    /// `meanwhile` happens after the first look at the gate; tests wipe then.
    fn get_at_while(
        &self,
        cache: &str,
        key: &[u8],
        point: ReadPoint,
        meanwhile: impl FnOnce(),
    ) -> Result<Found, ReadRefusal> {
        let (before, version) = self.gate.look();
        if before.generation != Some(point.generation) {
            return Err(ReadRefusal::Gap);
        }
        if self.store.applied() < point.index {
            return Err(ReadRefusal::Syncing);
        }
        meanwhile();
        let (value, index) = self.store.look_up(cache, key);
        if !self.gate.same_life(before.life, version) {
            return Err(ReadRefusal::Gap);
        }
        let value = value.filter(|value| value.lives_at(point.log_time));
        Ok(found(value, point.generation, index, 0))
    }

    /// What changed after a position, as [`Store::changes`].
    ///
    /// # Errors
    /// If not all of it is known here, or the position is of another generation.
    pub fn changes(&self, after: Position, cache: Option<&str>, limit: usize) -> Result<Vec<Change>, Gap> {
        self.changes_while(after, cache, limit, || ())
    }

    fn changes_while(
        &self,
        after: Position,
        cache: Option<&str>,
        limit: usize,
        meanwhile: impl FnOnce(),
    ) -> Result<Vec<Change>, Gap> {
        let (before, version) = self.gate.look();
        if before.generation != Some(after.generation) {
            return Err(Gap);
        }
        meanwhile();
        let changes = self.store.changes(after.index, cache, limit)?;
        if self.gate.same_life(before.life, version) { Ok(changes) } else { Err(Gap) }
    }

    /// The position up to which [`Self::changes`] knows everything: where a watcher that wants no past begins. `None`
    /// while this node is bound to no generation.
    #[must_use]
    pub fn feed_end(&self) -> Option<Position> {
        let (before, version) = self.gate.look();
        let index = self.store.feed_end();
        let same = self.gate.same_life(before.life, version);
        before.generation.filter(|_| same).map(|generation| Position { generation, index })
    }

    /// Applies an entry; what was shown of its key in advance is shown no more.
    pub(crate) fn apply(&self, entry: &Arc<Entry>) -> Done {
        let done = self.store.apply(entry);
        match &entry.payload {
            Payload::Write { op: Op::Clear { cache }, .. } => self.overlay.drop_key(cache, None),
            Payload::Write { op, .. } => {
                if let Some((cache, key)) = op.key() {
                    self.overlay.drop_key(cache, Some(key));
                }
            }
            Payload::Remove { cache, key, .. } => self.overlay.drop_key(cache, Some(key)),
            Payload::Noop
            | Payload::Configuration(_)
            | Payload::Floor { .. }
            | Payload::EndSession { .. } => {}
        }
        done
    }

    /// Shows a write at level Direct on this node, under a valid read lease, before it is applied: until an entry for its key
    /// is, or for a second. For callers on any thread, who then hand it to the node ([`crate::Input::Shown`]).
    pub fn show_directly(&self, request: &Request, now: Time) -> Directly {
        self.show_directly_while(request, now, || ())
    }

    fn show_directly_while(&self, request: &Request, now: Time, meanwhile: impl FnOnce()) -> Directly {
        let (before, version) = self.gate.look();
        let Some(lease) = before.lease.filter(|lease| now < lease.end) else { return Directly::AskNode };
        let Some(limits) = self.takes_directly(request) else { return Directly::AskNode };
        if self.store.applied() < lease.commit {
            return Directly::AskNode;
        }
        meanwhile();
        // A wipe changes the life before it empties what is shown: nothing of before is shown in the life that comes.
        match self.show(request, now, limits.ttl, || self.gate.same_life(before.life, version)) {
            Shows::Yes => Directly::Shown(lease.generation),
            Shows::NoRoom => Directly::NoRoom,
            Shows::Stale => Directly::AskNode,
        }
    }

    /// Whether a write may be shown directly as far as the lease and the cache go; there may be no room for it.
    #[must_use]
    pub fn may_show(&self, request: &Request, now: Time) -> bool {
        self.gate.load().lease.is_some_and(|lease| now < lease.end) && self.takes_directly(request).is_some()
    }

    /// What its cache was declared to hold, if it takes this request at level Direct.
    fn takes_directly(&self, request: &Request) -> Option<Limits> {
        let declared = request.cache().and_then(|cache| self.store.limits(cache));
        declared.filter(|limits| limits.direct && request.is_plain())
    }

    /// As [`Self::show_directly`], where it is decided that it may be shown; `default` is the time to live of its cache.
    /// `still` is asked where nobody can empty what is shown.
    pub(crate) fn show(
        &self,
        request: &Request,
        now: Time,
        default: Option<Span>,
        still: impl FnOnce() -> bool,
    ) -> Shows {
        let (cache, key, value, ttl) = match request {
            Request::Put { cache, key, value, ttl, .. } => (cache, key, Some(value), *ttl),
            Request::Delete { cache, key } => (cache, key, None, None),
            _ => return Shows::NoRoom,
        };
        let ttl_end = ttl.or(default).map(|ttl| now + ttl);
        self.overlay.show(cache, key, value, now + DIRECT, ttl_end, still)
    }

    /// This node is bound to a generation; what the store holds belongs to it from now on.
    pub(crate) fn begin(&self, generation: Generation, now: Time) {
        self.gate.change(|view| {
            let life = view.life.wrapping_add(1);
            *view = View { life, generation: Some(generation), begun: now, lease: None };
        });
    }

    /// Forgets everything: first the lease and the generation, so that nobody takes what is missing for a truth.
    pub(crate) fn clear(&self) {
        self.gate.change(|view| *view = View { life: view.life.wrapping_add(1), ..View::default() });
        self.overlay.clear();
        self.store.clear();
    }

    pub(crate) fn lease(&self) -> Option<Lease> {
        self.gate.load().lease
    }

    pub(crate) fn set_lease(&self, lease: Option<Lease>) {
        self.gate.change(|view| view.lease = lease);
        if let Some(lease) = lease {
            self.overlay.prune(lease.log_time_at); // a time that this node's clock has shown
        }
    }
}

fn found(value: Option<Value>, generation: Generation, index: Index, term: Term) -> Found {
    let value = value.map(|value| {
        let version = value.version();
        (value, version)
    });
    Found { value, generation, index, term }
}
