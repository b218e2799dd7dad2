//! What the clients of the world want, and what they were promised.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use rauthy_core::{AckLevel, Request, Span};

use crate::random::Random;

/// Keys that are only ever written: what was acknowledged must be found.
pub const DURABLE_KEYS: u64 = 5;
/// All keys: the others are deleted too, and some values end.
pub const KEYS: u64 = 8;
/// The cache they live in.
pub const CACHE: &str = "codes";

/// A write that waits for its result, or has one.
#[derive(Clone, Debug)]
pub struct Op {
    /// Which key.
    pub key: u64,
    /// The value; `None`: a deletion.
    pub value: Option<Bytes>,
    /// Its time to live.
    pub ttl: Option<Span>,
    /// At which level.
    pub level: AckLevel,
    /// When it was asked for, in the world's time.
    pub at: u64,
}

/// The clients.
#[derive(Debug, Default)]
pub struct Clients {
    next_ticket: u64,
    /// By slot and ticket: what has no answer yet.
    pub pending: BTreeMap<(usize, u64), Op>,
    /// Answers by kind: ok, unknown, no quorum, limit.
    pub answers: [u64; 4],
    /// Reads answered, and refused.
    pub reads: (u64, u64),
}

impl Op {
    /// Bytes of a key.
    #[must_use]
    pub fn key_bytes(key: u64) -> Bytes {
        Bytes::from(format!("key-{key}"))
    }

    /// As the core takes it.
    #[must_use]
    pub fn request(&self) -> Request {
        let (cache, key) = (Arc::from(CACHE), Self::key_bytes(self.key));
        match &self.value {
            Some(value) => Request::Put { cache, key, value: value.clone(), ttl: self.ttl },
            None => Request::Delete { cache, key },
        }
    }
}

impl Clients {
    /// Something to write.
    pub fn write(&mut self, now: u64, slot: usize, random: &mut Random) -> (u64, Op) {
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        let key = random.between(0, KEYS);
        let volatile = key >= DURABLE_KEYS;
        let value = if volatile && random.chance(200) {
            None
        } else {
            let mut value = ticket.to_be_bytes().to_vec();
            // Now and then a big one, so that rings and windows fill.
            value.resize(if random.chance(30) { 4000 } else { 40 }, 7);
            Some(Bytes::from(value))
        };
        let ttl = (volatile && value.is_some() && random.chance(500))
            .then(|| Span::from_millis(random.between(50, 3000)));
        let level = if random.chance(850) { AckLevel::Quorum } else { AckLevel::Leader };
        let op = Op { key, value, ttl, level, at: now };
        self.pending.insert((slot, ticket), op.clone());
        (ticket, op)
    }

    /// A process died: its clients will never hear.
    pub fn abandon(&mut self, slot: usize) {
        self.pending.retain(|(at, _), _| *at != slot);
    }
}
