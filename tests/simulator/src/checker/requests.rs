//! Every request that a client of the world ever made, and what has become of it.
//!
//! ```text
//! Requests ─┬─ asked    by number; the number stands in the value that is put, or is what is added
//!           └─ stamped  (generation, session, seq) ─▶ number, for clients that stamp what they send
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use rauthy_core::log::{Op, Payload};
use rauthy_core::{AckLevel, Done, Generation, Index, Refusal, Request, Stamp, Term};

/// The cache whose values are numbers.
pub const COUNTERS: &str = "counters";
/// A value of that cache that begins so cannot be added to.
pub const NO_NUMBER: char = 'x';

/// A request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Its number, from 1.
    pub number: u64,
    /// Who asked: 0 for a client that stamps nothing.
    pub client: u64,
    /// What for.
    pub request: Request,
    /// At which level.
    pub level: AckLevel,
    /// By which it is known again.
    pub stamp: Option<Stamp>,
    /// The generation in which it was asked for; it may have no effect in any other.
    pub generation: Option<Generation>,
    /// When it was first sent, in the world's time.
    pub at: u64,
    /// How often it was sent.
    pub sent: u32,
    /// How often the answer was that it was never appended.
    pub refused: u32,
    /// The last answer that was none.
    pub refusal: Option<Refusal>,
    /// Its first answer that says what it did, and when that came.
    pub answer: Option<(u64, Done)>,
    /// Answered at level Leader or Once, by an entry at this index.
    pub accepted: Option<Index>,
    /// Leaders' terms in which it was appended, and where.
    pub appended: Vec<(Term, Index)>,
    /// A committed entry carries it.
    pub logged: Option<(Generation, Index)>,
    /// Where it was carried out.
    pub applied: Option<(Generation, Index)>,
}

impl Asked {
    /// Every answer so far says that it was never appended.
    #[must_use]
    pub fn never_appended(&self) -> bool {
        self.sent > 0 && self.refused == self.sent
    }

    /// Cache and key.
    #[must_use]
    pub fn key(&self) -> Option<(&str, &Bytes)> {
        match &self.request {
            Request::Put { cache, key, .. }
            | Request::Delete { cache, key }
            | Request::Take { cache, key }
            | Request::Increment { cache, key, .. } => Some((cache, key)),
            Request::Clear { .. } | Request::Declare { .. } | Request::OpenSession => None,
        }
    }

    /// Whether an operation of the log is this request.
    #[must_use]
    pub fn is(&self, op: &Op) -> bool {
        match (&self.request, op) {
            (
                Request::Put { cache, key, value, condition, .. },
                Op::Put { cache: c, key: k, value: v, condition: if_, .. },
            ) => (cache, key, value, condition) == (c, k, v, if_),
            (Request::Delete { cache, key }, Op::Delete { cache: c, key: k })
            | (Request::Take { cache, key }, Op::Take { cache: c, key: k }) => (cache, key) == (c, k),
            (Request::Increment { cache, key, by, .. }, Op::Increment { cache: c, key: k, by: b, .. }) => {
                (cache, key, by) == (c, k, b)
            }
            (Request::Clear { cache }, Op::Clear { cache: c }) => cache == c,
            (Request::Declare { cache, limits }, Op::Declare { cache: c, limits: l }) => {
                (cache, limits) == (c, l)
            }
            (Request::OpenSession, Op::OpenSession) => true,
            _ => false,
        }
    }
}

/// All requests.
#[derive(Debug, Default)]
pub struct Requests {
    asked: Vec<Asked>,
    stamped: BTreeMap<(Generation, Index, u64), u64>,
}

/// The value that carries this number.
#[must_use]
pub fn value(cache: &str, number: u64, length: usize) -> Bytes {
    if cache == COUNTERS {
        return Bytes::from(number.to_string());
    }
    let mut value = number.to_be_bytes().to_vec();
    value.resize(length.max(8), 7);
    Bytes::from(value)
}

/// The number that a value carries.
#[must_use]
pub fn number_of(cache: &str, value: &[u8]) -> Option<u64> {
    if cache == COUNTERS {
        let text = std::str::from_utf8(value).ok()?;
        return text.trim_start_matches(NO_NUMBER).parse().ok();
    }
    value.first_chunk().map(|head| u64::from_be_bytes(*head))
}

impl Requests {
    /// The number of the next request.
    #[must_use]
    pub fn next(&self) -> u64 {
        self.asked.len() as u64 + 1
    }

    /// A request is about to be sent.
    pub fn add(
        &mut self,
        client: u64,
        request: Request,
        level: AckLevel,
        stamp: Option<Stamp>,
        at: u64,
    ) -> u64 {
        let number = self.next();
        if let Some(stamp) = stamp {
            self.stamped.insert((stamp.generation, stamp.session, stamp.seq), number);
        }
        self.asked.push(Asked {
            number,
            client,
            request,
            level,
            stamp,
            generation: stamp.map(|stamp| stamp.generation),
            at,
            sent: 0,
            refused: 0,
            refusal: None,
            answer: None,
            accepted: None,
            appended: Vec::new(),
            logged: None,
            applied: None,
        });
        number
    }

    /// A request.
    #[must_use]
    pub fn get(&self, number: u64) -> Option<&Asked> {
        self.asked.get(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// A request, to be changed.
    pub fn get_mut(&mut self, number: u64) -> Option<&mut Asked> {
        self.asked.get_mut(usize::try_from(number.checked_sub(1)?).ok()?)
    }

    /// All of them, in the order of their numbers.
    pub fn all(&self) -> impl Iterator<Item = &Asked> {
        self.asked.iter()
    }

    /// The request that an entry of a generation's log carries, as far as that can be known.
    #[must_use]
    pub fn of(&self, generation: Generation, payload: &Payload) -> Option<u64> {
        let Payload::Write { tag, op } = payload else { return None };
        match op {
            Op::Put { cache, value, .. } => number_of(cache, value),
            Op::Increment { by, .. } => Some(by.unsigned_abs()),
            _ => {
                let tag = tag.as_ref()?;
                self.stamped.get(&(generation, tag.session, tag.seq)).copied()
            }
        }
    }
}
