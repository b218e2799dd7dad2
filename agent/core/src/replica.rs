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

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use super::*;
    use crate::log::{Entry, Payload};

    const END: Time = Time(1000);

    fn lease(generation: u128, commit: Index) -> Lease {
        Lease {
            generation: Generation(generation),
            term: 1,
            commit,
            end: END,
            log_time: LogTime(0),
            log_time_at: Time(0),
        }
    }

    fn replica(expires_at: Option<LogTime>) -> Replica {
        let replica = Replica::default();
        let (cache, key, value) = (Arc::from("codes"), Bytes::from("k"), Bytes::from("v"));
        let payload = Payload::Put { cache, key, value, expires_at };
        replica.store.apply(&Entry { term: 1, index: 1, time: LogTime(0), payload });
        replica
    }

    fn get(replica: &Replica, clock: impl Fn() -> Time) -> Result<bool, ReadRefusal> {
        replica.get("codes", b"k", clock).map(|found| found.value.is_some())
    }

    #[test]
    fn a_read_needs_a_lease_that_still_stands_after_it() {
        let replica = replica(None);
        assert_eq!(get(&replica, || Time(1)), Err(ReadRefusal::NoLease));
        replica.set_lease(Some(lease(1, 1)));
        assert_eq!(get(&replica, || Time(999)), Ok(true));
        assert_eq!(get(&replica, || END), Err(ReadRefusal::NoLease), "the end itself is past");
    }

    #[test]
    fn the_clock_is_read_after_the_value() {
        let replica = replica(None);
        replica.set_lease(Some(lease(1, 1)));
        // The clock is asked once the value is there: what happens meanwhile counts.
        let asked = Cell::new(0);
        let wiped_while_reading = || {
            asked.set(asked.get() + 1);
            replica.set_lease(Some(lease(2, 0)));
            Time(5)
        };
        assert_eq!(get(&replica, wiped_while_reading), Err(ReadRefusal::NoLease));
        assert_eq!(asked.get(), 1);
    }

    #[test]
    fn what_the_lease_requires_must_be_applied() {
        let replica = replica(None);
        replica.set_lease(Some(lease(1, 2)));
        assert_eq!(get(&replica, || Time(5)), Err(ReadRefusal::Syncing));
        assert_eq!(get(&replica, || END), Err(ReadRefusal::NoLease));
    }

    #[test]
    fn a_value_ends_early_never_late() {
        // The log's clock may run faster than this one by (1+ρ)/(1−ρ): 990 here can be 1010 there.
        let ends = replica(Some(LogTime(900)));
        ends.set_lease(Some(lease(1, 1)));
        assert_eq!(get(&ends, || Time(870)), Ok(true));
        assert_eq!(get(&ends, || Time(885)), Ok(false));
    }
}
