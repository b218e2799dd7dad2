//! What a shard held at one moment, while it goes on.
//!
//! ```text
//! Frozen ─ applied │ sessions, limits │ cache ─▶ values that are shared with the shard
//! ```
//!
//! It is made while nothing else happens to the shard, and on the thread that all writes wait for: so it takes what it must
//! and no more. Records are made of it one by one, when they are sent.

use std::iter::FusedIterator;
use std::sync::Arc;
use std::vec::IntoIter;

use crate::request::Limits;
use crate::store::record::Record;
use crate::store::value::Value;
use crate::types::Index;

/// Gives sessions, limits, and then values, in an order of their own: it must not matter.
#[derive(Debug)]
pub(crate) struct Frozen {
    /// What of the log is in it; later entries are not.
    pub(crate) applied: Index,
    first: IntoIter<Record>,
    values: IntoIter<(Arc<str>, Vec<Value>)>,
    present: Option<(Arc<str>, IntoIter<Value>)>,
    left: usize,
}

impl Frozen {
    pub(super) fn new(
        applied: Index,
        sessions: Vec<Record>,
        mut limits: Vec<(Arc<str>, Limits)>,
        values: Vec<(Arc<str>, Vec<Value>)>,
    ) -> Self {
        limits.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        let mut first = sessions;
        first.extend(limits.into_iter().map(|(cache, limits)| Record::Cache { cache, limits }));
        let left = first.len() + values.iter().map(|(_, values)| values.len()).sum::<usize>();
        Self { applied, first: first.into_iter(), values: values.into_iter(), present: None, left }
    }

    fn value(&mut self) -> Option<Record> {
        loop {
            if let Some((cache, values)) = &mut self.present
                && let Some(held) = values.next()
            {
                let (version, expires_at) = (held.version(), held.expires_at());
                let (key, value) = held.into_bytes();
                return Some(Record::Value { cache: cache.clone(), key, value, version, expires_at });
            }
            let (cache, values) = self.values.next()?;
            self.present = Some((cache, values.into_iter()));
        }
    }
}

impl Iterator for Frozen {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        let next = self.first.next().or_else(|| self.value())?;
        self.left -= 1;
        Some(next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Frozen {}
impl FusedIterator for Frozen {}
