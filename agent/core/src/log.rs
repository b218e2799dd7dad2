//! Entries, and the part of the log that is still held.
//!
//! `[base] [base+1 … last]`: what lies at or before the base has been applied and forgotten. The ring is bounded
//! in bytes; a follower that needs something from before the base learns anew from a snapshot.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

use crate::config::Configuration;
use crate::request::{Condition, Limits};
use crate::types::{Index, LogTime, Term};

/// One entry of the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The term of the leader that appended it.
    pub term: Term,
    /// Its position.
    pub index: Index,
    /// The log's time when it was appended; never decreases.
    pub time: LogTime,
    /// What it does.
    pub payload: Payload,
}

/// What an entry does.
#[derive(Clone, Debug, PartialEq)]
pub enum Payload {
    /// Nothing: a leader's first entry.
    Noop,
    /// Puts a configuration in force.
    Configuration(Arc<Configuration>),
    /// What a client wanted.
    Write {
        /// By which a repetition is known.
        tag: Option<Tag>,
        /// What it does.
        op: Op,
    },
    /// Removes a value, if it is still the one of this version.
    Remove {
        /// From which cache.
        cache: Arc<str>,
        /// Which key.
        key: Bytes,
        /// Index of the entry that wrote it.
        version: Index,
        /// Why.
        why: Why,
    },
    /// Nothing of a session below this will come again: results below it are forgotten in all shards.
    Floor {
        /// Index of the entry that opened it.
        session: Index,
        /// The first request that may come again.
        floor: u64,
    },
    /// Ends a session: its results are forgotten.
    EndSession {
        /// Index of the entry that opened it.
        session: Index,
    },
}

/// Why the leader removes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Its time has come.
    Expired,
    /// To make room.
    Evicted,
}

/// A request's place in its session; see [`crate::request::Stamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Index of the entry that opened the session.
    pub session: Index,
    /// Number of the request in it.
    pub seq: u64,
    /// No request below this will come again.
    pub floor: u64,
}

/// What a client wanted, as the leader decided it.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Stores a value.
    Put {
        /// In which cache.
        cache: Arc<str>,
        /// Under which key.
        key: Bytes,
        /// The value.
        value: Bytes,
        /// When it ends.
        expires_at: Option<LogTime>,
        /// Only if this holds.
        condition: Condition,
    },
    /// Removes a key.
    Delete {
        /// From which cache.
        cache: Arc<str>,
        /// Which key.
        key: Bytes,
    },
    /// Removes a key and gives what it held.
    Take {
        /// From which cache.
        cache: Arc<str>,
        /// Which key.
        key: Bytes,
    },
    /// Adds to a number.
    Increment {
        /// In which cache.
        cache: Arc<str>,
        /// Which key.
        key: Bytes,
        /// What is added.
        by: i64,
        /// When a number that was missing ends.
        expires_at: Option<LogTime>,
    },
    /// Removes all values of a cache.
    Clear {
        /// Which cache.
        cache: Arc<str>,
    },
    /// Says what a cache may hold.
    Declare {
        /// Which cache.
        cache: Arc<str>,
        /// What it may hold.
        limits: Limits,
    },
    /// Opens the session that has this entry's index as its number.
    OpenSession,
}

impl Op {
    /// The one key that it is about.
    #[must_use]
    pub fn key(&self) -> Option<(&Arc<str>, &Bytes)> {
        match self {
            Self::Put { cache, key, .. }
            | Self::Delete { cache, key }
            | Self::Take { cache, key }
            | Self::Increment { cache, key, .. } => Some((cache, key)),
            Self::Clear { .. } | Self::Declare { .. } | Self::OpenSession => None,
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Put { cache, key, value, .. } => cache.len() + key.len() + value.len(),
            Self::Delete { cache, key } | Self::Take { cache, key } | Self::Increment { cache, key, .. } => {
                cache.len() + key.len()
            }
            Self::Clear { cache } | Self::Declare { cache, .. } => cache.len(),
            Self::OpenSession => 0,
        }
    }
}

impl Entry {
    /// Cache, key and value of what it puts; `None`: it does something else.
    pub(crate) fn put(&self) -> Option<(&Arc<str>, &Bytes, &Bytes)> {
        match &self.payload {
            Payload::Write { op: Op::Put { cache, key, value, .. }, .. } => Some((cache, key, value)),
            _ => None,
        }
    }

    /// Bytes that it takes in memory, roughly.
    #[must_use]
    pub fn size(&self) -> usize {
        const FIXED: usize = 160;
        FIXED
            + match &self.payload {
                Payload::Noop | Payload::Floor { .. } | Payload::EndSession { .. } => 0,
                Payload::Configuration(c) => c.size(),
                Payload::Write { op, .. } => op.size(),
                Payload::Remove { cache, key, .. } => cache.len() + key.len(),
            }
    }
}

/// The part of the log that is held.
#[derive(Clone, Debug, Default)]
pub struct Log {
    base_index: Index,
    base_term: Term,
    base_time: LogTime,
    entries: VecDeque<Arc<Entry>>,
    bytes: usize,
}

impl Log {
    /// A log that continues from a snapshot.
    #[must_use]
    pub fn after(index: Index, term: Term, time: LogTime) -> Self {
        Self { base_index: index, base_term: term, base_time: time, ..Self::default() }
    }

    /// Last position forgotten.
    #[must_use]
    pub fn base_index(&self) -> Index {
        self.base_index
    }

    /// Last position.
    #[must_use]
    pub fn last_index(&self) -> Index {
        self.base_index + self.entries.len() as Index
    }

    /// Term of the last entry.
    #[must_use]
    pub fn last_term(&self) -> Term {
        self.entries.back().map_or(self.base_term, |e| e.term)
    }

    /// Time of the last entry.
    #[must_use]
    pub fn last_time(&self) -> LogTime {
        self.entries.back().map_or(self.base_time, |e| e.time)
    }

    /// Bytes held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Term of the entry at `index`; `None` if it is forgotten or not there yet.
    #[must_use]
    pub fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base_index { Some(self.base_term) } else { self.get(index).map(|e| e.term) }
    }

    /// Time of the entry at `index`.
    #[must_use]
    pub fn time_at(&self, index: Index) -> Option<LogTime> {
        if index == self.base_index { Some(self.base_time) } else { self.get(index).map(|e| e.time) }
    }

    /// The entry at `index`.
    #[must_use]
    pub fn get(&self, index: Index) -> Option<&Arc<Entry>> {
        let at = index.checked_sub(self.base_index + 1)?;
        self.entries.get(usize::try_from(at).ok()?)
    }

    /// The entries after `after`, up to `last`, as far as they are held.
    pub(crate) fn range(&self, after: Index, last: Index) -> impl Iterator<Item = &Entry> {
        let at = |index: Index| {
            let at = usize::try_from(index.saturating_sub(self.base_index)).unwrap_or(usize::MAX);
            at.min(self.entries.len())
        };
        let (from, to) = (at(after), at(last));
        self.entries.range(from..to.max(from)).map(Arc::as_ref)
    }

    /// Adds an entry; its index must be the next one.
    pub fn push(&mut self, entry: Arc<Entry>) {
        debug_assert_eq!(entry.index, self.last_index() + 1);
        self.bytes += entry.size();
        self.entries.push_back(entry);
    }

    /// Removes the entries after `index`.
    pub fn truncate(&mut self, index: Index) {
        while self.last_index() > index {
            let Some(entry) = self.entries.pop_back() else { return };
            self.bytes -= entry.size();
        }
    }

    /// Entries from `from` on, at most `bytes` of them but at least one.
    #[must_use]
    pub fn slice(&self, from: Index, bytes: usize) -> Vec<Arc<Entry>> {
        let Some(at) = from.checked_sub(self.base_index + 1).and_then(|at| usize::try_from(at).ok()) else {
            return Vec::new();
        };
        let mut size = 0;
        let mut out = Vec::new();
        for entry in self.entries.iter().skip(at) {
            size += entry.size();
            if size > bytes && !out.is_empty() {
                break;
            }
            out.push(entry.clone());
        }
        out
    }

    /// Forgets entries from the front, none after `keep_after`, until no more than `limit` bytes are held.
    pub fn compact(&mut self, limit: usize, keep_after: Index) {
        while self.bytes > limit && self.base_index < keep_after {
            let Some(entry) = self.entries.pop_front() else { return };
            self.bytes -= entry.size();
            (self.base_index, self.base_term, self.base_time) = (entry.index, entry.term, entry.time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(index: Index, term: Term) -> Arc<Entry> {
        Arc::new(Entry { term, index, time: LogTime(index), payload: Payload::Noop })
    }

    fn log(entries: u64) -> Log {
        let mut log = Log::default();
        (1..=entries).for_each(|i| log.push(entry(i, 1 + i / 4)));
        log
    }

    #[test]
    fn what_is_compacted_is_remembered_by_its_end() {
        let mut log = log(10);
        let one = log.bytes() / 10;
        log.compact(4 * one, 8);
        assert_eq!((log.base_index(), log.last_index(), log.bytes()), (6, 10, 4 * one));
        assert_eq!((log.term_at(6), log.term_at(5), log.term_at(11)), (Some(2), None, None));
        log.compact(0, 8);
        assert_eq!(log.base_index(), 8, "nothing after the limit is dropped");
        assert_eq!(log.slice(9, usize::MAX).len(), 2);
        assert!(log.slice(8, usize::MAX).is_empty(), "it is not held any more");
    }

    #[test]
    fn a_slice_is_bounded_but_never_empty() {
        let log = log(5);
        assert_eq!(log.slice(2, 0).len(), 1);
        assert_eq!(log.slice(2, log.bytes()).len(), 4);
        assert!(log.slice(6, 1000).is_empty());
    }

    #[test]
    fn a_range_is_what_is_held_of_it() {
        let mut log = log(6);
        let indices = |log: &Log, after, last| log.range(after, last).map(|e| e.index).collect::<Vec<_>>();
        assert_eq!(indices(&log, 2, 4), [3, 4]);
        assert_eq!(indices(&log, 0, 1), [1]);
        assert_eq!(indices(&log, 4, 9), [5, 6]);
        assert!(
            indices(&log, 4, 4).is_empty()
                && indices(&log, 4, 3).is_empty()
                && indices(&log, 7, 9).is_empty()
        );
        log.compact(0, 3);
        assert_eq!(indices(&log, 1, 5), [4, 5]);
    }

    #[test]
    fn truncation_keeps_the_account() {
        let mut log = log(6);
        log.truncate(2);
        assert_eq!((log.last_index(), log.last_term()), (2, 1));
        log.truncate(0);
        assert_eq!((log.bytes(), log.last_index(), log.last_term()), (0, 0, 0));
    }

    #[test]
    fn a_log_that_continues_from_a_snapshot_knows_its_end() {
        let mut log = Log::after(6, 3, LogTime(40));
        assert_eq!(
            (log.base_index(), log.last_index(), log.last_term(), log.last_time()),
            (6, 6, 3, LogTime(40))
        );
        log.push(entry(7, 4));
        assert_eq!([5, 6, 7, 8].map(|i| log.term_at(i)), [None, Some(3), Some(4), None]);
        assert_eq!([5, 6, 7, 8].map(|i| log.time_at(i)), [None, Some(LogTime(40)), Some(LogTime(7)), None]);
        log.compact(0, 7);
        assert_eq!((log.term_at(7), log.time_at(7), log.bytes()), (Some(4), Some(LogTime(7)), 0));
    }

    #[test]
    fn what_is_held_is_accounted_for() {
        let one = entry(1, 1).size();
        let put = Op::Put {
            cache: Arc::from("ab"),
            key: Bytes::from("key"),
            value: Bytes::from("value"),
            expires_at: None,
            condition: Condition::Always,
        };
        let delete = Op::Delete { cache: Arc::from("abcd"), key: Bytes::from("key") };
        let sizes = [put, delete, Op::Clear { cache: Arc::from("abcde") }, Op::OpenSession].map(|op| {
            let payload = Payload::Write { tag: None, op };
            Entry { term: 1, index: 1, time: LogTime(0), payload }.size() - one
        });
        assert_eq!(sizes, [10, 7, 5, 0]);
        let mut log = log(6);
        log.truncate(4);
        assert_eq!(log.bytes(), 4 * one);
        assert_eq!(log.slice(1, 3 * one).len(), 3, "what fits exactly fits");
        assert_eq!(log.slice(1, 3 * one - 1).len(), 2);
    }
}
