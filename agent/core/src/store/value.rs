//! One value, in one piece of memory.
//!
//! ```text
//! Value ─▶ [ counts of the Arc | version 8 | end 8 | length of the key 4 | key | value ]
//! ```
//!
//! The bytes are copied out of what came over the network: a value that lives for long must not keep the frame alive
//! that brought it. One piece costs less than two, and a look-up touches one line of memory for key, version and end.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::types::{Index, LogTime};

const HEAD: usize = 20;
const NO_END: u64 = u64::MAX;

/// A value of the store with its key, version and end; a clone shares the memory. It dereferences to its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Value(Arc<[u8]>);

/// What a value is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) version: Index,
    pub(crate) expires_at: Option<LogTime>,
}

impl Parts<'_> {
    fn put_version_and_end(&self, head: &mut [u8; HEAD]) {
        head[..8].copy_from_slice(&self.version.to_le_bytes());
        head[8..16].copy_from_slice(&self.expires_at.map_or(NO_END, |end| end.0).to_le_bytes());
    }
}

impl Value {
    pub(crate) fn new(parts: Parts<'_>) -> Self {
        let Parts { key, value, .. } = parts;
        let mut all: Arc<[u8]> = std::iter::repeat_n(0, HEAD + key.len() + value.len()).collect();
        if let Some((head, rest)) = Arc::get_mut(&mut all).and_then(|all| all.split_first_chunk_mut::<HEAD>())
        {
            parts.put_version_and_end(head);
            let key_len = u32::try_from(key.len()).unwrap_or(u32::MAX);
            head[16..].copy_from_slice(&key_len.to_le_bytes());
            rest[..key.len()].copy_from_slice(key);
            rest[key.len()..].copy_from_slice(value);
        }
        Self(all)
    }

    /// Becomes another value of the same key where it stands, if nobody else has it and it takes as much memory: that is in
    /// the cache of the processor, as what was asked of the allocator is not. False: nothing is changed.
    pub(super) fn rewrite(&mut self, parts: Parts<'_>) -> bool {
        if self.key() != parts.key || self.len() != parts.value.len() {
            return false;
        }
        let Some((head, rest)) =
            Arc::get_mut(&mut self.0).and_then(|all| all.split_first_chunk_mut::<HEAD>())
        else {
            return false;
        };
        parts.put_version_and_end(head);
        rest[parts.key.len()..].copy_from_slice(parts.value);
        true
    }

    fn word(&self, at: usize) -> u64 {
        self.0.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_le_bytes(*word))
    }

    /// Key and value.
    fn parts(&self) -> (&[u8], &[u8]) {
        let Some((head, rest)) = self.0.split_first_chunk::<HEAD>() else { return (&[], &[]) };
        let [.., a, b, c, d] = *head;
        rest.split_at_checked(u32::from_le_bytes([a, b, c, d]) as usize).unwrap_or((rest, &[]))
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.parts().0
    }

    /// Index of the entry that wrote it; 0: written at level Direct, not in the log yet.
    #[must_use]
    pub fn version(&self) -> Index {
        self.word(0)
    }

    /// When it ends.
    #[must_use]
    pub fn expires_at(&self) -> Option<LogTime> {
        Some(self.word(8)).filter(|end| *end != NO_END).map(LogTime)
    }

    /// Whether it has not ended at `now`.
    #[must_use]
    pub fn lives_at(&self, now: LogTime) -> bool {
        let end = self.word(8);
        end == NO_END || end > now.0
    }

    /// Touches all of its memory, if it is short.
    pub(super) fn glance(&self) -> u64 {
        const LINE: usize = 64;
        let lines = self.0.iter().step_by(LINE).take(4).chain(self.0.last());
        lines.fold(self.version(), |all, byte| all ^ u64::from(*byte))
    }

    /// Everything that it is, for digests.
    pub(super) fn raw(&self) -> &[u8] {
        &self.0
    }

    /// Key and value, without a copy.
    pub(super) fn into_bytes(self) -> (Bytes, Bytes) {
        let key = self.key().len();
        let mut key_and_value = Bytes::from_owner(self);
        key_and_value.advance(HEAD);
        (key_and_value.split_to(key), key_and_value)
    }
}

impl AsRef<[u8]> for Value {
    /// All of it: what [`Bytes::from_owner`] is to hold.
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for Value {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.parts().1
    }
}

impl From<Value> for Bytes {
    /// The value's bytes, without a copy.
    fn from(value: Value) -> Self {
        value.into_bytes().1
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Value")
            .field("key", &self.key().escape_ascii().to_string())
            .field("bytes", &self.len())
            .field("version", &self.version())
            .field("expires_at", &self.expires_at())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_comes_out_again() {
        for (key, value) in
            [(b"k".as_slice(), b"value".as_slice()), (b"", b""), (b"", b"v"), (&[7; 300], b"")]
        {
            for end in [None, Some(LogTime(0)), Some(LogTime(77))] {
                let held = Value::new(Parts { key, value, version: 5, expires_at: end });
                assert_eq!((held.key(), &*held, held.version(), held.expires_at()), (key, value, 5, end));
                assert_eq!(&*Bytes::from(held.clone()), value);
                let (k, v) = held.into_bytes();
                assert_eq!((&*k, &*v), (key, value));
            }
        }
    }

    #[test]
    fn an_end_is_past_when_it_is_reached() {
        let parts = |expires_at| Parts { key: b"k", value: b"v", version: 1, expires_at };
        let held = Value::new(parts(Some(LogTime(10))));
        assert!(held.lives_at(LogTime(9)));
        assert!(!held.lives_at(LogTime(10)));
        assert!(Value::new(parts(None)).lives_at(LogTime(u64::MAX)));
    }

    #[test]
    fn a_value_takes_little_beside_its_bytes() {
        // The table holds two words for each; a third piece of memory per value would cost more than all of that.
        assert_eq!(size_of::<Value>(), 16);
        let held = Value::new(Parts { key: b"key", value: b"value", version: 1, expires_at: None });
        assert_eq!(held.raw().len(), HEAD + 8);
    }

    #[test]
    fn memory_is_used_again_for_a_value_as_long_that_nobody_holds() {
        let parts = |value, version, expires_at| Parts { key: b"key", value, version, expires_at };
        let mut held = Value::new(parts(b"one", 1, None));
        let stands_at = held.raw().as_ptr();
        let mut other = parts(b"two", 2, Some(LogTime(9)));
        assert!(held.rewrite(other));
        assert_eq!(held, Value::new(other));
        assert_eq!(held.raw().as_ptr(), stands_at);
        let reader = held.clone();
        assert!(!held.rewrite(parts(b"wee", 3, None)), "somebody reads it");
        drop(reader);
        assert!(!held.rewrite(parts(b"three", 3, None)), "it is longer");
        other.key = b"kez";
        assert!(!held.rewrite(other), "it is another key's");
        assert_eq!((held.key(), &*held, held.version()), (b"key".as_slice(), b"two".as_slice(), 2));
    }
}
