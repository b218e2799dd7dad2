//! The invariants of the protocol, numbered as in the contract, asserted after every step.

use std::collections::BTreeMap;
use std::sync::Arc;

use rauthy_core::log::{Entry, Payload};
use rauthy_core::message::{Body, Done};
use rauthy_core::{Found, Generation, Incarnation, Index, LogTime, Message, Node};

use crate::clients::{CACHE, DURABLE_KEYS, Op};

/// What one incarnation was last seen with.
#[derive(Clone, Debug, Default)]
struct Seen {
    generation: Option<Generation>,
    /// The only generation that it may ack or vote in.
    acted_in: Option<Generation>,
    term: u64,
    commit: Index,
    /// Last index that its log matched; kept after its death.
    held: Index,
}

/// What one generation has committed.
#[derive(Debug, Default)]
struct Life {
    /// Each with the term of the leader that committed it.
    entries: Vec<(Arc<Entry>, u64)>,
    /// The greatest term in which something was committed by its leader.
    term: u64,
    digests: BTreeMap<Index, u64>,
    /// By durable key: the greatest version acknowledged.
    acked: BTreeMap<u64, Index>,
    /// By version: when the write was acknowledged, in the world's time, and how long it may live.
    ends: BTreeMap<Index, u64>,
}

/// Watches a world.
#[derive(Debug, Default)]
pub struct Checker {
    seen: BTreeMap<Incarnation, Seen>,
    lives: BTreeMap<Generation, Life>,
    /// Generations in the order of their first commit.
    order: Vec<Generation>,
    leaders: BTreeMap<(Generation, u64), Incarnation>,
    steps: u64,
}

type Check = Result<(), String>;

fn ensure(holds: bool, message: impl FnOnce() -> String) -> Check {
    if holds { Ok(()) } else { Err(message()) }
}

impl Checker {
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

    /// Entries committed over all generations.
    #[must_use]
    pub fn committed(&self) -> usize {
        self.lives.values().map(|l| l.entries.len()).sum()
    }

    /// By durable key, the greatest version acknowledged in the newest generation.
    #[must_use]
    pub fn acked(&self) -> BTreeMap<u64, Index> {
        self.newest().and_then(|g| self.lives.get(&g)).map(|l| l.acked.clone()).unwrap_or_default()
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
        self.steps += 1;
        let me = node.me().clone();
        let Some(inside) = node.inside() else { return Ok(()) };
        let generation = inside.generation;
        let seen = self.seen.entry(me.clone()).or_default();
        // 9, and 6: nothing goes back within a life.
        let first = *seen.generation.get_or_insert(generation);
        ensure(first == generation, || format!("9: {me} moved from {first} to {generation}"))?;
        ensure(inside.term >= seen.term, || format!("6: the term of {me} went back to {}", inside.term))?;
        ensure(inside.commit >= seen.commit || inside.installing, || {
            format!("6: the commit index of {me} went back from {} to {}", seen.commit, inside.commit)
        })?;
        let before = seen.commit;
        seen.term = inside.term;
        seen.commit = inside.commit;
        seen.held = inside.log.last_index();
        // 15: bounded.
        ensure(inside.log.bytes() <= limit, || {
            format!("15: the log of {me} holds {} bytes", inside.log.bytes())
        })?;
        if inside.leads {
            // 1: one leader per term.
            let leader = self.leaders.entry((generation, inside.term)).or_insert_with(|| me.clone());
            ensure(*leader == me, || format!("1: {leader} and {me} lead term {}", inside.term))?;
        }
        for index in before + 1..=inside.commit {
            if let Some(entry) = inside.log.get(index).cloned() {
                self.committed_by(node, &me, generation, entry)?;
            }
        }
        // 7: equal applied index, equal bytes. Looked at now and then: a digest reads everything.
        if self.steps.is_multiple_of(16) && !inside.installing && inside.commit > 0 {
            let applied = node.replica().store().applied();
            let digest = node.replica().store().digest();
            let life = self.lives.entry(generation).or_default();
            let first = *life.digests.entry(applied).or_insert(digest);
            ensure(first == digest || self.ahead(node), || {
                format!("7: {me} at index {applied} holds other bytes than another replica")
            })?;
        }
        Ok(())
    }

    /// A learner whose shards are ahead of the log that it still replays.
    fn ahead(&self, node: &Node) -> bool {
        let me = node.me();
        node.inside().is_some_and(|i| !i.configurations.iter().any(|c| c.seats(me)))
    }

    fn committed_by(
        &mut self,
        node: &Node,
        me: &Incarnation,
        generation: Generation,
        entry: Arc<Entry>,
    ) -> Check {
        let Some(inside) = node.inside() else { return Ok(()) };
        let index = entry.index;
        let newest = self.order.last().copied();
        let life = self.lives.entry(generation).or_default();
        let known = life.entries.len() as Index;
        if index <= known {
            // 2, 3, 4: a committed prefix never changes.
            let (was, _) = &life.entries[(index - 1) as usize];
            return ensure(*was == entry, || {
                format!("4: {me} committed {entry:?}, but {was:?} was committed there")
            });
        }
        ensure(index == known + 1, || format!("4: {me} committed {index} while {known} was the last"))?;
        // 14: the log's time never goes back.
        let last = life.entries.last().map_or(LogTime(0), |(e, _)| e.time);
        ensure(entry.time >= last, || format!("14: log time went back at {index}"))?;
        life.entries.push((entry, inside.term));
        life.term = life.term.max(inside.term);
        // 8: committing generations never alternate.
        if newest != Some(generation) {
            ensure(!self.order.contains(&generation), || {
                format!("8: {generation} committed again after {newest:?} had")
            })?;
            self.order.push(generation);
        }
        // 5: a quorum of every list and map holds it (or held it when it died).
        let held = |who: &Incarnation| {
            self.seen.get(who).is_some_and(|s| s.generation == Some(generation) && s.held >= index)
        };
        // The newest counts, as in Raft; the ones before it as long as the slots change.
        let newest = inside.configurations.last();
        let active =
            inside.configurations.iter().filter(|c| newest.is_some_and(|n| c.lists != n.lists || *c == n));
        ensure(newest.is_some() && active.into_iter().all(|c| c.quorum(&held)), || {
            format!("5: {me} committed {index}, which no quorum holds")
        })
    }

    /// 3: whoever leads holds everything that was committed in an earlier term.
    ///
    /// # Errors
    /// If it does not.
    pub fn leads(&mut self, node: &Node) -> Check {
        let Some(inside) = node.inside() else { return Ok(()) };
        let Some(life) = self.lives.get(&inside.generation) else { return Ok(()) };
        // A candidate of an older term may still win it late, and commits nothing any more.
        for (entry, term) in &life.entries {
            if *term < inside.term && entry.index > inside.log.base_index() {
                let own = inside.log.get(entry.index);
                ensure(own.is_some_and(|own| **own == **entry), || {
                    format!("3: {} leads without the committed entry {}", node.me(), entry.index)
                })?;
            }
        }
        Ok(())
    }

    /// 12: what was acknowledged with Quorum is what was committed.
    ///
    /// # Errors
    /// If something else is.
    pub fn acked_quorum(&mut self, now: u64, generation: Generation, op: &Op, done: Done) -> Check {
        let Some(life) = self.lives.get_mut(&generation) else {
            return Err(format!("12: a write was acknowledged in {generation}, which has committed nothing"));
        };
        let entry = life.entries.get((done.version.max(1) - 1) as usize);
        let stands = entry.is_some_and(|(e, _)| match (&e.payload, &op.value) {
            (Payload::Put { key, value, .. }, Some(wanted)) => {
                *key == Op::key_bytes(op.key) && value == wanted
            }
            (Payload::Delete { key, .. }, None) => *key == Op::key_bytes(op.key),
            _ => false,
        });
        ensure(stands, || format!("12: {op:?} was acknowledged as {}, which is {entry:?}", done.version))?;
        if op.key < DURABLE_KEYS {
            let newest = life.acked.entry(op.key).or_default();
            *newest = (*newest).max(done.version);
        }
        if let Some(ttl) = op.ttl {
            life.ends.insert(done.version, now + ttl.0);
        }
        Ok(())
    }

    /// 10, 13: a read under a lease.
    ///
    /// # Errors
    /// If a newer leader had committed, the value had ended, or a leader's own read missed what was acknowledged.
    pub fn read(&self, now: u64, node: &Node, key: u64, found: &Found) -> Check {
        let me = node.me();
        ensure(self.newest() == Some(found.generation), || {
            format!(
                "10: {me} was read under {}, but {:?} has committed since",
                found.generation,
                self.newest()
            )
        })?;
        let Some(life) = self.lives.get(&found.generation) else { return Ok(()) };
        ensure(found.term >= life.term, || {
            format!(
                "10: {me} was read under a lease of term {}, but term {} has committed",
                found.term, life.term
            )
        })?;
        if let Some((_, version)) = &found.value
            && let Some(end) = life.ends.get(version)
        {
            // The log's clock may be slow by a hundredth.
            ensure(now <= end + end / 50 + 1000, || {
                format!("13: {me} returned a value that ended at {end}")
            })?;
        }
        let leads = node.inside().is_some_and(|i| i.leads && i.term == found.term);
        if leads && key < DURABLE_KEYS {
            let acked = life.acked.get(&key).copied().unwrap_or(0);
            let version = found.value.as_ref().map_or(0, |(_, v)| *v);
            ensure(version >= acked, || {
                format!("12: the leader returned version {version}, {acked} was acknowledged")
            })?;
        }
        Ok(())
    }

    /// 12, after healing: every durable value that was acknowledged in the newest generation is there.
    ///
    /// # Errors
    /// If one is lost.
    pub fn nothing_lost(&self, node: &Node) -> Check {
        for (key, version) in self.acked() {
            let found = node.replica().store().get(CACHE, &Op::key_bytes(key)).map_or(0, |v| v.version);
            ensure(found >= version, || {
                format!("12: {} holds version {found} of key {key}, {version} was acknowledged", node.me())
            })?;
        }
        Ok(())
    }
}
