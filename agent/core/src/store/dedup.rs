//! Rule 9: what has become of requests, so that a repeated one is not applied again.
//!
//! ```text
//! Sessions ─ session ─▶ { floor, [ (seq, result), … ] ascending, floor ≤ seq }
//! ```
//!
//! Every shard knows every open session, and keeps the results of its own keys: what a shard answers is a function of
//! the log up to its applied index alone, also when shards are copied one after the other (rule 11). A request of a
//! session that is not open, or below the floor, may have been applied before: it gets [`Effect::Unknown`].

use std::collections::{BTreeMap, VecDeque};

use crate::log::Tag;
use crate::request::{Done, Effect};
use crate::store::hash::hash;
use crate::store::record::Record;
use crate::types::Index;

/// What a session takes in one shard, roughly.
const SESSION: usize = 64;
/// What a result takes, beside the value that it may hold.
const RESULT: usize = size_of::<(u64, Done)>();

/// Whether a request is applied.
#[derive(Debug, PartialEq)]
pub(super) enum Admission {
    /// It has not been seen.
    New,
    /// It has, and this came of it.
    Known(Done),
    /// Nobody knows any more.
    Forgotten,
}

#[derive(Debug, Default)]
struct Session {
    floor: u64,
    results: VecDeque<(u64, Done)>,
}

/// The sessions as one shard knows them.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    open: BTreeMap<Index, Session>,
    bytes: usize,
    digest: u64,
}

impl Sessions {
    /// Bytes held, results' values included.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Of everything here, independent of its order.
    pub(super) fn digest(&self) -> u64 {
        self.digest
    }

    pub(super) fn open(&mut self, session: Index) {
        if let std::collections::btree_map::Entry::Vacant(vacant) = self.open.entry(session) {
            vacant.insert(Session::default());
            self.bytes += SESSION;
            self.digest ^= digest_of_session(session, 0);
        }
    }

    pub(super) fn end(&mut self, session: Index) {
        let Some(ended) = self.open.remove(&session) else { return };
        self.bytes -= SESSION;
        self.digest ^= digest_of_session(session, ended.floor);
        for (seq, done) in &ended.results {
            self.bytes -= size(done);
            self.digest ^= digest_of_result(session, *seq, done);
        }
    }

    /// Raises the floor, then says whether the request is applied. `look`: at the results.
    pub(super) fn admit(&mut self, tag: Tag, look: bool) -> Admission {
        self.raise(tag.session, tag.floor);
        match self.open.get(&tag.session) {
            None => Admission::Forgotten,
            Some(session) if tag.seq < session.floor => Admission::Forgotten,
            Some(session) if look => {
                session.result(tag.seq).cloned().map_or(Admission::New, Admission::Known)
            }
            Some(_) => Admission::New,
        }
    }

    /// What became of a request.
    pub(super) fn recorded(&self, session: Index, seq: u64) -> Option<&Done> {
        self.open.get(&session)?.result(seq)
    }

    pub(super) fn record(&mut self, session: Index, seq: u64, done: Done) {
        let Some(open) = self.open.get_mut(&session) else { return };
        let at = open.results.partition_point(|(other, _)| *other < seq);
        self.bytes += size(&done);
        self.digest ^= digest_of_result(session, seq, &done);
        match open.results.get_mut(at).filter(|(other, _)| *other == seq) {
            Some((_, old)) => {
                self.bytes -= size(old);
                self.digest ^= digest_of_result(session, seq, old);
                *old = done;
            }
            // Nearly always at the end.
            None => open.results.insert(at, (seq, done)),
        }
    }

    pub(super) fn raise(&mut self, session: Index, floor: u64) {
        let Some(open) = self.open.get_mut(&session).filter(|open| open.floor < floor) else { return };
        self.digest ^= digest_of_session(session, open.floor) ^ digest_of_session(session, floor);
        open.floor = floor;
        while let Some((seq, done)) = open.results.pop_front_if(|(seq, _)| *seq < floor) {
            self.bytes -= size(&done);
            self.digest ^= digest_of_result(session, seq, &done);
        }
        if open.results.is_empty() {
            open.results.shrink_to(8); // after a burst
        }
    }

    /// Sessions and their floors, in the order of their numbers.
    pub(super) fn floors(&self) -> impl Iterator<Item = (Index, u64)> {
        self.open.iter().map(|(session, open)| (*session, open.floor))
    }

    /// Everything, in the order of sessions and requests.
    pub(super) fn records(&self) -> impl Iterator<Item = Record> {
        self.open.iter().flat_map(|(&session, open)| {
            let floor = (open.floor > 0).then_some(Record::Floor { session, floor: open.floor });
            let results = open.results.iter();
            let results =
                results.map(move |(seq, done)| Record::Outcome { session, seq: *seq, done: done.clone() });
            std::iter::once(Record::Session { session }).chain(floor).chain(results)
        })
    }
}

impl Session {
    fn result(&self, seq: u64) -> Option<&Done> {
        let at = self.results.binary_search_by_key(&seq, |(seq, _)| *seq).ok()?;
        self.results.get(at).map(|(_, done)| done)
    }
}

fn size(done: &Done) -> usize {
    match &done.effect {
        Effect::Taken(Some(value)) => RESULT + value.len(),
        _ => RESULT,
    }
}

fn digest_of_session(session: Index, floor: u64) -> u64 {
    hash([b"session".as_slice(), &session.to_le_bytes(), &floor.to_le_bytes()])
}

fn digest_of_result(session: Index, seq: u64, done: &Done) -> u64 {
    let number = |n: u64| n.to_le_bytes();
    let (kind, with, value): (u64, u64, &[u8]) = match &done.effect {
        Effect::Accepted => (0, 0, &[]),
        Effect::Nothing => (1, 0, &[]),
        Effect::Put { existed } => (2, u64::from(*existed), &[]),
        Effect::Deleted { existed } => (3, u64::from(*existed), &[]),
        Effect::Taken(None) => (4, 0, &[]),
        Effect::Taken(Some(value)) => (4, 1, value),
        Effect::Number(number) => (5, number.cast_unsigned(), &[]),
        Effect::Cleared { values } => (6, *values, &[]),
        Effect::Unmet { version } => (7, version.map_or(0, |v| v.saturating_add(1)), &[]),
        Effect::NotANumber => (8, 0, &[]),
        Effect::Declared => (9, 0, &[]),
        Effect::Opened => (10, 0, &[]),
        Effect::Unknown => (11, 0, &[]),
    };
    let numbers = [session, seq, done.version, kind, with].map(number);
    hash([b"result".as_slice(), numbers.as_flattened(), value])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_result_that_is_recorded_again_the_last_one_is_left() {
        let done = |value: &'static [u8]| {
            let value = (!value.is_empty()).then(|| bytes::Bytes::from_static(value));
            Done { version: 7, effect: Effect::Taken(value) }
        };
        let sessions = |results: &[&'static [u8]]| {
            let mut sessions = Sessions::default();
            sessions.open(1);
            for value in results {
                sessions.record(1, 5, done(value));
            }
            sessions
        };
        let (once, again) = (sessions(&[b"last"]), sessions(&[b"a long first one", b"last"]));
        assert_eq!(again.recorded(1, 5), Some(&done(b"last")));
        assert_eq!((again.bytes(), again.digest()), (once.bytes(), once.digest()));
        assert_ne!(once.digest(), sessions(&[b""]).digest());
    }

    #[test]
    fn results_are_found_in_whatever_order_they_were_recorded() {
        let mut sessions = Sessions::default();
        sessions.open(1);
        for seq in [5, 3, 4, 9, 1] {
            sessions.record(1, seq, Done { version: seq, effect: Effect::Nothing });
        }
        for seq in [1, 3, 4, 5, 9] {
            assert_eq!(sessions.recorded(1, seq).map(|done| done.version), Some(seq));
        }
        sessions.end(1);
        assert_eq!((sessions.bytes(), sessions.digest()), (0, 0));
    }
}
