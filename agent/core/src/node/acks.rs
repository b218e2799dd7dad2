//! Ack levels: one log, only the time of the reply differs.
//!
//! ```text
//! Leader  at once            Once  one more voter holds it        Quorum  committed and applied here
//! All     committed, and whoever was lent a lease before has applied it, or that lease has ended
//! ```
//!
//! While seats or slots change (more than one list or map counts, or the entry that leaves them is not committed), Once
//! is as Quorum: one more voter of a list that is being left would be no promise.

use std::collections::{BTreeMap, VecDeque};

use crate::log::Entry;
use crate::node::bound::{Bound, Part};
use crate::node::writes::Waiting;
use crate::node::{Life, Node};
use crate::request::{AckLevel, Done, Effect};
use crate::testing::Mutant;
use crate::types::{Incarnation, Index, Time};

/// Who waits for what at a leader.
#[derive(Debug, Default)]
pub(super) struct Acks {
    /// In the order of the log: for the commit.
    commit: VecDeque<(Index, Waiting, bool)>,
    /// In the order of the log: for one more voter.
    once: VecDeque<(Index, Waiting)>,
    /// Committed: for those who could still read what was there before.
    all: Vec<All>,
    /// On this leader's clock: any lease lent to it has ended by then. Kept for those that have lost their seat, too.
    pub(super) lent: BTreeMap<Incarnation, Time>,
}

#[derive(Debug)]
struct All {
    index: Index,
    waiting: Waiting,
    done: Done,
    holders: BTreeMap<Incarnation, Time>,
}

impl Acks {
    /// A lease was lent that ends no later than this.
    pub(super) fn lend(&mut self, to: &Incarnation, end: Time) {
        match self.lent.get_mut(to) {
            Some(until) => *until = end.max(*until),
            None => {
                self.lent.insert(to.clone(), end);
            }
        }
    }

    /// Holders of leases that may still stand.
    pub(super) fn holders(&self, now: Time) -> BTreeMap<Incarnation, Time> {
        self.lent.iter().filter(|(_, end)| **end > now).map(|(who, end)| (who.clone(), *end)).collect()
    }

    /// Somebody waits until others have applied what is committed.
    pub(super) fn waits_for_all(&self) -> bool {
        !self.all.is_empty()
    }

    /// Everybody who waits, in no particular state.
    pub(super) fn take_all(&mut self) -> Vec<Waiting> {
        let commit = std::mem::take(&mut self.commit).into_iter().map(|(_, waiting, _)| waiting);
        let once = std::mem::take(&mut self.once).into_iter().map(|(_, waiting)| waiting);
        let all = std::mem::take(&mut self.all).into_iter().map(|all| all.waiting);
        commit.chain(once).chain(all).collect()
    }
}

impl Node {
    /// A write is in the log at `index`; who waits is answered when its level is reached.
    pub(super) fn wait_for(&mut self, index: Index, waiting: Waiting, level: AckLevel) {
        let accepted = Done { version: index, effect: Effect::Accepted };
        let Life::Bound(bound) = &mut self.life else { return };
        let settled = bound.settled();
        let Some(leader) = bound.leader() else { return };
        match level {
            AckLevel::Direct | AckLevel::Leader => self.answer(waiting, Ok(accepted)),
            AckLevel::Once if settled => leader.acks.once.push_back((index, waiting)),
            AckLevel::Once | AckLevel::Quorum => leader.acks.commit.push_back((index, waiting, false)),
            AckLevel::All => leader.acks.commit.push_back((index, waiting, true)),
        }
    }

    /// A request that was applied before came again.
    pub(super) fn answer_again(&mut self, waiting: Waiting, done: Done, level: AckLevel) {
        if level == AckLevel::All {
            return self.wait_for_all(waiting, done);
        }
        self.answer(waiting, Ok(done));
    }

    /// An entry is committed and applied at this leader.
    pub(super) fn committed(&mut self, entry: &Entry, done: &Done) {
        let Life::Bound(bound) = &mut self.life else { return };
        let Some(leader) = bound.leader() else { return };
        leader.pending_bytes = leader.pending_bytes.saturating_sub(entry.size());
        leader.room.applied(&entry.payload);
        if leader.acks.commit.front().is_none_or(|(index, ..)| *index != entry.index) {
            return;
        }
        if let Some((_, waiting, all)) = leader.acks.commit.pop_front() {
            if all {
                self.wait_for_all(waiting, done.clone());
            } else {
                self.answer(waiting, Ok(done.clone()));
            }
        }
    }

    /// Whoever holds a lease that was lent before this moment may read without what was just applied here.
    fn wait_for_all(&mut self, waiting: Waiting, done: Done) {
        let now = self.now;
        let seated_only = self.settings.testing.lacks(Mutant::AllCountsPresentSeats);
        let Life::Bound(bound) = &mut self.life else { return };
        let (index, seated) = (bound.commit, bound.seated());
        let Some(leader) = bound.leader() else { return };
        let mut holders = leader.acks.holders(now);
        if seated_only {
            holders.retain(|who, _| seated.contains(who));
        }
        leader.acks.all.push(All { index, waiting, done, holders });
        self.dirty = true;
    }

    /// Answers what has reached its level; called by a leader on each tick.
    pub(super) fn tend_acks(&mut self) {
        let now = self.now;
        let me = self.outbox.me.clone();
        let Life::Bound(bound) = &mut self.life else { return };
        let commit = bound.commit;
        let settled = bound.settled();
        let Bound { configurations, part, .. } = &mut **bound;
        let Part::Leader(leader) = part else { return };
        leader.acks.lent.retain(|_, end| *end > now);
        let progress = &leader.progress;
        let voter = |who: &Incarnation| configurations.iter().any(|(_, c)| c.seats(who));
        let held = progress.iter().filter(|(who, _)| **who != me && voter(who));
        let held = if settled { held.map(|(_, p)| p.matched).max().unwrap_or(0) } else { 0 };
        let held = held.max(commit);
        let mut once = Vec::new();
        while leader.acks.once.front().is_some_and(|(index, _)| *index <= held) {
            once.extend(leader.acks.once.pop_front());
        }
        for all in &mut leader.acks.all {
            let applied = |who: &Incarnation| progress.get(who).is_some_and(|p| p.applied >= all.index);
            all.holders.retain(|who, end| *end > now && !applied(who));
        }
        let (ready, rest): (Vec<_>, Vec<_>) =
            std::mem::take(&mut leader.acks.all).into_iter().partition(|all| all.holders.is_empty());
        leader.acks.all = rest;
        for (index, waiting) in once {
            self.answer(waiting, Ok(Done { version: index, effect: Effect::Accepted }));
        }
        for all in ready {
            self.answer(all.waiting, Ok(all.done));
        }
    }

    /// This leader can answer nobody any more. Its own clients' writes are handed to the next leader; the others' nodes do
    /// the same with theirs.
    pub(super) fn let_go_of_waiting(&mut self) {
        let Some(leader) = self.bound().and_then(Bound::leader) else { return };
        let mut waiting = leader.acks.take_all();
        waiting.extend(std::mem::take(&mut leader.parked).into_iter().map(|parked| parked.waiting));
        let reads = std::mem::take(&mut leader.reads);
        for waiting in waiting {
            if let Waiting::Remote { who, id } = waiting {
                self.refuse_forward(&who, id);
            }
        }
        for read in reads {
            self.answer_read(read.waiting, None);
        }
        self.take_back_own();
    }

    /// When the next lease ends that somebody waits for.
    pub(super) fn acks_deadline(leader: &super::leader::Leader) -> Time {
        let ends = leader.acks.all.iter().filter_map(|all| all.holders.values().min());
        ends.min().copied().unwrap_or(Time(u64::MAX))
    }
}
