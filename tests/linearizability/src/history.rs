//! What clients asked and were told.
//!
//! ```text
//! History ─┬─ operations   client, key, [call, ret], op ─▶ outcome, and the generation that answered
//!          └─ generations  in their order, each with the earliest begin and the latest end
//! ```
//!
//! All times are points on one clock, that of whoever recorded the history, in any unit. An operation takes effect at
//! some point of `call..=ret`; two that touch in one point count as concurrent.

use std::fmt;

/// A recorded history. `K` names a key; a key of two caches is two keys.
#[derive(Clone, Debug)]
pub struct History<K> {
    /// In any order.
    pub operations: Vec<Operation<K>>,
    /// In the order in which they lived. May stay empty if the history saw one only.
    pub generations: Vec<Generation>,
}

/// One life of the whole cache: it begins empty, and its end takes everything along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Its name.
    pub name: u128,
    /// Nothing took effect in it before.
    pub began: u64,
    /// Nothing took effect in it after; `u64::MAX` while it lives.
    pub ended: u64,
}

/// One call of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation<K> {
    /// Who called.
    pub client: u64,
    /// The generation that answered it; for an unknown outcome the one that it was stamped with, outside of which it
    /// can have no effect. `None`: not told, which is an error for an answered operation if several generations lived
    /// during the call, and means "any of them" for an unknown one.
    pub generation: Option<u128>,
    /// On which key.
    pub key: K,
    /// When it was called.
    pub call: u64,
    /// When the answer came; `None`: it never did. Ignored for an unknown outcome.
    pub ret: Option<u64>,
    /// What was asked.
    pub op: Op,
    /// What was answered.
    pub outcome: Outcome,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A linearizable read. Reads of a replica belong into [`crate::session`].
    Read,
    /// Store a value.
    Put {
        /// The value.
        value: Value,
        /// When to store it at all.
        condition: Condition,
        /// When it vanishes; `None`: never by itself.
        ttl: Option<Window>,
    },
    /// Remove the value.
    Delete,
    /// Read and remove the value in one step.
    Take,
    /// Add to the number that stands there. Without a value it counts from 0.
    Increment {
        /// How much.
        by: i64,
        /// Of a value that this creates; one that stands keeps its own.
        ttl: Option<Window>,
    },
    /// The part of clearing a whole cache that concerns this key: the recorder writes it once for each key.
    Clear,
}

/// When a put stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// In any case.
    Always,
    /// If the key has no value.
    IfAbsent,
    /// If the value has this version.
    IfVersion(u64),
}

/// When a value vanishes by itself: at any moment from `earliest` on, and surely after `latest`.
///
/// For an answered put with a time to live that is from its call (plus the ttl, on the fastest clock) to its answer
/// (plus the ttl, on the slowest). One without an answer may take effect late: its `latest` is `u64::MAX`, unless
/// something else bounds it. In a cache that evicts every value has `earliest` = the call and `latest` = `u64::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// The first moment at which it may be gone.
    pub earliest: u64,
    /// The last moment at which it may still be there.
    pub latest: u64,
}

/// A value; the checker compares, adds to numbers, and knows no more of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    /// Something opaque.
    Bytes(Vec<u8>),
    /// Something that can be incremented.
    Number(i64),
}

/// A value that somebody read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Itself.
    pub value: Value,
    /// Index of the log entry that wrote it, from 1; `None`: not told.
    pub version: Option<u64>,
}

/// What became of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody knows: it may take effect at any time after its call, or never. A write that was answered at a level
    /// below a quorum is this as well, since such an answer promises nothing that others can hold it to.
    Unknown,
    /// It surely took no effect and never will (NO_QUORUM, refused by a limit).
    Failed,
    /// It took effect between call and answer.
    Done {
        /// Index of its log entry, from 1: the version of what it wrote. `None` for a read, and if not told.
        index: Option<u64>,
        /// What it observed.
        answer: Answer,
    },
}

/// What an operation observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was done; nothing was said of what stood there before. (Put, Delete, Clear)
    Silent,
    /// It was done, and there was a value before, or none. (Put, Delete)
    Existed(bool),
    /// This was found. (Read, Take)
    Found(Option<Seen>),
    /// The number afterwards. (Increment)
    Number(i64),
    /// The condition did not hold. (Put)
    ConditionFailed {
        /// Version of what stood there, 0 if nothing did; `None`: not told.
        version: Option<u64>,
    },
    /// What stands there is no number, or the sum would not fit one. (Increment)
    NotANumber,
}

impl<K> Default for History<K> {
    fn default() -> Self {
        Self { operations: Vec::new(), generations: Vec::new() }
    }
}

impl<K> History<K> {
    /// Records a call and returns its number, for [`History::answered`]. Without an answer its outcome is unknown.
    pub fn called(&mut self, client: u64, key: K, call: u64, op: Op, generation: Option<u128>) -> usize {
        let outcome = Outcome::Unknown;
        self.operations.push(Operation { client, generation, key, call, ret: None, op, outcome });
        self.operations.len() - 1
    }

    /// Records the answer to a call. A number that `called` never gave is ignored.
    pub fn answered(&mut self, number: usize, ret: u64, generation: Option<u128>, outcome: Outcome) {
        if let Some(operation) = self.operations.get_mut(number) {
            operation.ret = Some(ret);
            operation.generation = generation.or(operation.generation);
            operation.outcome = outcome;
        }
    }
}

impl Op {
    /// A put of this value in any case, without an end.
    #[must_use]
    pub fn put(value: impl Into<Value>) -> Self {
        Self::put_if(value, Condition::Always)
    }

    /// A put of this value under a condition, without an end.
    #[must_use]
    pub fn put_if(value: impl Into<Value>, condition: Condition) -> Self {
        Self::Put { value: value.into(), condition, ttl: None }
    }
}

impl Outcome {
    /// Done, and something was observed.
    #[must_use]
    pub const fn saw(answer: Answer) -> Self {
        Self::Done { index: None, answer }
    }

    /// Done by the log entry with this index.
    #[must_use]
    pub const fn at(index: u64, answer: Answer) -> Self {
        Self::Done { index: Some(index), answer }
    }

    /// Done: this value was read, or taken.
    #[must_use]
    pub fn found(value: impl Into<Value>, version: Option<u64>) -> Self {
        Self::saw(Answer::Found(Some(Seen { value: value.into(), version })))
    }

    /// Done: there was nothing to read, or to take.
    #[must_use]
    pub const fn nothing() -> Self {
        Self::saw(Answer::Found(None))
    }
}

impl Value {
    /// What a cache holds that stores its numbers as decimal text: a number if the bytes are one as an increment
    /// would have written it, and else the bytes.
    #[must_use]
    pub fn from_text(bytes: &[u8]) -> Self {
        let number = std::str::from_utf8(bytes).ok().and_then(|text| text.parse::<i64>().ok());
        match number.filter(|number| number.to_string().as_bytes() == bytes) {
            Some(number) => Self::Number(number),
            None => Self::Bytes(bytes.to_vec()),
        }
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Bytes(text.as_bytes().to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 24;
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Bytes(bytes) => {
                let head = &bytes[..bytes.len().min(SHOWN)];
                if !head.is_empty() && head.iter().all(u8::is_ascii_graphic) {
                    write!(f, "'{}", String::from_utf8_lossy(head))?;
                    f.write_str(if bytes.len() > SHOWN { "…'" } else { "'" })?;
                } else {
                    f.write_str("0x")?;
                    head.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                    f.write_str(if bytes.len() > SHOWN { "…" } else { "" })?;
                }
                if bytes.len() > SHOWN { write!(f, " ({} bytes)", bytes.len()) } else { Ok(()) }
            }
        }
    }
}
