//! What a shard consists of, as a snapshot carries it.

use std::sync::Arc;

use bytes::Bytes;

use crate::request::{Done, Effect, Limits};
use crate::types::{Index, LogTime};

/// One part of a shard's state.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// An open session.
    Session {
        /// Index of the entry that opened it.
        session: Index,
    },
    /// No request of this session below the floor is answered any more.
    Floor {
        /// Which session.
        session: Index,
        /// The floor.
        floor: u64,
    },
    /// What became of a request.
    Outcome {
        /// In which session.
        session: Index,
        /// Which request.
        seq: u64,
        /// Its result; of a request without a key, the shard's own part.
        done: Done,
    },
    /// What a cache may hold.
    Cache {
        /// Which cache.
        cache: Arc<str>,
        /// What it may hold.
        limits: Limits,
    },
    /// A value.
    Value {
        /// Its cache.
        cache: Arc<str>,
        /// Its key.
        key: Bytes,
        /// Itself.
        value: Bytes,
        /// Index of the entry that wrote it.
        version: Index,
        /// When it ends.
        expires_at: Option<LogTime>,
    },
}

impl Record {
    /// Bytes that it takes on the wire, roughly.
    #[must_use]
    pub fn size(&self) -> usize {
        const FIXED: usize = 32;
        FIXED
            + match self {
                Self::Session { .. } | Self::Floor { .. } => 0,
                Self::Outcome { done, .. } => match &done.effect {
                    Effect::Taken(Some(value)) => value.len(),
                    _ => 0,
                },
                Self::Cache { cache, .. } => cache.len(),
                Self::Value { cache, key, value, .. } => cache.len() + key.len() + value.len(),
            }
    }
}

/// A value whose time has come.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Its cache.
    pub cache: Arc<str>,
    /// Its key.
    pub key: Bytes,
    /// Index of the entry that wrote it.
    pub version: Index,
}
