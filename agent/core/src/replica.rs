//! What readers see: the store behind a lease.
//!
//! A reader on any thread does, in this order (rule 7): load the lease (generation, commit c, end); require
//! applied ≥ c; read the value; **take the clock anew** and require now < end and the same generation. Reading the
//! clock before the value would let a paused reader return something that a newer leader has replaced.

use std::sync::{PoisonError, RwLock};

use bytes::Bytes;

use crate::store::Store;
use crate::types::{Generation, Index, LogTime, Term, Time};

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

/// Why a read is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadRefusal {
    /// No read lease: no quorum, or none yet.
    NoLease,
    /// There is a lease, but what it requires is not applied yet; try again in a moment.
    Syncing,
}

/// A truthful answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The value and its version; `None`: the key is not there.
    pub value: Option<(Bytes, Index)>,
    /// The generation that it was read from.
    pub generation: Generation,
    /// The term of the leader whose lease it was read under.
    pub term: Term,
}

/// The store of one node behind its lease; shared by the consensus task and all readers.
#[derive(Debug, Default)]
pub struct Replica {
    store: Store,
    lease: RwLock<Option<Lease>>,
}

impl Replica {
    /// The store, for sizes and digests. Values are read with [`Self::get`].
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Reads a key; `clock` gives the present time of this node's boot clock and is called after the read.
    ///
    /// # Errors
    /// If the node holds no valid lease or has not applied what it requires.
    pub fn get(&self, cache: &str, key: &[u8], clock: impl Fn() -> Time) -> Result<Found, ReadRefusal> {
        let lease = self.lease().ok_or(ReadRefusal::NoLease)?;
        if self.store.applied() < lease.commit {
            return Err(if clock() < lease.end { ReadRefusal::Syncing } else { ReadRefusal::NoLease });
        }
        let value = self.store.get(cache, key);
        let now = clock();
        let same = self.lease().is_some_and(|l| l.generation == lease.generation);
        if now >= lease.end || !same {
            return Err(ReadRefusal::NoLease);
        }
        let latest = lease.latest_log_time(now);
        let value =
            value.filter(|v| v.expires_at.is_none_or(|end| end > latest)).map(|v| (v.value, v.version));
        Ok(Found { value, generation: lease.generation, term: lease.term })
    }

    pub(crate) fn lease(&self) -> Option<Lease> {
        *self.lease.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn set_lease(&self, lease: Option<Lease>) {
        *self.lease.write().unwrap_or_else(PoisonError::into_inner) = lease;
    }
}
