//! Rule 1: how a new incarnation gets the seat of its slot.
//!
//! ```text
//! gossip ─▶ learner (log or snapshot) ─▶ caught up, the old one silent for L ─▶ joint {old map, new map}
//!        ─▶ committed by quorums of both ─▶ {new map}
//! ```
//!
//! A swap in one step would be unsafe: the old incarnation's vote may still be in flight, and a quorum that counts
//! it could meet one that counts the new.

use std::sync::Arc;

use crate::config::Configuration;
use crate::log::Payload;
use crate::node::gossip::Peer;
use crate::node::leader::Progress;
use crate::node::{Life, Node};
use crate::testing::Mutant;
use crate::types::{Incarnation, Index};

impl Node {
    /// Looks after learners and seats; called by a leader on each tick.
    pub(super) fn tend_seats(&mut self) {
        let ready =
            self.bound_ref().is_some_and(|b| b.leader_ref().is_some_and(|l| b.commit >= l.first_index));
        if !ready {
            return;
        }
        self.adopt_learners();
        self.tend_snapshots();
        if let Some(configuration) = self.next_configuration() {
            self.append(Payload::Configuration(Arc::new(configuration)));
            let Life::Bound(bound) = &mut self.life else { return };
            let seated = bound.seated();
            let me = &self.outbox.me;
            let next = bound.log.last_index();
            if let Some(leader) = bound.leader() {
                for who in seated.into_iter().filter(|who| who != me) {
                    leader.progress.entry(who).or_insert_with(|| Progress::new(next));
                }
            }
        }
    }

    /// Every incarnation that lives in a slot whose seat another one holds is a learner; those that no longer live
    /// there are forgotten.
    fn adopt_learners(&mut self) {
        let Life::Bound(bound) = &self.life else { return };
        let Some(latest) = bound.latest() else { return };
        let generation = bound.generation;
        let leased = bound.leader_ref().is_some_and(|l| self.now < l.lease_end);
        let learns = |p: &&Peer| {
            // A leader without a lease may be the last of its generation: it binds nobody who is free.
            ((p.free && leased) || p.generation == Some(generation))
                && (latest.has(&p.who.slot) || self.is_announced(latest, &p.who.slot))
                && !bound.has_seat(&p.who)
        };
        let new: Vec<Incarnation> = self
            .reachable()
            .filter(learns)
            .filter(|p| bound.leader_ref().is_some_and(|l| !l.progress.contains_key(&p.who)))
            .map(|p| p.who.clone())
            .collect();
        let (now, lease) = (self.now, self.settings.lease);
        let gone: Vec<Incarnation> = bound
            .leader_ref()
            .into_iter()
            .flat_map(|l| &l.progress)
            .filter(|(who, p)| {
                // A learner that is busy with a snapshot may be silent for a moment.
                let answers = p.answered_at.is_some_and(|at| now.since(at) < lease);
                !answers && !bound.has_seat(who) && !self.reachable().filter(learns).any(|p| p.who == **who)
            })
            .map(|(who, _)| who.clone())
            .collect();
        let Some(leader) = self.bound().and_then(|b| b.leader()) else { return };
        for who in gone {
            leader.progress.remove(&who);
        }
        for who in new {
            leader.progress.insert(who, Progress::new(1));
        }
    }

    /// The configuration that should follow the one in force, if any: one change at a time.
    fn next_configuration(&mut self) -> Option<Configuration> {
        let bound = self.bound_ref()?;
        let leader = bound.leader_ref()?;
        if leader.renounced() || bound.configurations.len() != 1 {
            return None; // a change is under way
        }
        let (index, current) = bound.configurations.front()?;
        if *index > bound.commit {
            return None;
        }
        let current = current.clone();
        if let [_, new] = current.maps.as_slice() {
            return Some(Configuration { maps: vec![new.clone()], ..current.as_ref().clone() });
        }
        let next = self.next_of_size(&current);
        let handing_over = self.bound_ref()?.leader_ref()?.hands_over();
        if handing_over {
            return None;
        }
        next.or_else(|| self.next_seat(&current))
    }

    /// A seat changes hands: for a moment both maps count.
    fn next_seat(&self, current: &Configuration) -> Option<Configuration> {
        let bound = self.bound_ref()?;
        let leader = bound.leader_ref()?;
        let [seats] = current.maps.as_slice() else { return None };
        let newcomer = leader.progress.iter().find(|(who, p)| {
            !current.seats(who)
                && current.has(&who.slot)
                && self.caught_up(p, bound.commit)
                && seats.get(&who.slot).is_none_or(|old| self.silent(old))
        });
        let (who, _) = newcomer?;
        let mut new = seats.clone();
        new.insert(who.slot.clone(), who.clone());
        let one_step = self.settings.testing.lacks(Mutant::OneStepSwap);
        let maps = if one_step { vec![new] } else { vec![seats.clone(), new] };
        Some(Configuration { maps, ..current.clone() })
    }

    /// It holds what is committed, and has said so within L.
    pub(super) fn caught_up(&self, progress: &Progress, commit: Index) -> bool {
        let lease = self.settings.lease;
        // What is committed every moment, it need not have at this one: the joint configuration sees to the rest.
        let commit =
            self.bound_ref().and_then(|b| b.leader_ref()).map_or(commit, |l| l.commit_before.min(commit));
        progress.sending.is_none()
            && progress.matched >= commit
            && progress.answered_at.is_some_and(|at| self.now.since(at) < lease)
    }

    /// The old holder of a seat has not answered this leader within L, and the leader has listened for that long.
    fn silent(&self, old: &Incarnation) -> bool {
        let lease = self.settings.lease;
        let Some(leader) = self.bound_ref().and_then(|b| b.leader_ref()) else { return false };
        let answered = leader.progress.get(old).and_then(|p| p.answered_at);
        self.now.since(leader.since) >= lease && answered.is_none_or(|at| self.now.since(at) >= lease)
    }
}
