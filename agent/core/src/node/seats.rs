//! Rule 1: how a new incarnation gets the seat of its slot.
//!
//! ```text
//! gossip ─▶ learner (log or snapshot) ─▶ caught up, the old one silent for L ─▶ joint {old map, new map}
//!        ─▶ committed by quorums of both ─▶ {new map}
//! ```
//!
//! A swap in one step would be unsafe: the old incarnation's vote may still be in flight, and a quorum that counts
//! it could meet one that counts the new.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::Configuration;
use crate::log::Payload;
use crate::node::leader::Progress;
use crate::node::{Life, Node};
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
        let Some(latest) = bound.latest().cloned() else { return };
        let seated = bound.seated();
        let generation = bound.generation;
        let slots = latest.slots();
        let leased = bound.leader_ref().is_some_and(|l| self.now < l.lease_end);
        let learners: BTreeMap<Incarnation, ()> = self
            .reachable()
            // A leader without a lease may be the last of its generation: it binds nobody who is free.
            .filter(|p| (p.free && leased) || p.generation == Some(generation))
            .filter(|p| slots.contains(&p.who.slot) && !seated.contains(&p.who))
            .map(|p| (p.who.clone(), ()))
            .collect();
        let now = self.now;
        let lease = self.settings.lease;
        let Some(leader) = self.bound().and_then(|b| b.leader()) else { return };
        leader.progress.retain(|who, p| {
            // A learner that is busy with a snapshot may be silent for a moment.
            let answers = p.answered_at.is_some_and(|at| now.since(at) < lease);
            seated.contains(who) || learners.contains_key(who) || answers
        });
        for who in learners.into_keys() {
            leader.progress.entry(who).or_insert_with(|| Progress::new(1));
        }
    }

    /// The configuration that should follow the one in force, if any: one change at a time.
    fn next_configuration(&self) -> Option<Configuration> {
        let bound = self.bound_ref()?;
        let leader = bound.leader_ref()?;
        if leader.renounced() || bound.configurations.len() != 1 {
            return None; // a change is under way
        }
        let (index, current) = bound.configurations.front()?;
        if *index > bound.commit {
            return None;
        }
        if let [_, new] = current.maps.as_slice() {
            return Some(Configuration { lists: current.lists.clone(), maps: vec![new.clone()] });
        }
        let [seats] = current.maps.as_slice() else { return None };
        let newcomer = leader.progress.iter().find(|(who, p)| {
            !current.seats(who)
                && current.slots().contains(&who.slot)
                && self.caught_up(p, bound.commit)
                && seats.get(&who.slot).is_none_or(|old| self.silent(old))
        });
        let (who, _) = newcomer?;
        let mut new = seats.clone();
        new.insert(who.slot.clone(), who.clone());
        Some(Configuration { lists: current.lists.clone(), maps: vec![seats.clone(), new] })
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
