//! The clients of the world: what waits for an answer, and what each of them remembers.
//!
//! ```text
//! Clients ─┬─ pending   (slot, ticket) ─▶ a write on its way      questions  the same for linearizable reads
//!          ├─ shown     the same of level Direct: answered when a replica shows them
//!          ├─ points    read points that are used a moment later
//!          ├─ stamped   clients that stamp and repeat what they ask       stamped.rs
//!          ├─ readers   carry a position from node to node
//!          ├─ watchers  follow the change feed, one for each node
//!          └─ declared  cache ─▶ the generation in which it is known to be
//! ```
//!
//! What they asked, and what they may be told, is with the checker ([`crate::checker::requests`]).

pub mod stamped;
pub mod traffic;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use rauthy_core::replica::Position;
use rauthy_core::{Generation, Incarnation, Index, ReadPoint, Request};

use crate::checker::reads::Before;
use stamped::Stamped;

/// Readers that carry a position.
const READERS: usize = 4;
/// Clients that stamp what they send.
const STAMPED: usize = 4;

/// A write that waits for its answer.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Number of the request.
    pub number: u64,
    /// The node must have answered by then, in the world's time.
    pub due: u64,
    /// When it was sent.
    pub at: u64,
}

/// A linearizable read that waits for its point.
#[derive(Clone, Debug)]
pub struct Question {
    /// Which cache.
    pub cache: &'static str,
    /// Which key.
    pub key: Bytes,
    /// When it was asked.
    pub at: u64,
    /// The node must have answered by then.
    pub due: u64,
    /// What had happened then.
    pub before: Before,
}

/// A read point that is used a moment later, on the node that it was given to.
#[derive(Clone, Debug)]
pub struct Later {
    /// When.
    pub at: u64,
    /// Where.
    pub slot: usize,
    /// Who got it.
    pub who: Incarnation,
    /// For what.
    pub question: Question,
    /// Itself.
    pub point: ReadPoint,
}

/// Somebody who follows the change feed.
#[derive(Clone, Debug, Default)]
pub struct Watcher {
    /// Up to where.
    pub position: Option<Position>,
    /// Where it got that from, if the node's store was whole.
    pub from: Option<Incarnation>,
}

/// The clients.
#[derive(Debug)]
pub struct Clients {
    next_ticket: u64,
    /// By slot and ticket: what has no answer yet.
    pub pending: BTreeMap<(usize, u64), Attempt>,
    /// (slot, ticket) of writes that were shown and answered before the node had them.
    pub shown: BTreeSet<(usize, u64)>,
    /// The same for reads.
    pub questions: BTreeMap<(usize, u64), Question>,
    /// In no order.
    pub points: Vec<Later>,
    /// Answers by kind: ok, unknown, no quorum, limit.
    pub answers: [u64; 4],
    /// Reads answered, and refused.
    pub reads: (u64, u64),
    /// Clients with sessions of their own.
    pub stamped: Vec<Stamped>,
    /// What each has seen.
    pub readers: Vec<Option<Position>>,
    /// By slot.
    pub watchers: Vec<Watcher>,
    /// A reader stands still in the middle of a read: nobody else does meanwhile.
    pub paused: bool,
    /// Links that were cut when they were last counted.
    pub cuts: usize,
    /// Until then All is asked for more often, in the world's time.
    pub pressed_until: u64,
    declared: BTreeMap<&'static str, Generation>,
    versions: BTreeMap<(&'static str, Bytes), Index>,
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            next_ticket: 0,
            pending: BTreeMap::new(),
            shown: BTreeSet::new(),
            questions: BTreeMap::new(),
            points: Vec::new(),
            answers: [0; 4],
            reads: (0, 0),
            stamped: (1..=STAMPED as u64).map(Stamped::new).collect(),
            readers: vec![None; READERS],
            watchers: Vec::new(),
            paused: false,
            cuts: 0,
            pressed_until: 0,
            declared: BTreeMap::new(),
            versions: BTreeMap::new(),
        }
    }
}

impl Clients {
    /// A ticket that was never given.
    pub fn ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    /// A process died: its clients will never hear.
    pub fn abandon(&mut self, slot: usize) {
        self.pending.retain(|(at, _), _| *at != slot);
        self.shown.retain(|(at, _)| *at != slot);
        self.questions.retain(|(at, _), _| *at != slot);
    }

    /// A cache is declared in this generation, as far as the clients know.
    #[must_use]
    pub fn knows(&self, cache: &str, generation: Option<Generation>) -> bool {
        generation.is_some() && self.declared.get(cache).copied() == generation
    }

    /// A declaration was acknowledged.
    pub fn declared(&mut self, request: &Request, generation: Generation) {
        if let Request::Declare { cache, .. } = request
            && let Some(cache) = traffic::cache(cache)
        {
            self.declared.insert(cache, generation);
        }
    }

    /// A key had this version.
    pub fn saw(&mut self, cache: &str, key: &Bytes, version: Index) {
        if let Some(cache) = traffic::cache(cache) {
            self.versions.insert((cache, key.clone()), version);
        }
    }

    /// The version that was last seen of a key.
    #[must_use]
    pub fn version(&self, cache: &'static str, key: &Bytes) -> Option<Index> {
        self.versions.get(&(cache, key.clone())).copied()
    }
}
