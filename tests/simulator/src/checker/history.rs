//! Linearizability of what the clients saw, key by key; see `rauthy_linearizability`.
//!
//! ```text
//! Requests (Quorum, All, and what may have happened) ┐
//! Recorded (Linearizable reads)                      ├─▶ History ─▶ check
//! lives (generations, with their times)              ┘
//! ```
//!
//! This looks at answers alone, not at the log: it would find a mistake that log and model share.

use std::collections::BTreeSet;

use bytes::Bytes;
use rauthy_core::{Condition, Done, Effect, Generation, Index, Request, Span};
use rauthy_linearizability as lin;

use super::requests::{Asked, COUNTERS};
use super::{Check, Checker};

/// Caches whose values do not come and go by other reasons than requests and their ends.
const CACHES: [&str; 4] = ["codes", "tickets", COUNTERS, "tight"];
/// How far the search for one key may go.
const SEARCH: lin::Limits = lin::Limits { states: 60_000, tries: 1_500_000 };
/// The log's time may jump ahead by this when the leader changes: a follower that was not heard for so long still holds an
/// old echo, and rule 10 has it err on the side of too late.
const JUMP: u64 = 1_500_000;

type Key = (&'static str, Bytes);

/// Linearizable reads that were answered.
#[derive(Debug, Default)]
pub struct Recorded {
    reads: Vec<Read>,
    /// Keys whose history was too entangled to be decided.
    pub gave_up: u64,
}

#[derive(Debug)]
struct Read {
    key: Key,
    generation: Generation,
    call: u64,
    ret: u64,
    seen: Option<(Bytes, Index)>,
}

fn cache_of(name: &str) -> Option<&'static str> {
    CACHES.into_iter().find(|cache| *cache == name)
}

fn value_of(cache: &str, bytes: &[u8]) -> lin::Value {
    let number = || std::str::from_utf8(bytes).ok()?.parse().ok();
    let number = if cache == COUNTERS { number() } else { None };
    number.map_or_else(|| lin::Value::Bytes(bytes.get(..8).unwrap_or(bytes).to_vec()), lin::Value::Number)
}

impl Recorded {
    /// A read of a key was called, and answered with a value and its version.
    pub fn read(
        &mut self,
        cache: &str,
        key: &Bytes,
        generation: Generation,
        (call, ret): (u64, u64),
        seen: Option<(Bytes, Index)>,
    ) {
        if let Some(cache) = cache_of(cache) {
            self.reads.push(Read { key: (cache, key.clone()), generation, call, ret, seen });
        }
    }
}

impl Checker {
    /// At the end: is there an order of everything that explains every answer?
    ///
    /// # Errors
    /// If there is none.
    pub fn linear(&mut self) -> Check {
        let history = self.history();
        match lin::check_within(&history, SEARCH) {
            Ok(_) => Ok(()),
            Err(lin::Failure::GaveUp { .. }) => {
                self.recorded.gave_up += 1;
                Ok(())
            }
            Err(failure) => Err(format!("Linearizable: {failure}")),
        }
    }

    fn history(&self) -> lin::History<Key> {
        let mut history = lin::History::default();
        for (at, generation) in self.order.iter().enumerate() {
            let began = |generation: &Generation| self.lives.get(generation).map_or(0, |life| life.began);
            // The next one's first entry may have been committed a little later than was noted.
            let ended = self.order.get(at + 1).map_or(u64::MAX, |next| began(next) + 60_000);
            history.generations.push(lin::Generation { name: generation.0, began: began(generation), ended });
        }
        for asked in self.requests.all() {
            self.record(asked, &mut history.operations);
        }
        for read in &self.recorded.reads {
            let seen = read.seen.as_ref();
            let seen = seen.map(|(bytes, version)| lin::Seen {
                value: value_of(read.key.0, bytes),
                version: Some(*version),
            });
            history.operations.push(lin::Operation {
                client: 0,
                generation: Some(read.generation.0),
                key: read.key.clone(),
                call: read.call,
                ret: Some(read.ret),
                op: lin::Op::Read,
                outcome: lin::Outcome::saw(lin::Answer::Found(seen)),
            });
        }
        history
    }

    fn record(&self, asked: &Asked, operations: &mut Vec<lin::Operation<Key>>) {
        let Some(cache) = asked.request.cache().and_then(|cache| cache_of(cache)) else { return };
        // What no generation ever had in its log can have done nothing.
        let Some(generation) = asked.generation.filter(|g| self.order.contains(g)) else { return };
        let told = asked.answer.as_ref().map(|(at, done)| (*at, outcome(cache, done)));
        let (ret, outcome) = match told {
            Some((at, outcome)) => (Some(at), outcome),
            None if asked.never_appended() => (None, lin::Outcome::Failed),
            None => (None, lin::Outcome::Unknown),
        };
        let window = |ttl: &Option<Span>| self.window(cache, asked.at, ret, *ttl);
        let op = match &asked.request {
            Request::Put { value, ttl, condition, .. } => lin::Op::Put {
                value: value_of(cache, value),
                condition: match condition {
                    Condition::Always => lin::Condition::Always,
                    Condition::Absent => lin::Condition::IfAbsent,
                    Condition::Version(version) => lin::Condition::IfVersion(*version),
                },
                ttl: window(ttl),
            },
            Request::Delete { .. } => lin::Op::Delete,
            Request::Take { .. } => lin::Op::Take,
            Request::Increment { by, ttl, .. } => lin::Op::Increment { by: *by, ttl: window(ttl) },
            Request::Clear { .. } => lin::Op::Clear,
            Request::Declare { .. } | Request::OpenSession => return,
        };
        let keys: BTreeSet<Bytes> = match asked.key() {
            Some((_, key)) => BTreeSet::from([key.clone()]),
            None => {
                self.lives.get(&generation).into_iter().flat_map(|l| l.model.keys(cache)).cloned().collect()
            }
        };
        operations.extend(keys.into_iter().map(|key| lin::Operation {
            client: asked.client,
            generation: Some(generation.0),
            key: (cache, key),
            call: asked.at,
            ret,
            op: op.clone(),
            outcome: outcome.clone(),
        }));
    }

    /// When a value may vanish by itself.
    fn window(&self, cache: &str, call: u64, ret: Option<u64>, ttl: Option<Span>) -> Option<lin::Window> {
        let Some(Span(ttl)) = ttl else {
            // The cache may or may not have been declared with a time to live when it was appended.
            return (cache == "tickets").then_some(lin::Window { earliest: call, latest: u64::MAX });
        };
        if self.drift_beyond {
            return Some(lin::Window { earliest: call, latest: u64::MAX });
        }
        let earliest = call + (ttl - ttl / 20).saturating_sub(JUMP);
        Some(lin::Window { earliest, latest: ret.map_or(u64::MAX, |ret| ret + ttl + ttl / 20 + 100_000) })
    }
}

fn outcome(cache: &str, done: &Done) -> lin::Outcome {
    let answer = match &done.effect {
        Effect::Put { existed } | Effect::Deleted { existed } => lin::Answer::Existed(*existed),
        Effect::Taken(taken) => lin::Answer::Found(
            taken.as_ref().map(|bytes| lin::Seen { value: value_of(cache, bytes), version: None }),
        ),
        Effect::Number(number) => lin::Answer::Number(*number),
        Effect::Unmet { version } => lin::Answer::ConditionFailed { version: Some(version.unwrap_or(0)) },
        Effect::NotANumber => lin::Answer::NotANumber,
        Effect::Cleared { .. } => lin::Answer::Silent,
        Effect::Accepted | Effect::Nothing | Effect::Declared | Effect::Opened | Effect::Unknown => {
            return lin::Outcome::Unknown;
        }
    };
    lin::Outcome::at(done.version, answer)
}
