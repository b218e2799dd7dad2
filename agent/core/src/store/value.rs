//! One value, in one piece of memory.
//!
//! ```text
//! Value ─▶ [ count 8 | version 8 | end 8 | length 8 | length of the key 4 | key | value ]
//! ```
//!
//! The bytes are copied out of what came over the network: a value that lives for long must not keep the frame alive
//! that brought it. One piece costs less than two, and a look-up touches one line of memory for key, version and end.
//! A table is up to half empty, and an order holds every value once more: what points at a value is one word, with the
//! length where the value is.

use std::fmt;
use std::ops::Deref;

use bytes::{Buf, Bytes};
use triomphe::{Arc, ThinArc};

use crate::types::{Index, LogTime};

/// Bytes of the length of the key, before it.
const LENGTH: usize = 4;
/// Values up to this length are put together without asking the allocator twice.
const SHORT: usize = 512;
const NO_END: u64 = u64::MAX;

#[derive(Clone, Copy, PartialEq, Eq)]
struct Head {
    version: Index,
    end: u64,
}

/// A value of the store with its key, version and end; a clone shares the memory. It dereferences to its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Value(ThinArc<Head, u8>);

/// What a value is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) version: Index,
    pub(crate) expires_at: Option<LogTime>,
}

impl Parts<'_> {
    fn head(&self) -> Head {
        Head { version: self.version, end: self.expires_at.map_or(NO_END, |end| end.0) }
    }
}

impl Value {
    pub(crate) fn new(parts: Parts<'_>) -> Self {
        let Parts { key, value, .. } = parts;
        let length = u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut short = [0; SHORT];
        let long;
        let all = if let Some(all) = short.get_mut(..LENGTH + key.len() + value.len()) {
            all[..LENGTH].copy_from_slice(&length);
            all[LENGTH..][..key.len()].copy_from_slice(key);
            all[LENGTH + key.len()..].copy_from_slice(value);
            &*all
        } else {
            long = [&length, key, value].concat();
            &long
        };
        Self(ThinArc::from_header_and_slice(parts.head(), all))
    }

    /// Becomes another value of the same key where it stands, if nobody else has it and it takes as much memory: that is in
    /// the cache of the processor, as what was asked of the allocator is not. False: nothing is changed.
    pub(super) fn rewrite(&mut self, parts: Parts<'_>) -> bool {
        if self.key() != parts.key || self.len() != parts.value.len() {
            return false;
        }
        self.0.with_arc_mut(|all| {
            let Some(all) = Arc::get_mut(all) else { return false };
            *all.header_mut() = parts.head();
            all.slice_mut()[LENGTH + parts.key.len()..].copy_from_slice(parts.value);
            true
        })
    }

    fn head(&self) -> &Head {
        &self.0.header.header
    }

    /// Key and value.
    fn parts(&self) -> (&[u8], &[u8]) {
        let Some((length, rest)) = self.0.slice.split_first_chunk() else { return (&[], &[]) };
        rest.split_at_checked(u32::from_le_bytes(*length) as usize).unwrap_or((rest, &[]))
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        self.parts().0
    }

    /// Index of the entry that wrote it; 0: written at level Direct, not in the log yet.
    #[must_use]
    pub fn version(&self) -> Index {
        self.head().version
    }

    /// When it ends.
    #[must_use]
    pub fn expires_at(&self) -> Option<LogTime> {
        Some(self.head().end).filter(|end| *end != NO_END).map(LogTime)
    }

    /// Whether it has not ended at `now`.
    #[must_use]
    pub fn lives_at(&self, now: LogTime) -> bool {
        let end = self.head().end;
        end == NO_END || end > now.0
    }

    /// Touches all of its memory, if it is short.
    pub(super) fn glance(&self) -> u64 {
        const LINE: usize = 64;
        let lines = self.0.slice.iter().step_by(LINE).take(4).chain(self.0.slice.last());
        lines.fold(self.version(), |all, byte| all ^ u64::from(*byte))
    }

    /// Everything that it is, for digests: version and end, and all else.
    pub(super) fn raw(&self) -> ([u64; 2], &[u8]) {
        let Head { version, end } = *self.head();
        ([version, end], &self.0.slice)
    }

    /// Key and value, without a copy.
    pub(super) fn into_bytes(self) -> (Bytes, Bytes) {
        let key = self.key().len();
        let mut key_and_value = Bytes::from_owner(self);
        key_and_value.advance(LENGTH);
        (key_and_value.split_to(key), key_and_value)
    }
}

impl AsRef<[u8]> for Value {
    /// All of it but its head: what [`Bytes::from_owner`] is to hold.
    fn as_ref(&self) -> &[u8] {
        &self.0.slice
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
        for (key, value) in [
            (b"k".as_slice(), b"value".as_slice()),
            (b"", b""),
            (b"", b"v"),
            (&[7; 300], b""),
            (b"k", &[8; 508 - 1]),
            (b"k", &[8; 508]),
            (b"k", &[9; 5000]),
        ] {
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
        // The table holds a word for each; a second piece of memory per value would cost more than all of that.
        assert_eq!(size_of::<Option<Value>>(), 8);
        let held = Value::new(Parts { key: b"key", value: b"value", version: 1, expires_at: None });
        assert_eq!((size_of::<Head>(), held.as_ref().len()), (16, LENGTH + 8));
    }

    #[test]
    fn memory_is_used_again_for_a_value_as_long_that_nobody_holds() {
        let parts = |value, version, expires_at| Parts { key: b"key", value, version, expires_at };
        let mut held = Value::new(parts(b"one", 1, None));
        let stands_at = held.as_ref().as_ptr();
        let mut other = parts(b"two", 2, Some(LogTime(9)));
        assert!(held.rewrite(other));
        assert_eq!(held, Value::new(other));
        assert_eq!(held.as_ref().as_ptr(), stands_at);
        let reader = held.clone();
        assert!(!held.rewrite(parts(b"wee", 3, None)), "somebody reads it");
        drop(reader);
        assert!(!held.rewrite(parts(b"three", 3, None)), "it is longer");
        other.key = b"kez";
        assert!(!held.rewrite(other), "it is another key's");
        assert_eq!((held.key(), &*held, held.version()), (b"key".as_slice(), b"two".as_slice(), 2));
    }
}
