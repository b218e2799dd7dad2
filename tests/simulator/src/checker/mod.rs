//! The invariants of the protocol, numbered as in the contract, asserted after every step.
//!
//! ```text
//! Checker ─┬─ seen      incarnation ─▶ what it was last seen with            (6, 9)
//!          ├─ lives     generation ─▶ Life: its committed log, what that means (model), digests, acknowledgements
//!          ├─ order     generations in the order of their first commit       (8)
//!          ├─ leaders   (generation, term) ─▶ incarnation                     (1)
//!          └─ requests  everything that clients asked, and what became of it  (12, 16)
//! ```
//!
//! * `mod`: what one node shows after its step: 1, 6, 7, 9 · [`committed`]: the log: 2–5, 8, 14, 16
//! * [`answers`]: what writers are told: 12, 16, levels · [`reads`]: what readers are told: 10–13 · [`bounds`]: 15
//! * [`feed`]: the change feed · [`history`]: linearizability · [`model`], [`clock`], [`requests`]: what they judge by

pub mod answers;
pub mod bounds;
pub mod clock;
pub mod committed;
pub mod feed;
pub mod history;
pub mod model;
pub mod reads;
pub mod requests;

use std::collections::BTreeMap;
use std::sync::Arc;

use rauthy_core::log::{Entry, Op, Payload};
use rauthy_core::message::Body;
use rauthy_core::node::Inside;
use rauthy_core::store::Change;
use rauthy_core::{Done, Generation, Incarnation, Index, Message, Node, Term};

use clock::LogClock;
use history::Recorded;
use model::Model;
use requests::Requests;

/// What one incarnation was last seen with.
#[derive(Clone, Debug, Default)]
struct Seen {
    generation: Option<Generation>,
    /// The only generation that it may ack or vote in.
    acted_in: Option<Generation>,
    term: Term,
    commit: Index,
    /// Last index that its log matched; kept after its death.
    held: Index,
    installing: bool,
    /// Parts of its store may be ahead of its commit index up to here (rule 11).
    whole_from: Index,
}

/// An entry that is committed.
#[derive(Debug)]
struct Committed {
    entry: Arc<Entry>,
    /// The term of the leader that committed it.
    by: Term,
    /// What the model says that came of it.
    done: Done,
    change: Option<Change>,
    /// The request that was answered with it.
    answers: Option<u64>,
}

/// What one generation has committed.
#[derive(Debug, Default)]
struct Life {
    entries: Vec<Committed>,
    model: Model,
    clock: LogClock,
    /// When its first entry was committed, in the world's time.
    began: u64,
    /// The greatest term in which something was committed by its leader.
    term: Term,
    /// By applied index.
    digests: Vec<Option<u64>>,
    /// The greatest index whose result somebody was told.
    acked: Index,
    /// The same at level All.
    acked_all: Index,
    /// Slots of the longest list of any of its configurations.
    widest: usize,
    /// Answers that came before anybody was seen to have committed the entry.
    owed: Vec<(u64, Done)>,
    /// Bytes that each value takes beside its own, once that is known.
    fixed: Option<u64>,
}

/// Watches a world.
#[derive(Debug, Default)]
pub struct Checker {
    /// Everything that clients asked.
    pub requests: Requests,
    /// What they read with Linearizable.
    pub recorded: Recorded,
    now: u64,
    drift_beyond: bool,
    seen: BTreeMap<Incarnation, Seen>,
    lives: BTreeMap<Generation, Life>,
    order: Vec<Generation>,
    leaders: BTreeMap<(Generation, Term), Incarnation>,
}

/// A check's result; what does not hold, in words.
pub type Check = Result<(), String>;

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(message()) }
}

impl Life {
    fn last(&self) -> Index {
        self.entries.len() as Index
    }

    /// The last entries that concern a cache, for people.
    fn story(&self, cache: &str) -> String {
        let concerns = |committed: &&Committed| match &committed.entry.payload {
            Payload::Write { op: Op::Clear { cache: c } | Op::Declare { cache: c, .. }, .. }
            | Payload::Remove { cache: c, .. } => **c == *cache,
            Payload::Write { op, .. } => op.key().is_some_and(|(c, _)| **c == *cache),
            _ => false,
        };
        let last: Vec<&Committed> = self.entries.iter().rev().filter(concerns).take(20).collect();
        let line = |c: &&Committed| format!("\n    {:?} ─▶ {:?} {:?}", c.entry, c.done, c.change);
        last.iter().rev().map(line).collect()
    }

    fn get(&self, index: Index) -> Option<&Committed> {
        self.entries.get(usize::try_from(index.checked_sub(1)?).ok()?)
    }
}

impl Checker {
    /// What time it is in the world, and whether its clocks run beyond what the protocol assumes: then the time parts of
    /// 10, 11 and 13 are not asserted.
    pub fn at(&mut self, now: u64, drift_beyond: bool) {
        (self.now, self.drift_beyond) = (now, drift_beyond);
    }

    /// Generations that have committed something.
    #[must_use]
    pub fn generations(&self) -> usize {
        self.order.len()
    }

    /// The generation that committed last.
    #[must_use]
    pub fn newest(&self) -> Option<Generation> {
        self.order.last().copied()
    }

    /// Its place among the generations that have committed something.
    #[must_use]
    pub fn rank(&self, generation: Generation) -> Option<usize> {
        self.order.iter().rposition(|g| *g == generation)
    }

    /// Entries committed over all generations.
    #[must_use]
    pub fn committed(&self) -> usize {
        self.lives.values().map(|l| l.entries.len()).sum()
    }

    /// 9: an incarnation acks or votes in at most one generation.
    ///
    /// # Errors
    /// If it does in a second one.
    pub fn sent(&mut self, message: &Message) -> Check {
        let binds = match &message.body {
            Body::AppendReply(_) | Body::SnapshotReply(_) => true,
            Body::VoteReply(reply) => reply.granted,
            _ => false,
        };
        let Some(generation) = message.generation.filter(|_| binds) else { return Ok(()) };
        let seen = self.seen.entry(message.from.clone()).or_default();
        let first = *seen.acted_in.get_or_insert(generation);
        ensure(first == generation, || format!("9: {} acted in {first} and in {generation}", message.from))
    }

    /// After a node's step.
    ///
    /// # Errors
    /// If an invariant does not hold.
    pub fn after_step(&mut self, node: &Node, limit: usize) -> Check {
        let Some(inside) = node.inside() else { return Ok(()) };
        let me = node.me();
        let generation = inside.generation;
        let committed = self.lives.get(&generation).map_or(0, Life::last);
        let seen = match self.seen.get_mut(me) {
            Some(seen) => seen,
            None => self.seen.entry(me.clone()).or_default(),
        };
        // 9, and 6: nothing goes back within a life.
        let first = *seen.generation.get_or_insert(generation);
        ensure(first == generation, || format!("9: {me} moved from {first} to {generation}"))?;
        ensure(inside.term >= seen.term, || format!("6: the term of {me} went back to {}", inside.term))?;
        ensure(inside.commit >= seen.commit || inside.installing, || {
            format!("6: the commit index of {me} went back from {} to {}", seen.commit, inside.commit)
        })?;
        let (before, held) = (seen.commit, seen.held);
        seen.term = inside.term;
        seen.commit = inside.commit;
        seen.held = inside.log.last_index();
        if inside.installing || seen.installing {
            seen.whole_from = committed;
        }
        seen.installing = inside.installing;
        let whole = !inside.installing && inside.commit >= seen.whole_from;
        // 15: bounded.
        ensure(inside.log.bytes() <= limit, || {
            format!("15: the log of {me} holds {} bytes", inside.log.bytes())
        })?;
        if inside.leads {
            self.leading(me, &inside, held)?;
        }
        for index in before + 1..=inside.commit {
            if let Some(entry) = inside.log.get(index).cloned() {
                self.commits(me, &inside, entry, held)?;
            }
        }
        if inside.commit > before && whole {
            self.same_bytes(node, &inside)?;
            self.bounded(node, &inside)?;
        }
        Ok(())
    }

    /// 1: one leader per term. What it appended is noted.
    fn leading(&mut self, me: &Incarnation, inside: &Inside<'_>, held: Index) -> Check {
        let (generation, term) = (inside.generation, inside.term);
        let leader = self.leaders.entry((generation, term)).or_insert_with(|| me.clone());
        ensure(*leader == *me, || format!("1: {leader} and {me} lead term {term}"))?;
        let last = inside.log.last_index();
        if last <= held {
            return Ok(());
        }
        for index in held + 1..=last {
            let Some(entry) = inside.log.get(index).filter(|entry| entry.term == term) else { continue };
            let number = self.requests.of(generation, &entry.payload);
            if let Some(asked) = number.and_then(|number| self.requests.get_mut(number)) {
                asked.appended.push((term, index));
            }
        }
        if inside.log.last_term() == term {
            let clock = &mut self.lives.entry(generation).or_default().clock;
            clock.appended(term, inside.log.last_time(), self.now);
        }
        Ok(())
    }

    /// 7: equal applied index, equal bytes.
    fn same_bytes(&mut self, node: &Node, inside: &Inside<'_>) -> Check {
        let store = node.replica().store().digest();
        let Some(life) = self.lives.get_mut(&inside.generation) else { return Ok(()) };
        let at = usize::try_from(inside.commit).unwrap_or(usize::MAX);
        if at >= life.digests.len() {
            life.digests.resize(at + 1, None);
        }
        let first = *life.digests[at].get_or_insert(store);
        ensure(first == store, || {
            format!("7: {} at index {at} holds other bytes than another replica", node.me())
        })
    }
}
