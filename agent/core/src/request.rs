//! What clients want written, and what becomes of it.
//!
//! ```text
//! Request ── taken by a node, stamped (session, seq, floor) ──▶ leader: judged, appended as log::Op ──▶ applied: Effect
//!                                                                                          └─ AckLevel: when it is answered
//! ```

use std::sync::Arc;

use bytes::Bytes;

use crate::types::{Generation, Index, Span};

/// What a client wants written.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Store a value.
    Put {
        /// Which cache.
        cache: Arc<str>,
        /// Under which key.
        key: Bytes,
        /// The value.
        value: Bytes,
        /// How long it lives; `None`: as the cache is declared, else for ever.
        ttl: Option<Span>,
        /// Only if this holds.
        condition: Condition,
    },
    /// Remove a value.
    Delete {
        /// From which cache.
        cache: Arc<str>,
        /// Which key.
        key: Bytes,
    },
    /// Get and remove a value in one linearizable step.
    Take {
        /// From which cache.
        cache: Arc<str>,
        /// Which key.
        key: Bytes,
    },
    /// Add to a number, which is stored as decimal text; a missing one counts as 0.
    Increment {
        /// In which cache.
        cache: Arc<str>,
        /// Which key.
        key: Bytes,
        /// What to add; may be negative.
        by: i64,
        /// How long a number that was missing lives; one that was there keeps its end.
        ttl: Option<Span>,
    },
    /// Remove all values of a cache.
    Clear {
        /// Which cache.
        cache: Arc<str>,
    },
    /// Say what a cache may hold; the last word counts.
    Declare {
        /// Which cache.
        cache: Arc<str>,
        /// What it may hold.
        limits: Limits,
    },
    /// Open a session; its number is the version of the result. Nodes do this by themselves.
    OpenSession,
}

impl Request {
    /// Bytes that it takes, roughly.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Put { cache, key, value, .. } => cache.len() + key.len() + value.len(),
            Self::Delete { cache, key } | Self::Take { cache, key } | Self::Increment { cache, key, .. } => {
                cache.len() + key.len()
            }
            Self::Clear { cache } | Self::Declare { cache, .. } => cache.len(),
            Self::OpenSession => 0,
        }
    }

    /// What it does depends on what is there: only an answer of level Quorum or All says what happened (rule 9).
    #[must_use]
    pub fn needs_its_effect(&self) -> bool {
        match self {
            Self::Put { condition, .. } => *condition != Condition::Always,
            Self::Take { .. } | Self::Increment { .. } | Self::OpenSession => true,
            Self::Delete { .. } | Self::Clear { .. } | Self::Declare { .. } => false,
        }
    }

    /// It says all of what stands afterwards: it can be shown before it is applied.
    #[must_use]
    pub(crate) fn is_plain(&self) -> bool {
        matches!(self, Self::Put { condition: Condition::Always, .. } | Self::Delete { .. })
    }

    /// The cache that it is about.
    #[must_use]
    pub fn cache(&self) -> Option<&Arc<str>> {
        match self {
            Self::Put { cache, .. }
            | Self::Delete { cache, .. }
            | Self::Take { cache, .. }
            | Self::Increment { cache, .. }
            | Self::Clear { cache }
            | Self::Declare { cache, .. } => Some(cache),
            Self::OpenSession => None,
        }
    }
}

/// When a value is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// In any case.
    #[default]
    Always,
    /// If the key is not there.
    Absent,
    /// If the key's value is the one that this entry wrote.
    Version(Index),
}

/// What a cache may hold. Judged by the leader before it appends (rule 10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Values, at most.
    pub entries: Option<u64>,
    /// Bytes of keys and values with a fixed part for each, at most.
    pub bytes: Option<u64>,
    /// How long a value lives whose request does not say.
    pub ttl: Option<Span>,
    /// What happens to a write for which there is no room.
    pub when_full: WhenFull,
    /// Puts and deletions without safety are taken ([`AckLevel::Direct`]); All is refused.
    pub direct: bool,
}

/// What happens to a write for which there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// It is refused.
    #[default]
    Reject,
    /// The values that were written longest ago make room.
    Evict,
}

/// By which a request is known again: it is applied at most once, over retries and changes of the leader (rule 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// In which it was taken; another generation's leader applies nothing.
    pub generation: Generation,
    /// Index of the entry that opened the session.
    pub session: Index,
    /// Number of the request in its session, from 1.
    pub seq: u64,
    /// All requests of the session below this have their answer, or are given up.
    pub floor: u64,
}

/// When a write is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum AckLevel {
    /// Queued on the node that took it; only in caches declared so. Lost if anything fails.
    Direct,
    /// Appended at the leader: lost if the leader dies or is deposed before it has replicated.
    Leader,
    /// The leader and one more voter hold it; while lists or seats change as Quorum. With three nodes as Quorum; with five or more
    /// it may be lost with the leader.
    Once,
    /// Committed by a quorum and applied at the leader: lost only with its generation.
    #[default]
    Quorum,
    /// As Quorum, and no node serves what was there before any more.
    All,
}

/// What became of a write.
#[derive(Clone, Debug, PartialEq)]
pub struct Done {
    /// Index of its entry; 0 at level Direct.
    pub version: Index,
    /// What it did.
    pub effect: Effect,
}

impl Done {
    /// The key was there before (false where that is not known yet).
    #[must_use]
    pub fn existed(&self) -> bool {
        match &self.effect {
            Effect::Put { existed } | Effect::Deleted { existed } => *existed,
            Effect::Taken(value) => value.is_some(),
            _ => false,
        }
    }
}

/// What a write did.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Not known yet: it was answered before it was applied.
    Accepted,
    /// Nothing that a client sees: the leader's own entries.
    Nothing,
    /// A value was stored.
    Put {
        /// There was one before.
        existed: bool,
    },
    /// A key was removed.
    Deleted {
        /// It was there.
        existed: bool,
    },
    /// A key was removed, with what it held.
    Taken(Option<Bytes>),
    /// The number after the addition.
    Number(i64),
    /// A cache was emptied.
    Cleared {
        /// So many values were there.
        values: u64,
    },
    /// The condition did not hold, nothing was written.
    Unmet {
        /// Version of the key's value, if it has one.
        version: Option<Index>,
    },
    /// What is stored is not a decimal number of 64 bits, or the sum would not be; nothing was written.
    NotANumber,
    /// A cache's limits are in force.
    Declared,
    /// A session is open.
    Opened,
    /// The request was below its session's floor: it may or may not have been applied before; nothing was written now.
    Unknown,
}

/// Why a write has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It was never appended nor forwarded: no leader with a quorum.
    NoQuorum,
    /// It may or may not stand.
    UnknownOutcome,
    /// A limit is reached; it was never appended.
    Limit(Limit),
    /// The cache is not declared so, or the level says nothing of what is asked; it was never appended.
    Level,
    /// The node asked does not lead; it was not appended. Only between nodes.
    NotLeader,
}

/// Which limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Limit {
    /// All caches together hold what they may.
    Store,
    /// This cache holds what it was declared to.
    Cache,
    /// Too much is appended and not committed.
    Pending,
    /// The log is kept for a member that joins.
    Log,
    /// Too many writes of this node wait for an answer.
    Waiting,
    /// The session's window is full: its oldest request has no answer.
    Window,
    /// There are too many sessions.
    Sessions,
    /// Too many results are remembered for requests that might come again.
    Dedup,
    /// The value or key is bigger than any may be.
    Size,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests() -> [Request; 7] {
        let (cache, key) = (Arc::<str>::from("ab"), Bytes::from("key"));
        [
            Request::Put {
                cache: cache.clone(),
                key: key.clone(),
                value: Bytes::from("value"),
                ttl: None,
                condition: Condition::Absent,
            },
            Request::Delete { cache: cache.clone(), key: key.clone() },
            Request::Take { cache: cache.clone(), key: key.clone() },
            Request::Increment { cache: cache.clone(), key, by: 1, ttl: None },
            Request::Clear { cache: cache.clone() },
            Request::Declare { cache, limits: Limits::default() },
            Request::OpenSession,
        ]
    }

    #[test]
    fn a_request_takes_what_its_names_and_value_do() {
        assert_eq!(requests().map(|request| request.size()), [10, 5, 5, 5, 2, 2, 0]);
        assert_eq!(requests().iter().filter(|request| request.cache().is_some()).count(), 6);
    }

    #[test]
    fn what_depends_on_what_is_there_needs_its_effect() {
        let needs = requests().map(|request| request.needs_its_effect());
        assert_eq!(needs, [true, false, true, true, false, false, true]);
    }

    #[test]
    fn a_result_says_whether_the_key_was_there() {
        let existed = |effect| Done { version: 1, effect }.existed();
        for there in [false, true] {
            assert_eq!(existed(Effect::Put { existed: there }), there);
            assert_eq!(existed(Effect::Deleted { existed: there }), there);
            assert_eq!(existed(Effect::Taken(there.then(Bytes::new))), there);
        }
        assert!(!existed(Effect::Accepted) && !existed(Effect::Number(1)));
    }
}
