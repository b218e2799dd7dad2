//! Clients that stamp what they ask, so that they may repeat it anywhere (rule 9): after silence, after an unknown outcome,
//! and without any reason.
//!
//! ```text
//! Stamped ─ session, next seq, floor, held: the requests that it may still repeat, old: those of a generation before
//! ```

use std::collections::VecDeque;

use rauthy_core::{Done, Generation, Index, Refusal, Stamp};

use crate::random::Random;

/// Requests that one holds without an answer, at most, unless it is in a hurry.
const HELD: usize = 40;
/// Requests of an older generation that one may still repeat.
const OLD: usize = 12;
/// After so many answers in a row that know nothing it opens another session.
const SILENCE: u32 = 20;
/// After this long a request is given up, in microseconds.
pub(crate) const PATIENCE: u64 = 6_000_000;

/// What one does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Opens a session.
    Open,
    /// Asks something new with this stamp.
    Ask(Stamp),
    /// Asks this again.
    Repeat(u64, Stamp),
    /// Nothing.
    Wait,
}

#[derive(Clone, Debug)]
struct Held {
    number: u64,
    stamp: Stamp,
    done: bool,
    at: u64,
}

/// A client.
#[derive(Clone, Debug)]
pub struct Stamped {
    /// Its number, from 1.
    pub name: u64,
    session: Option<(Generation, Index)>,
    /// Number of the request that opens one.
    pub opening: Option<u64>,
    next: u64,
    held: VecDeque<Held>,
    old: VecDeque<Held>,
    /// Answers that knew nothing, one after the other.
    unknown: u32,
}

impl Stamped {
    /// One that knows nothing yet.
    #[must_use]
    pub fn new(name: u64) -> Self {
        Self {
            name,
            session: None,
            opening: None,
            next: 1,
            held: VecDeque::new(),
            old: VecDeque::new(),
            unknown: 0,
        }
    }

    /// It has what its request for a session came to.
    pub fn opened(&mut self, generation: Option<Generation>, result: &Result<Done, Refusal>) {
        self.opening = None;
        if let (Some(generation), Ok(done)) = (generation, result) {
            self.forget();
            (self.session, self.next) = (Some((generation, done.version)), 1);
        }
    }

    /// What was held belongs to the past.
    fn forget(&mut self) {
        self.old.extend(self.held.drain(..));
        while self.old.len() > OLD {
            self.old.pop_front();
        }
        (self.session, self.unknown) = (None, 0);
    }

    /// A request was answered.
    pub fn answered(&mut self, number: u64, result: &Result<Done, Refusal>) {
        self.unknown = if *result == Err(Refusal::UnknownOutcome) { self.unknown + 1 } else { 0 };
        if self.unknown > SILENCE {
            self.forget(); // the session has probably ended
        }
        if *result != Err(Refusal::UnknownOutcome)
            && *result != Err(Refusal::NoQuorum)
            && let Some(held) = self.held.iter_mut().find(|held| held.number == number)
        {
            held.done = true;
        }
    }

    /// A request was sent for the first time.
    pub fn asked(&mut self, number: u64, stamp: Stamp, now: u64) {
        self.next = stamp.seq + 1;
        self.held.push_back(Held { number, stamp, done: false, at: now });
    }

    /// The lowest request that it may still repeat.
    fn floor(&self) -> u64 {
        self.held.front().map_or(self.next, |held| held.stamp.seq)
    }

    /// What it does, at a node of this generation.
    pub fn next(&mut self, now: u64, generation: Generation, hurry: bool, random: &mut Random) -> Move {
        let Some((of, session)) = self.session else {
            return if self.opening.is_some() { Move::Wait } else { Move::Open };
        };
        if of != generation && random.chance(250) {
            self.forget();
            return Move::Wait;
        }
        // What was stamped in the past, asked again in the present: it must not be done again.
        let old = if of == generation { random.chance(60) } else { random.chance(500) };
        if old {
            let past = if of == generation { &self.old } else { &self.held };
            return match past.get(random.pick(past.len())) {
                Some(held) => Move::Repeat(held.number, held.stamp),
                None => Move::Wait,
            };
        }
        if of != generation {
            return Move::Wait;
        }
        if random.chance(300) {
            while self.held.front().is_some_and(|held| held.done || now.saturating_sub(held.at) > PATIENCE) {
                let Some(last) = self.held.pop_front() else { break };
                if random.chance(20) {
                    self.old.push_back(last); // below its floor from now on
                }
            }
        }
        let again = random.chance(350);
        if again && let Some(held) = self.held.get(random.pick(self.held.len())) {
            return Move::Repeat(held.number, Stamp { floor: self.floor(), ..held.stamp });
        }
        if self.held.len() >= HELD && !hurry {
            return Move::Wait;
        }
        Move::Ask(Stamp { generation, session, seq: self.next, floor: self.floor() })
    }
}
