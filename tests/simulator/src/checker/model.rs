//! A second state machine, as plain as can be: what the committed log of one generation means.
//!
//! ```text
//! Model ─┬─ cache ─▶ { key ─▶ [ (index, value or nothing) … ] ascending, limits, use }
//!        └─ session ─▶ { floor, seq ─▶ result }
//! ```
//!
//! It shares no code with the store that it is compared with. It forgets nothing of a key, so that a read which was
//! answered at some index can be compared with what stood there then.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use rauthy_core::log::{Entry, Op, Payload, Tag, Why};
use rauthy_core::store::{Change, Changed, Removal};
use rauthy_core::{Condition, Done, Effect, Index, Limits, LogTime};

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// Itself.
    pub value: Bytes,
    /// Index of the entry that wrote it.
    pub version: Index,
    /// When it ends.
    pub end: Option<LogTime>,
}

impl Held {
    /// Whether it has not ended at `now`.
    #[must_use]
    pub fn lives_at(&self, now: LogTime) -> bool {
        self.end.is_none_or(|end| end > now)
    }
}

/// What an entry did.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// As a client is told.
    pub done: Done,
    /// As a watcher sees it.
    pub change: Option<Change>,
    /// It was carried out, and is no repetition.
    pub fresh: bool,
}

/// What a cache holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Values, ended ones included until they are removed.
    pub entries: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
}

#[derive(Debug, Default)]
struct Cache {
    keys: BTreeMap<Bytes, Vec<(Index, Option<Held>)>>,
    limits: Option<Limits>,
    used: Use,
}

#[derive(Debug, Default)]
struct Session {
    floor: u64,
    results: BTreeMap<u64, Done>,
}

/// The state machine.
#[derive(Debug, Default)]
pub struct Model {
    caches: BTreeMap<Arc<str>, Cache>,
    sessions: BTreeMap<Index, Session>,
}

impl Cache {
    fn now(&self, key: &[u8]) -> Option<&Held> {
        self.keys.get(key)?.last()?.1.as_ref()
    }

    /// Gives what was there before.
    fn set(&mut self, key: &Bytes, index: Index, held: Option<Held>) -> Option<Held> {
        let history = self.keys.entry(key.clone()).or_default();
        let old = history.last().and_then(|(_, held)| held.clone());
        let size = |held: &Held| (key.len() + held.value.len()) as u64;
        if let Some(old) = &old {
            self.used.entries -= 1;
            self.used.bytes -= size(old);
        }
        if let Some(held) = &held {
            self.used.entries += 1;
            self.used.bytes += size(held);
        }
        if old.is_some() || held.is_some() {
            history.push((index, held));
        }
        old
    }
}

impl Model {
    /// What stood under a key when everything up to `index` had been applied.
    #[must_use]
    pub fn at(&self, cache: &str, key: &[u8], index: Index) -> Option<&Held> {
        let history = self.caches.get(cache)?.keys.get(key)?;
        let after = history.partition_point(|(at, _)| *at <= index);
        history.get(after.checked_sub(1)?)?.1.as_ref()
    }

    /// Everything that is there now.
    pub fn all(&self) -> impl Iterator<Item = (&Arc<str>, &Bytes, &Held)> {
        self.caches.iter().flat_map(|(cache, held)| {
            held.keys.iter().filter_map(move |(key, h)| Some((cache, key, h.last()?.1.as_ref()?)))
        })
    }

    /// Keys that were ever used in a cache.
    pub fn keys(&self, cache: &str) -> impl Iterator<Item = &Bytes> {
        self.caches.get(cache).into_iter().flat_map(|held| held.keys.keys())
    }

    /// What a cache holds.
    #[must_use]
    pub fn used(&self, cache: &str) -> Use {
        self.caches.get(cache).map_or_else(Use::default, |held| held.used)
    }

    /// What all caches hold.
    #[must_use]
    pub fn total(&self) -> Use {
        self.caches.values().fold(Use::default(), |sum, held| Use {
            entries: sum.entries + held.used.entries,
            bytes: sum.bytes + held.used.bytes,
        })
    }

    /// What a cache was declared to hold.
    #[must_use]
    pub fn limits(&self, cache: &str) -> Option<Limits> {
        self.caches.get(cache)?.limits
    }

    /// Open sessions.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// Takes the next entry of the log.
    pub fn apply(&mut self, entry: &Entry) -> Outcome {
        let index = entry.index;
        let outcome = |effect, change: Option<(&Arc<str>, Changed)>, fresh| Outcome {
            done: Done { version: index, effect },
            change: change.map(|(cache, change)| Change { index, cache: cache.clone(), change }),
            fresh,
        };
        match &entry.payload {
            Payload::Noop | Payload::Configuration(_) => outcome(Effect::Nothing, None, true),
            // That no request below it comes again is checked where requests are.
            Payload::Floor { .. } => outcome(Effect::Nothing, None, true),
            Payload::EndSession { session } => {
                self.sessions.remove(session);
                outcome(Effect::Nothing, None, true)
            }
            Payload::Remove { cache, key, version, why } => {
                let there = self.cache(cache).now(key).is_some_and(|held| held.version == *version);
                if !there {
                    return outcome(Effect::Deleted { existed: false }, None, true);
                }
                self.cache(cache).set(key, index, None);
                let why = match why {
                    Why::Expired => Removal::Expired,
                    Why::Evicted => Removal::Evicted,
                };
                let change = Changed::Removed { key: key.clone(), why };
                outcome(Effect::Deleted { existed: true }, Some((cache, change)), true)
            }
            Payload::Write { tag, op } => {
                if let Some(known) = tag.and_then(|tag| self.known(tag)) {
                    let unknown = Done { version: index, effect: Effect::Unknown };
                    return Outcome { done: known.unwrap_or(unknown), change: None, fresh: false };
                }
                let (effect, change) = self.write(op, index, entry.time);
                let outcome = outcome(effect, change, true);
                if let Some(tag) = tag
                    && let Some(session) = self.sessions.get_mut(&tag.session)
                {
                    session.results.insert(tag.seq, outcome.done.clone());
                }
                outcome
            }
        }
    }

    /// `None`: it is new; else what came of it, if that is still known.
    fn known(&mut self, tag: Tag) -> Option<Option<Done>> {
        let Some(session) = self.sessions.get_mut(&tag.session) else { return Some(None) };
        if tag.floor > session.floor {
            session.floor = tag.floor;
            session.results = session.results.split_off(&tag.floor);
        }
        if tag.seq < session.floor {
            return Some(None);
        }
        session.results.get(&tag.seq).map(|done| Some(done.clone()))
    }

    fn cache(&mut self, cache: &Arc<str>) -> &mut Cache {
        self.caches.entry(cache.clone()).or_default()
    }

    fn write<'a>(
        &mut self,
        op: &'a Op,
        index: Index,
        now: LogTime,
    ) -> (Effect, Option<(&'a Arc<str>, Changed)>) {
        let gone = |old: &Held, key: &Bytes, why| Changed::Removed {
            key: key.clone(),
            why: if old.lives_at(now) { why } else { Removal::Expired },
        };
        match op {
            Op::Put { cache, key, value, expires_at, condition } => {
                let held = self.cache(cache);
                let there = held.now(key).filter(|held| held.lives_at(now)).map(|held| held.version);
                let met = match condition {
                    Condition::Always => true,
                    Condition::Absent => there.is_none(),
                    Condition::Version(wanted) => there == Some(*wanted),
                };
                if !met {
                    return (Effect::Unmet { version: there }, None);
                }
                held.set(key, index, Some(Held { value: value.clone(), version: index, end: *expires_at }));
                let change = Changed::Put { key: key.clone(), value: value.clone() };
                (Effect::Put { existed: there.is_some() }, Some((cache, change)))
            }
            Op::Delete { cache, key } => {
                let old = self.cache(cache).set(key, index, None);
                let existed = old.as_ref().is_some_and(|old| old.lives_at(now));
                let change = old.map(|old| (cache, gone(&old, key, Removal::Deleted)));
                (Effect::Deleted { existed }, change)
            }
            Op::Take { cache, key } => {
                let old = self.cache(cache).set(key, index, None);
                let taken = old.as_ref().filter(|old| old.lives_at(now)).map(|old| old.value.clone());
                (Effect::Taken(taken), old.map(|old| (cache, gone(&old, key, Removal::Taken))))
            }
            Op::Increment { cache, key, by, expires_at } => {
                let held = self.cache(cache);
                let there = held.now(key).filter(|held| held.lives_at(now));
                let before = match there {
                    None => Some(0),
                    Some(held) => {
                        std::str::from_utf8(&held.value).ok().and_then(|text| text.parse::<i64>().ok())
                    }
                };
                let Some(sum) = before.and_then(|before| before.checked_add(*by)) else {
                    return (Effect::NotANumber, None);
                };
                let end = there.map_or(*expires_at, |held| held.end);
                let value = Bytes::from(sum.to_string());
                held.set(key, index, Some(Held { value: value.clone(), version: index, end }));
                (Effect::Number(sum), Some((cache, Changed::Put { key: key.clone(), value })))
            }
            Op::Clear { cache } => {
                let held = self.cache(cache);
                let there: Vec<Bytes> =
                    held.keys.keys().filter(|key| held.now(key).is_some()).cloned().collect();
                let mut values = 0;
                for key in &there {
                    values += u64::from(held.set(key, index, None).is_some_and(|old| old.lives_at(now)));
                }
                (Effect::Cleared { values }, (!there.is_empty()).then_some((cache, Changed::Cleared)))
            }
            Op::Declare { cache, limits } => {
                self.cache(cache).limits = Some(*limits);
                (Effect::Declared, None)
            }
            Op::OpenSession => {
                self.sessions.entry(index).or_default();
                (Effect::Opened, None)
            }
        }
    }
}
