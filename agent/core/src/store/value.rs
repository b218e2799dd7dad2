//! One value, in one piece of memory.
//!
//! ```text
//! Value ─▶ [ counts of the Arc | version 8 | end 8 | length of the key 4 | key | value ]
//! ```
//!
//! The bytes are copied out of what came over the network: a value that lives for long must not keep the frame alive
//! that brought it. One piece costs less than two, and a look-up touches one line of memory for key, version and end.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

use bytes::{Buf, Bytes};

use crate::types::{Index, LogTime};

const HEAD: usize = 20;
const NO_END: u64 = u64::MAX;

/// A value of the store with its key, version and end; a clone shares the memory. It dereferences to its bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Value(Arc<[u8]>);

impl Value {
    pub(crate) fn new(key: &[u8], value: &[u8], version: Index, expires_at: Option<LogTime>) -> Self {
        let mut all: Arc<[u8]> = std::iter::repeat_n(0, HEAD + key.len() + value.len()).collect();
        if let Some((head, rest)) = Arc::get_mut(&mut all).and_then(|all| all.split_at_mut_checked(HEAD)) {
            let key_len = u32::try_from(key.len()).unwrap_or(u32::MAX);
            head[..8].copy_from_slice(&version.to_le_bytes());
            head[8..16].copy_from_slice(&expires_at.map_or(NO_END, |end| end.0).to_le_bytes());
            head[16..].copy_from_slice(&key_len.to_le_bytes());
            rest[..key.len()].copy_from_slice(key);
            rest[key.len()..].copy_from_slice(value);
        }
        Self(all)
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

/// A value as its table sees it: known by its key.
#[derive(Debug)]
pub(super) struct ByKey(pub(super) Value);

impl Borrow<[u8]> for ByKey {
    fn borrow(&self) -> &[u8] {
        self.0.key()
    }
}

impl PartialEq for ByKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for ByKey {}

impl Hash for ByKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key().hash(state);
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
                let held = Value::new(key, value, 5, end);
                assert_eq!((held.key(), &*held, held.version(), held.expires_at()), (key, value, 5, end));
                assert_eq!(&*Bytes::from(held.clone()), value);
                let (k, v) = held.into_bytes();
                assert_eq!((&*k, &*v), (key, value));
            }
        }
    }

    #[test]
    fn an_end_is_past_when_it_is_reached() {
        let held = Value::new(b"k", b"v", 1, Some(LogTime(10)));
        assert!(held.lives_at(LogTime(9)));
        assert!(!held.lives_at(LogTime(10)));
        assert!(Value::new(b"k", b"v", 1, None).lives_at(LogTime(u64::MAX)));
    }

    #[test]
    fn a_value_takes_little_beside_its_bytes() {
        // The table holds two words for each; a third piece of memory per value would cost more than all of that.
        assert_eq!(size_of::<ByKey>(), 16);
        assert_eq!(Value::new(b"key", b"value", 1, None).raw().len(), HEAD + 8);
    }
}
