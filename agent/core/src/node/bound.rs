//! What an incarnation holds once it is bound to a generation: term, vote, log, configurations.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use crate::api::Event;
use crate::config::Configuration;
use crate::log::{Entry, Log, Payload};
use crate::node::leader::Leader;
use crate::node::replication::lingering_deadline;
use crate::node::snapshot::Install;
use crate::node::{Life, Node};
use crate::replica::Lease;
use crate::testing::{Mutant, Testing};
use crate::types::{Epoch, Generation, Incarnation, Index, LogTime, Span, Term, Time};

/// Entries whose keys are looked up together before they are applied.
const TOGETHER: Index = 32;

#[derive(Debug)]
pub(super) struct Bound {
    pub(super) generation: Generation,
    pub(super) founding_epoch: Epoch,
    /// It has learned that something is committed in the generation (rule 3b, rule 8).
    pub(super) active: bool,
    pub(super) bound_at: Time,
    pub(super) term: Term,
    pub(super) voted_for: Option<Incarnation>,
    pub(super) log: Log,
    pub(super) commit: Index,
    /// The configuration in force at the commit index, and every later one of the log.
    pub(super) configurations: VecDeque<(Index, Arc<Configuration>)>,
    pub(super) part: Part,
    /// Rule 6: when it last acked an Append; it neither votes nor campaigns until L later.
    pub(super) acked_at: Option<Time>,
    /// Rule 8: when it last had a sign of a leader of its generation.
    pub(super) leader_sign_at: Time,
    /// Rule 6: the end of the longest lease that it ever computed as a leader.
    pub(super) own_lease_end: Time,
    /// What is known of the log's time (rule 10).
    pub(super) echo: Option<Echo>,
    /// A read lease that requires more than is applied yet.
    pub(super) lease_to_come: Option<Lease>,
    /// It confirmed a revocation in this term: no grant of it counts any more.
    pub(super) revoked_in: Option<Term>,
    pub(super) install: Option<Install>,
    pub(super) was_seated: bool,
    /// Leases are believed only if they were asked for after this (rule 7: a clock jumped).
    pub(super) leases_after: Time,
    testing: Testing,
}

/// At `at` by the node's own clock the log's time was not beyond `log_time`, says the leader of this term (rule 10).
#[derive(Clone, Copy, Debug)]
pub(super) struct Echo {
    pub(super) term: Term,
    pub(super) log_time: LogTime,
    pub(super) at: Time,
}

impl Echo {
    /// What the log's time is at `now`, at the latest.
    pub(super) fn latest(&self, now: Time) -> LogTime {
        self.log_time + now.since(self.at).stretched()
    }
}

#[derive(Debug)]
pub(super) enum Part {
    Follower(Follower),
    Candidate(Candidate),
    Leader(Box<Leader>),
}

#[derive(Debug, Default)]
pub(super) struct Follower {
    pub(super) leader: Option<Incarnation>,
    pub(super) election_at: Option<Time>,
    /// The stream to the leader broke, and it has not been heard since: nothing is forwarded to it.
    pub(super) out_of_reach: bool,
}

#[derive(Debug)]
pub(super) struct Candidate {
    /// Still asking whether it should campaign (PreVote).
    pub(super) pre: bool,
    pub(super) votes: BTreeSet<Incarnation>,
    pub(super) retry_at: Time,
}

impl Bound {
    pub(super) fn new(
        generation: Generation,
        term: Term,
        founding_epoch: Epoch,
        now: Time,
        testing: Testing,
    ) -> Self {
        Self {
            generation,
            founding_epoch,
            active: false,
            bound_at: now,
            term,
            voted_for: None,
            log: Log::default(),
            commit: 0,
            configurations: VecDeque::new(),
            part: Part::Follower(Follower::default()),
            acked_at: None,
            leader_sign_at: now,
            own_lease_end: Time(0),
            echo: None,
            lease_to_come: None,
            revoked_in: None,
            install: None,
            was_seated: false,
            leases_after: Time(0),
            testing,
        }
    }

    /// The configuration that is newest in the log, committed or not.
    pub(super) fn latest(&self) -> Option<&Arc<Configuration>> {
        self.configurations.back().map(|(_, c)| c)
    }

    /// The one in force at the commit index.
    pub(super) fn committed(&self) -> Option<&Arc<Configuration>> {
        self.configurations.front().filter(|(index, _)| *index <= self.commit).map(|(_, c)| c)
    }

    /// The configurations that must agree to whatever is decided: the newest in the log, as in Raft, and those before
    /// it as long as the slot lists differ. Leaving two lists takes a quorum of both (rule 3d); leaving two maps does
    /// not, or an old map whose seats are dead would be needed by a node that has not heard that it was left.
    fn counting(&self) -> impl Iterator<Item = &Configuration> {
        let mut newer: Option<&Configuration> = None;
        let new_alone = self.testing.lacks(Mutant::LeaveByNewMajority);
        self.configurations.iter().rev().map(|(_, c)| c.as_ref()).take_while(move |c| {
            let counts = newer.is_none_or(|n| n.lists != c.lists && !new_alone);
            newer = Some(c);
            counts
        })
    }

    /// Whether all configurations that count agree.
    pub(super) fn quorum(&self, yes: impl Fn(&Incarnation) -> bool) -> bool {
        let present = self.testing.lacks(Mutant::QuorumOfPresentSeats);
        !self.configurations.is_empty()
            && self.counting().all(|c| if present { c.present().quorum(&yes) } else { c.quorum(&yes) })
    }

    /// No change of seats or slots is under way: one configuration counts, it has one list and one map, and it is
    /// committed.
    pub(super) fn settled(&self) -> bool {
        self.configurations.len() == 1 && self.committed().is_some_and(|c| c.settled())
    }

    /// It holds a seat, and no change of seats or slots is under way: the loss of any minority is survived.
    pub(super) fn settled_with(&self, who: &Incarnation) -> bool {
        self.settled() && self.committed().is_some_and(|c| c.seats(who))
    }

    /// What a quorum of all configurations that count has reached.
    pub(super) fn reached<T: Ord + Copy + Default>(&self, of: impl Fn(&Incarnation) -> T) -> T {
        let present = self.testing.lacks(Mutant::QuorumOfPresentSeats);
        let reached = |c: &Configuration| if present { c.present().reached(&of) } else { c.reached(&of) };
        self.counting().map(reached).min().unwrap_or_default()
    }

    /// It has a seat in any of them.
    pub(super) fn has_seat(&self, who: &Incarnation) -> bool {
        self.configurations.iter().any(|(_, c)| c.seats(who))
    }

    /// Everybody with a seat in any of them, once.
    pub(super) fn seated(&self) -> BTreeSet<Incarnation> {
        self.configurations.iter().flat_map(|(_, c)| c.seated()).collect()
    }

    pub(super) fn leader(&mut self) -> Option<&mut Leader> {
        match &mut self.part {
            Part::Leader(leader) => Some(leader),
            _ => None,
        }
    }

    pub(super) fn leader_ref(&self) -> Option<&Leader> {
        match &self.part {
            Part::Leader(leader) => Some(leader),
            _ => None,
        }
    }

    /// Appends to the log; a configuration counts from here on.
    pub(super) fn push(&mut self, entry: Arc<Entry>) {
        if let Payload::Configuration(c) = &entry.payload {
            self.configurations.push_back((entry.index, c.clone()));
        }
        self.log.push(entry);
    }

    /// Drops what follows `index`; never anything committed.
    pub(super) fn truncate(&mut self, index: Index) {
        let index = index.max(self.commit);
        self.log.truncate(index);
        while self.configurations.back().is_some_and(|(at, _)| *at > index) {
            self.configurations.pop_back();
        }
    }
}

impl Node {
    pub(super) fn is_leader(&self) -> bool {
        matches!(&self.life, Life::Bound(b) if matches!(b.part, Part::Leader(_)))
    }

    pub(super) fn bound(&mut self) -> Option<&mut Bound> {
        match &mut self.life {
            Life::Bound(bound) => Some(bound),
            Life::Free(_) => None,
        }
    }

    pub(super) fn bound_ref(&self) -> Option<&Bound> {
        match &self.life {
            Life::Bound(bound) => Some(bound),
            Life::Free(_) => None,
        }
    }

    pub(super) fn bound_deadline(&self, bound: &Bound) -> Time {
        let part = match &bound.part {
            Part::Follower(f) => f.election_at.unwrap_or(Time(u64::MAX)),
            Part::Candidate(c) => c.retry_at,
            Part::Leader(l) => l.next_heartbeat.min(Self::acks_deadline(l)).min(lingering_deadline(l)),
        };
        let own = if self.own.is_empty() { Time(u64::MAX) } else { self.own.check_at };
        part.min(self.invalidation(bound)).min(own).max(self.now + Span(1000))
    }

    /// Moves the commit index and applies what it covers.
    pub(super) fn commit_to(&mut self, index: Index) {
        let me = self.outbox.me.clone();
        let mut seen = 0;
        loop {
            let Life::Bound(bound) = &mut self.life else { return };
            if bound.commit >= index {
                break;
            }
            if bound.commit >= seen && bound.commit + 1 < index {
                seen = index.min(bound.commit + TOGETHER);
                self.replica.store().look_ahead(bound.log.range(bound.commit, seen));
            }
            let Some(entry) = bound.log.get(bound.commit + 1).cloned() else { break };
            bound.commit = entry.index;
            bound.active = true;
            let done = self.replica.apply(&entry);
            if let Payload::Configuration(configuration) = &entry.payload {
                while bound.configurations.get(1).is_some_and(|(at, _)| *at <= entry.index) {
                    bound.configurations.pop_front();
                }
                bound.was_seated |= configuration.seats(&me);
                self.outbox
                    .event(Event::Configured { index: entry.index, configuration: configuration.clone() });
            }
            if self.is_leader() {
                self.committed(&entry, &done);
            }
        }
        self.release_reads();
        let Life::Bound(bound) = &mut self.life else { return };
        let unseated =
            bound.was_seated && bound.committed().is_some_and(|c| !c.seats(&me)) && !bound.has_seat(&me);
        if unseated {
            self.wipe("its seat was given to another incarnation");
        }
    }

    pub(super) fn compact(&mut self) {
        let (now, ring) = (self.now, self.settings.ring_bytes);
        let patience = self.settings.lease.times(5);
        let Life::Bound(bound) = &mut self.life else { return };
        let keep = bound
            .leader_ref()
            .map_or(bound.commit, |l| l.keep_log_after(bound.commit, &bound.configurations, now, patience));
        bound.log.compact(ring, keep);
    }
}
