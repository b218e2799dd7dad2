//! What clients want: which caches there are, and what is asked of them.

use std::sync::Arc;

use bytes::Bytes;
use rauthy_core::{AckLevel, Condition, Generation, Limits, Request, Span, WhenFull};

use crate::checker::requests::{COUNTERS, NO_NUMBER, value};
use crate::clients::Clients;
use crate::random::Random;

/// The caches, how many keys each has, and how often it is chosen, in thousandths.
///
/// * codes: values that never end and are never removed; what is acknowledged stays for the generation
/// * tickets: values that end, are taken and deleted; without a time to live of its own a value gets that of the cache
/// * counters: numbers · small: holds few values and evicts · tight: holds few bytes and refuses · loose: takes Direct
pub const CACHES: [(&str, u64, u64); 6] = [
    ("codes", 5, 280),
    ("tickets", 5, 240),
    (COUNTERS, 3, 180),
    ("small", 14, 120),
    ("tight", 8, 100),
    ("loose", 4, 80),
];

/// The name of a cache, for ever.
#[must_use]
pub fn cache(name: &str) -> Option<&'static str> {
    CACHES.iter().map(|(cache, ..)| *cache).find(|cache| *cache == name)
}

/// What a cache is declared to hold.
#[must_use]
pub fn limits(cache: &str) -> Limits {
    let none = Limits::default();
    match cache {
        "tickets" => Limits { ttl: Some(Span::from_millis(2500)), ..none },
        "small" => Limits { entries: Some(6), when_full: WhenFull::Evict, ..none },
        "tight" => Limits { bytes: Some(1500), ..none },
        "loose" => Limits { direct: true, ..none },
        _ => none,
    }
}

/// A key of a cache.
pub fn key(cache: &str, random: &mut Random) -> Bytes {
    let keys = CACHES.iter().find(|(name, ..)| *name == cache).map_or(1, |(_, keys, _)| *keys);
    Bytes::from(format!("key-{}", random.between(0, keys)))
}

/// A cache, and a key of it.
pub fn anywhere(random: &mut Random) -> (&'static str, Bytes) {
    let mut at = random.between(0, 1000);
    let cache = CACHES.iter().find(|(.., weight)| {
        let found = at < *weight;
        at = at.saturating_sub(*weight);
        found
    });
    let cache = cache.map_or("codes", |(name, ..)| *name);
    (cache, key(cache, random))
}

/// What many requests at once are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rush {
    /// All kinds.
    Anything,
    /// Big values that end soon: the store is full for a while.
    Fill,
    /// Takes those back: what came of it is remembered, values and all.
    Take,
    /// Sessions that nobody uses.
    Sessions,
}

/// Keys that are filled.
const MANY: u64 = 150;

impl Clients {
    /// One of many requests at once.
    #[must_use]
    pub fn rush(
        &self,
        what: Rush,
        number: u64,
        generation: Option<Generation>,
        random: &mut Random,
    ) -> (Request, AckLevel) {
        let cache: Arc<str> = Arc::from("tickets");
        let one = |random: &mut Random| Bytes::from(format!("many-{}", random.between(0, MANY)));
        let request = match what {
            Rush::Anything => return self.wish(number, generation, random),
            Rush::Fill => {
                let (key, ttl) = (one(random), Some(Span::from_millis(random.between(1000, 4000))));
                let value = value("tickets", number, 4000);
                Request::Put { cache, key, value, ttl, condition: Condition::Always }
            }
            Rush::Take => Request::Take { cache, key: one(random) },
            Rush::Sessions => Request::OpenSession,
        };
        (request, AckLevel::Quorum)
    }

    /// Something to write, in a generation; `number` makes it known again.
    #[must_use]
    pub fn wish(
        &self,
        number: u64,
        generation: Option<Generation>,
        random: &mut Random,
    ) -> (Request, AckLevel) {
        let (cache, key) = anywhere(random);
        // Which limits are in force must be known, or their use could not be judged.
        let declare = if self.knows(cache, generation) { 4 } else { 300 };
        let unknown = matches!(cache, "small" | "tight") && !self.knows(cache, generation);
        if unknown || random.chance(declare) {
            let level = if random.chance(800) { AckLevel::Quorum } else { AckLevel::All };
            return (Request::Declare { cache: Arc::from(cache), limits: limits(cache) }, level);
        }
        let request = self.request(number, cache, key, random);
        let level = level(cache, &request, random);
        (request, level)
    }

    fn request(&self, number: u64, cache: &'static str, key: Bytes, random: &mut Random) -> Request {
        let name: Arc<str> = Arc::from(cache);
        let dice = random.between(0, 1000);
        let ttl = |random: &mut Random| Some(Span::from_millis(random.between(50, 4000)));
        match cache {
            "tickets" if dice < 250 => Request::Take { cache: name, key },
            "tickets" | "loose" if dice < 400 => Request::Delete { cache: name, key },
            COUNTERS if dice < 700 => {
                let by = i64::try_from(number).unwrap_or(i64::MAX);
                let by = if dice < 100 { -by } else { by };
                let ttl = if dice.is_multiple_of(10) { ttl(random) } else { None };
                Request::Increment { cache: name, key, by, ttl }
            }
            COUNTERS if dice < 850 => Request::Take { cache: name, key },
            "small" | "tight" if dice < 150 => Request::Delete { cache: name, key },
            "tickets" | COUNTERS | "small" if dice >= 994 => Request::Clear { cache: name },
            _ => {
                let condition = match random.between(0, 10) {
                    0 => Condition::Absent,
                    1 | 2 => self.version(cache, &key).map_or(Condition::Absent, Condition::Version),
                    _ => Condition::Always,
                };
                let ttl = if cache == "tickets" && random.chance(700) { ttl(random) } else { None };
                Request::Put { cache: name, key, value: something(number, cache, random), ttl, condition }
            }
        }
    }
}

fn something(number: u64, cache: &str, random: &mut Random) -> Bytes {
    if cache == COUNTERS && random.chance(200) {
        return Bytes::from(format!("{NO_NUMBER}{number}"));
    }
    // Now and then a big one, so that rings and windows fill.
    let long = if cache == "tight" { 500 } else { 4000 };
    let length = if random.chance(30) { long } else { 40 };
    value(cache, number, length)
}

fn level(cache: &str, request: &Request, random: &mut Random) -> AckLevel {
    let dice = random.between(0, 1000);
    let plain = !request.needs_its_effect();
    match dice {
        // What says nothing is asked for now and then: it must be refused.
        0..5 => AckLevel::Direct,
        5..10 => AckLevel::Once,
        10..40 if cache == "loose" => AckLevel::All,
        40..700 if cache == "loose" => AckLevel::Direct,
        10..130 if plain => AckLevel::Leader,
        130..250 if plain => AckLevel::Once,
        250..450 => AckLevel::All,
        _ => AckLevel::Quorum,
    }
}

/// The write that must succeed when everything is healed.
#[must_use]
pub fn last(number: u64) -> Request {
    let (cache, key) = (Arc::from("codes"), Bytes::from_static(b"key-0"));
    Request::Put { cache, key, value: value("codes", number, 8), ttl: None, condition: Condition::Always }
}
