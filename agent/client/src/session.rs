//! What a session has seen: by it the reads of a session never go back behind its own writes and reads, whichever node
//! answers.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

const LEN: usize = 24;

/// A position in the log of one generation of the cache. Opaque to applications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Name of the generation.
    pub generation: u128,
    /// Index of the last entry that was seen.
    pub index: u64,
}

impl Seen {
    /// As it stands in requests and answers: generation and index, big endian.
    #[must_use]
    pub fn to_bytes(self) -> Bytes {
        let mut bytes = [0; LEN];
        bytes[..16].copy_from_slice(&self.generation.to_be_bytes());
        bytes[16..].copy_from_slice(&self.index.to_be_bytes());
        Bytes::copy_from_slice(&bytes)
    }

    /// Reads it; `None` if it is none.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (generation, index) = bytes.split_first_chunk()?;
        let index = index.try_into().ok()?;
        Some(Self { generation: u128::from_be_bytes(*generation), index: u64::from_be_bytes(index) })
    }
}

/// What the clones of one client have seen together.
#[derive(Debug, Default)]
pub(crate) struct Session(Mutex<Option<Seen>>);

impl Session {
    pub fn seen(&self) -> Option<Seen> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer came with this position.
    pub fn saw(&self, token: &[u8]) {
        let Some(new) = Seen::parse(token) else { return };
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Of one generation the answers may come in any order. Another one is newer: the data of the first is gone.
        if !seen.is_some_and(|old| old.generation == new.generation && old.index >= new.index) {
            *seen = Some(new);
        }
    }

    /// What was seen is gone; what comes next begins anew.
    pub fn forget(&self, gone: Seen) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_some_and(|seen| seen.generation == gone.generation) {
            *seen = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_never_goes_back() {
        let seen = |generation, index| Seen { generation, index };
        let session = Session::default();
        session.saw(b"no token");
        assert_eq!(session.seen(), None);
        for (token, wanted) in [
            (seen(1, 5), seen(1, 5)),
            (seen(1, 3), seen(1, 5)),
            (seen(1, 9), seen(1, 9)),
            (seen(2, 1), seen(2, 1)),
        ] {
            session.saw(&token.to_bytes());
            assert_eq!(session.seen(), Some(wanted));
        }
        session.forget(seen(1, 9));
        assert_eq!(session.seen(), Some(seen(2, 1)), "that was forgotten already");
        session.forget(seen(2, 0));
        assert_eq!(session.seen(), None);
    }

    #[test]
    fn only_a_token_is_one() {
        let token = Seen { generation: u128::MAX - 1, index: 7 };
        assert_eq!(Seen::parse(&token.to_bytes()), Some(token));
        for wrong in [0, 15, 16, 23, 25, 32] {
            assert_eq!(Seen::parse(&vec![1; wrong]), None, "{wrong} bytes");
        }
    }
}
