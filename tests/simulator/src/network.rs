//! Messages in flight: delayed, lost, doubled, out of order, cut off in one direction or both.

use std::collections::{BTreeMap, BTreeSet};

use rauthy_core::Message;
use rauthy_core::message::Class;

use crate::random::Random;

/// How the network behaves at present.
#[derive(Clone, Debug)]
pub struct Weather {
    /// Least and greatest delay, in microseconds.
    pub delay: (u64, u64),
    /// Messages lost, in thousandths.
    pub loss: u64,
    /// Messages doubled, in thousandths.
    pub doubles: u64,
    /// Messages held for seconds, over elections and wipes, in ten-thousandths.
    pub held: u64,
    /// Snapshots do not pass.
    pub no_bulk: bool,
}

impl Weather {
    /// A good network.
    #[must_use]
    pub fn fair() -> Self {
        Self { delay: (100, 600), loss: 0, doubles: 0, held: 0, no_bulk: false }
    }
}

/// The network.
#[derive(Debug)]
pub struct Network {
    flying: BTreeMap<(u64, u64), (usize, Message)>,
    next: u64,
    /// (from, to) pairs that nothing passes.
    pub cut: BTreeSet<(usize, usize)>,
    /// (slot, extra delay): one peer that is slow.
    pub slow: Option<(usize, u64)>,
    /// How it behaves.
    pub weather: Weather,
    /// Messages that were given to it.
    pub sent: u64,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            flying: BTreeMap::new(),
            next: 0,
            cut: BTreeSet::new(),
            slow: None,
            weather: Weather::fair(),
            sent: 0,
        }
    }
}

impl Network {
    /// Takes a message.
    pub fn send(&mut self, now: u64, from: usize, to: usize, message: Message, random: &mut Random) {
        self.sent += 1;
        let lost = self.weather.no_bulk && message.class() == Class::Bulk;
        if lost || self.cut.contains(&(from, to)) || random.chance(self.weather.loss) {
            return;
        }
        // A stream doubles nothing; what is sent twice over a new one, the core sends itself, and so do clients. (A double
        // of a write that was refused at a limit could stand, and nobody would have said so.)
        let doubled = message.class() != Class::Forward && random.chance(self.weather.doubles);
        let mut fly = |message: Message, random: &mut Random| {
            let (low, high) = self.weather.delay;
            let extra = self.slow.filter(|(slot, _)| *slot == from || *slot == to).map_or(0, |(_, d)| d);
            let held = if self.weather.held > 0 && random.between(0, 10_000) < self.weather.held {
                random.between(2_000_000, 15_000_000)
            } else {
                0
            };
            self.next += 1;
            self.flying.insert((now + random.between(low, high) + extra + held, self.next), (to, message));
        };
        if doubled {
            fly(message.clone(), random);
        }
        fly(message, random);
    }

    /// When the next message arrives.
    #[must_use]
    pub fn next_arrival(&self) -> u64 {
        self.flying.keys().next().map_or(u64::MAX, |(at, _)| *at)
    }

    /// The message that arrives at this moment.
    pub fn arrive(&mut self, now: u64) -> Option<(usize, Message)> {
        let key = *self.flying.keys().next()?;
        if key.0 > now {
            return None;
        }
        self.flying.remove(&key)
    }

    /// No fault any more.
    pub fn heal(&mut self) {
        self.cut.clear();
        self.slow = None;
        self.weather = Weather::fair();
    }
}
