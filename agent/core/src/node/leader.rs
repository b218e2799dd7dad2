//! A leader: what it knows of everybody, acks, commit, CheckQuorum. What it sends stands in `replication.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::api::Event;
use crate::api::SizeChange;
use crate::config::Configuration;
use crate::log::{Entry, Op, Payload};
use crate::message::{AppendReply, Body, Revoke};
use crate::node::acks::Acks;
use crate::node::bound::{Echo, Follower, Part};
use crate::node::handover::HandOver;
use crate::node::reads::Asked;
use crate::node::room::Room;
use crate::node::sessions::Sessions;
use crate::node::snapshot::Sending;
use crate::node::writes::Parked;
use crate::node::{Life, Node};
use crate::testing::Mutant;
use crate::types::{Incarnation, Index, LogTime, Span, Term, Time};

#[derive(Debug)]
pub(super) struct Leader {
    /// Its first entry: nothing is served before it is committed.
    pub(super) first_index: Index,
    /// When it began to lead.
    pub(super) since: Time,
    pub(super) progress: BTreeMap<Incarnation, Progress>,
    pub(super) next_heartbeat: Time,
    pub(super) lease_end: Time,
    /// The newest send time that a quorum has acked (CheckQuorum, rule 8).
    pub(super) quorum_acked_at: Time,
    /// Seen in a refusal: it lets its lease end and then steps down (rule 6).
    pub(super) higher_term: Option<Term>,
    pub(super) hand_over: Option<HandOver>,
    pub(super) acks: Acks,
    pub(super) reads: VecDeque<Asked>,
    /// Writes that came before its first entry was committed.
    pub(super) parked: Vec<Parked>,
    /// When it last sent to everybody.
    pub(super) round_at: Time,
    pub(super) sessions: Sessions,
    pub(super) room: Room,
    /// The change of size that the operator wants.
    pub(super) wanted: Option<SizeChange>,
    /// Bytes appended and not yet committed.
    pub(super) pending_bytes: usize,
    log_time: (LogTime, Time),
    pub(super) next_snapshot: u64,
    /// The commit index two heartbeats ago at the latest.
    pub(super) commit_before: Index,
    commit_at_heartbeat: Index,
}

/// What a leader knows of one incarnation.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) matched: Index,
    /// The next entry to send.
    pub(super) next: Index,
    /// (last index, bytes) of what is on its way.
    inflight: Vec<(Index, usize)>,
    /// Waits for an answer before it sends entries again.
    pub(super) probing: bool,
    /// Refusals of what was sent before are about the same gap.
    rewound_at: Time,
    /// Greatest send time that it acked.
    pub(super) acked_sent_at: Option<Time>,
    /// When it last answered, on this clock.
    pub(super) answered_at: Option<Time>,
    /// The newest clock value that it sent.
    pub(super) clock: Option<Time>,
    /// Commit index it was last told.
    pub(super) told_commit: Index,
    /// When there was first something newer to tell; `None` also while it can be told nothing.
    pub(super) untold_since: Option<Time>,
    /// Since when entries linger that could be sent.
    pub(super) unsent_since: Option<Time>,
    /// Somebody there was answered, and may look at what he wrote.
    pub(super) waits_for_commit: bool,
    /// What it has applied.
    pub(super) applied: Index,
    pub(super) sending: Option<Sending>,
    /// The log after this index is kept for a learner until it has caught up for the first time.
    pub(super) pinned: Option<Index>,
    /// When it was last asked whether it holds what the log begins after.
    pub(super) asked_for_base: Option<Time>,
}

impl Progress {
    pub(super) fn new(next: Index) -> Self {
        Self {
            matched: 0,
            next,
            inflight: Vec::new(),
            probing: true,
            rewound_at: Time(0),
            acked_sent_at: None,
            answered_at: None,
            clock: None,
            told_commit: 0,
            untold_since: None,
            unsent_since: None,
            waits_for_commit: false,
            applied: 0,
            sending: None,
            pinned: None,
            asked_for_base: None,
        }
    }

    /// Entries up to this one are on their way.
    pub(super) fn sent(&mut self, last: Index, bytes: usize) {
        self.inflight.push((last, bytes));
        self.next = last + 1;
    }

    pub(super) fn inflight_bytes(&self) -> usize {
        self.inflight.iter().map(|(_, bytes)| bytes).sum()
    }

    /// After a snapshot, or a refusal: continue after `index`.
    pub(super) fn continue_after(&mut self, index: Index, probing: bool) {
        self.next = index + 1;
        self.inflight.clear();
        self.unsent_since = None;
        self.probing = probing;
        self.asked_for_base = None;
    }
}

impl Leader {
    pub(super) fn acked_sent_at(&self, who: &Incarnation) -> Option<Time> {
        self.progress.get(who)?.acked_sent_at
    }

    pub(super) fn hands_over(&self) -> bool {
        self.hand_over.is_some()
    }

    /// It holds and grants no new lease in this term.
    pub(super) fn renounced(&self) -> bool {
        self.hand_over.is_some() || self.higher_term.is_some()
    }

    pub(super) fn log_now(&self, now: Time) -> LogTime {
        self.log_time.0 + now.since(self.log_time.1)
    }

    /// A snapshot that is being sent needs the log from its base on.
    pub(super) fn keep_log_after(
        &self,
        commit: Index,
        configurations: &VecDeque<(Index, Arc<Configuration>)>,
        now: Time,
        patience: Span,
    ) -> Index {
        // Whoever has a seat learns anew if it falls behind; whoever is gone needs nothing.
        let learns = |who: &Incarnation, p: &Progress| {
            p.answered_at.is_some_and(|at| now.since(at) < patience)
                && !configurations.iter().any(|(_, c)| c.seats(who))
        };
        let pins = self.progress.iter().filter(|(who, p)| learns(who, p)).filter_map(|(_, p)| p.pinned);
        pins.min().map_or(commit, |base| base.min(commit))
    }
}

impl Node {
    /// Leads its generation in this term.
    pub(super) fn lead(&mut self, term: Term) {
        let log_time = (self.log_time_at_election(), self.now);
        let now = self.now;
        let me = self.outbox.me.clone();
        let replica = self.replica.clone();
        let Life::Bound(bound) = &mut self.life else { return };
        let next = bound.log.last_index() + 1;
        // A founder's first entry is there already; any other leader begins with a no-op.
        let founded = bound.log.last_index() == 1 && bound.log.last_term() == term;
        let first_index = if founded { 1 } else { next };
        let first_to_send = if founded { 1 } else { next };
        let others: BTreeSet<Incarnation> = bound.seated().into_iter().filter(|who| *who != me).collect();
        let (sessions, room) = (Sessions::of(replica.store(), bound, now), Room::of(bound));
        bound.part = Part::Leader(Box::new(Leader {
            first_index,
            since: now,
            progress: others.into_iter().map(|who| (who, Progress::new(first_to_send))).collect(),
            next_heartbeat: now,
            lease_end: Time(0),
            quorum_acked_at: now,
            higher_term: None,
            hand_over: None,
            acks: Acks::default(),
            reads: VecDeque::new(),
            parked: Vec::new(),
            round_at: Time(0),
            sessions,
            room,
            wanted: None,
            pending_bytes: 0,
            log_time,
            next_snapshot: 1,
            commit_before: Index::MAX,
            commit_at_heartbeat: Index::MAX,
        }));
        bound.lease_to_come = None;
        self.outbox.event(Event::Leading { term });
        if !founded {
            self.append(Payload::Noop);
        }
        self.dirty = true;
    }

    /// Appends to its own log; the entry goes out with the next tick.
    pub(super) fn append(&mut self, payload: Payload) -> Option<Index> {
        let now = self.now;
        let Life::Bound(bound) = &mut self.life else { return None };
        let time = bound.leader_ref()?.log_now(now).max(bound.log.last_time());
        let index = bound.log.last_index() + 1;
        let entry = Arc::new(Entry { term: bound.term, index, time, payload });
        bound.push(entry.clone());
        if let Some(leader) = bound.leader() {
            leader.pending_bytes += entry.size();
            leader.room.appended(&entry.payload);
            if let Payload::Write { op: Op::OpenSession, .. } = &entry.payload {
                leader.sessions.opened(index, now);
            }
        }
        self.dirty = true;
        Some(index)
    }

    /// Rule 12: what a leader's clock demands before anything else.
    pub(super) fn tick_leader(&mut self) {
        let (now, lease) = (self.now, self.settings.lease);
        let heartbeat = self.settings.heartbeat;
        let lost_for = |node: &Self| {
            let leader = node.bound_ref().and_then(|bound| bound.leader_ref());
            leader.map_or(Span(0), |leader| node.now.since(leader.quorum_acked_at))
        };
        if lost_for(self) > lease {
            // A quorum of one is its own: it has answered, however long the node did not run.
            self.recompute_leader_lease();
        }
        let lost_for = lost_for(self);
        let Life::Bound(bound) = &mut self.life else { return };
        let commit = bound.commit;
        let Some(leader) = bound.leader() else { return };
        if lost_for > Span(lease.0 * 2) {
            return self.step_down("no quorum answers it");
        }
        if leader.higher_term.is_some() && now >= leader.lease_end {
            return self.step_down("a higher term was seen");
        }
        if now >= leader.next_heartbeat {
            leader.next_heartbeat = now + heartbeat;
            leader.commit_before = leader.commit_at_heartbeat;
            leader.commit_at_heartbeat = commit;
            self.heartbeat();
            self.end_idle_sessions();
            self.forget_results();
            self.expire();
        }
    }

    pub(super) fn step_down(&mut self, reason: &'static str) {
        let timeout = self.random_timeout();
        let now = self.now;
        let election_at = Some(now + timeout);
        self.let_go_of_waiting();
        let Life::Bound(bound) = &mut self.life else { return };
        let term = bound.term;
        let Some(leader) = bound.leader() else { return };
        let log_now = leader.log_now(now);
        let (quorum_acked_at, higher, handed_over) =
            (leader.quorum_acked_at, leader.higher_term, leader.hands_over());
        bound.leader_sign_at = bound.leader_sign_at.max(quorum_acked_at);
        // Whoever leads next must not be behind the log's time that was kept here (rule 10).
        bound.echo = Some(Echo { term, log_time: log_now, at: now });
        bound.part = Part::Follower(Follower { leader: None, election_at, out_of_reach: false });
        if let Some(higher) = higher.filter(|t| *t > bound.term) {
            (bound.term, bound.voted_for) = (higher, None);
        }
        self.replica.set_lease(None);
        self.outbox.event(Event::SteppedDown { term, reason });
        if handed_over {
            self.outbox.event(Event::HandedOver);
        }
    }

    pub(super) fn on_append_reply(&mut self, from: &Incarnation, reply: &AppendReply) {
        let now = self.now;
        let voters_install = self.settings.testing.lacks(Mutant::VoterInstallsSnapshot);
        let Life::Bound(bound) = &mut self.life else { return };
        let (term, base, commit) = (bound.term, bound.log.base_index(), bound.commit);
        let voter = bound.configurations.iter().any(|(_, c)| c.seats(from));
        let Some(leader) = bound.leader() else { return };
        if reply.term > term {
            leader.higher_term = leader.higher_term.max(Some(reply.term));
            return;
        }
        if reply.term < term {
            return;
        }
        if reply.sent_at < leader.since {
            return; // about something that an earlier leadership of this node had sent
        }
        let Some(progress) = leader.progress.get_mut(from) else { return };
        // Even a refusal of the entries acks the leadership: its giver has reset its own timer.
        progress.answered_at = Some(now);
        progress.acked_sent_at = progress.acked_sent_at.max(Some(reply.sent_at));
        progress.clock = progress.clock.max(Some(reply.clock));
        progress.applied = progress.applied.max(reply.applied);
        if reply.accepted {
            progress.matched = progress.matched.max(reply.index);
            progress.asked_for_base = None;
            if progress.pinned.is_some() {
                progress.pinned = (progress.matched < commit).then_some(progress.matched);
            }
            progress.inflight.retain(|(last, _)| *last > reply.index);
            progress.probing = false;
            progress.next = progress.next.max(reply.index + 1);
        } else if progress.asked_for_base.is_some_and(|asked| reply.sent_at >= asked)
            && (voter || progress.matched > 0)
            && !voters_install
        {
            // It was asked for the base itself, and does not hold it: a voter, or a learner that holds something,
            // learns anew in a new life.
            progress.asked_for_base = None;
            self.outbox.send(from, Body::Behind(Revoke { term }));
        } else if reply.index >= progress.matched
            && reply.index + 1 < progress.next
            && reply.sent_at >= progress.rewound_at
        {
            // What was sent after the gap was lost with it.
            progress.continue_after(reply.index, progress.next <= base);
            progress.rewound_at = now;
        } else {
            progress.probing = false;
        }
        self.dirty = true;
    }

    /// Commits what a quorum of every configuration that counts holds, if it is of this leader's own term.
    pub(super) fn advance_commit(&mut self) {
        let me = self.outbox.me.clone();
        let epoch = self.hosts.epoch;
        let founding_only = self.settings.testing.lacks(Mutant::FoundingTermOnly);
        let Life::Bound(bound) = &self.life else { return };
        let Some(leader) = bound.leader_ref() else { return };
        if !bound.active && epoch > bound.founding_epoch && !(founding_only && bound.term > 1) {
            return; // rule 3b: the founder, too, does not ack
        }
        let last = bound.log.last_index();
        let index = bound
            .reached(|who| if *who == me { last } else { leader.progress.get(who).map_or(0, |p| p.matched) });
        if index > bound.commit && bound.log.term_at(index) == Some(bound.term) {
            let begins = bound.commit < leader.first_index;
            self.commit_to(index);
            if begins {
                self.recompute_leader_lease();
                self.unpark();
                self.own.check_at = self.now;
                self.check_own();
            }
        }
    }
}
