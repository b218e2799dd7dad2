//! What a follower or learner does with an Append.

use crate::api::Event;
use crate::message::{Append, AppendReply, Body};
use crate::node::bound::{Bound, Echo, Follower, Part};
use crate::node::{Life, Node};
use crate::replica::Lease;
use crate::testing::Mutant;
use crate::types::{Incarnation, Index, Span, Term, Time};

impl Node {
    pub(super) fn on_append(&mut self, from: Incarnation, append: Append) {
        self.compact();
        let epoch = self.hosts.epoch;
        let founding_only = append.term > 1 && self.settings.testing.lacks(Mutant::FoundingTermOnly);
        let Life::Bound(bound) = &mut self.life else { return };
        if append.term < bound.term {
            let reply = AppendReply {
                term: bound.term,
                accepted: false,
                index: 0,
                sent_at: append.sent_at,
                clock: self.now,
                applied: bound.commit,
            };
            return self.outbox.send(&from, Body::AppendReply(reply));
        }
        // Rule 3b.
        if !bound.active && append.commit == 0 && epoch > append.founding_epoch && !founding_only {
            return;
        }
        self.follow(&from, append.term);
        let Life::Bound(bound) = &mut self.life else { return };
        if bound.install.as_ref().is_some_and(|i| i.of_term() < append.term) {
            // Its sender leads no more; what came of it is of no use to anybody.
            bound.install = None;
            self.replica.store().clear();
        }
        bound.active |= append.commit > 0;
        bound.acked_at = Some(self.now);
        bound.leader_sign_at = self.now;

        let (term, sent_at, clock) = (append.term, append.sent_at, self.now);
        let reply = |accepted, index, bound: &Bound| {
            let applied = bound.commit;
            AppendReply { term, accepted, index, sent_at, clock, applied }
        };
        let matched = match bound.merge(&append) {
            Ok(matched) => matched,
            Err(could_match) => {
                let reply = reply(false, could_match, bound);
                return self.outbox.send(&from, Body::AppendReply(reply));
            }
        };
        self.commit_to(append.commit.min(matched));
        // Before a newer one, which may require more, takes its place.
        self.publish_follower_lease();
        // Committing may have taken its seat away, and so its life.
        let Life::Bound(bound) = &mut self.life else { return };
        let reply = reply(true, matched, bound);
        self.outbox.send(&from, Body::AppendReply(reply));
        if let Some(grant) = append.grant {
            let echo = Echo { term: append.term, log_time: append.log_time, at: grant.echo };
            bound.hear_log_time(echo, self.now);
            // Rule 7: voters only, and never again in a term whose leases were revoked.
            let voter = bound.latest().is_some_and(|c| c.seats(&self.outbox.me));
            let believed = grant.echo > bound.leases_after && bound.revoked_in != Some(append.term);
            if voter && grant.rest > Span(0) && believed {
                let lease = Lease {
                    generation: bound.generation,
                    term: append.term,
                    commit: append.commit,
                    end: grant.echo + grant.rest.shrunk(),
                    log_time: append.log_time,
                    log_time_at: grant.echo,
                };
                bound.lease_to_come = Some(lease);
            }
        }
        self.publish_follower_lease();
    }

    /// Obeys the leader of this term (not below its own).
    pub(super) fn follow(&mut self, leader: &Incarnation, term: Term) {
        let timeout = self.random_timeout();
        let election_at = Some(self.now + timeout);
        let Life::Bound(bound) = &mut self.life else { return };
        let known = matches!(&bound.part, Part::Follower(f) if f.leader.as_ref() == Some(leader));
        if term == bound.term && known {
            if let Part::Follower(f) = &mut bound.part {
                (f.election_at, f.out_of_reach) = (election_at, false);
            }
            return;
        }
        if bound.leader_ref().is_some() {
            self.step_down("another leader has a higher term");
        }
        let Life::Bound(bound) = &mut self.life else { return };
        if term > bound.term {
            (bound.term, bound.voted_for) = (term, None);
        }
        bound.part =
            Part::Follower(Follower { leader: Some(leader.clone()), election_at, out_of_reach: false });
        self.outbox.event(Event::Following { leader: leader.clone(), term });
        self.own.check_at = self.now; // what waits is handed to the new leader
    }

    pub(super) fn on_behind(&mut self, from: &Incarnation, term: Term) {
        let Life::Bound(bound) = &self.life else { return };
        let from_leader = matches!(&bound.part, Part::Follower(f) if f.leader.as_ref() == Some(from));
        if from_leader && term == bound.term {
            // Rule 11: only learners install snapshots.
            self.wipe("it fell behind what the leader's log still holds");
        }
    }
}

impl Bound {
    /// Within a term all echoes say what one leader's log time is at the latest: the one that says the least is the
    /// nearest to it, for an append that comes late was answered with an older clock. A clock that jumped since says
    /// nothing (rule 7).
    fn hear_log_time(&mut self, new: Echo, now: Time) {
        let kept = self.echo.filter(|old| old.term == new.term && old.at > self.leases_after);
        let nearer = |old: Echo| new.at > self.leases_after && new.latest(now) < old.latest(now);
        if kept.is_none_or(nearer) {
            self.echo = Some(new);
        }
    }

    /// Takes what is new; says up to where the log is now known to match the leader's, or, where the entry before
    /// the first one is missing or another, the last index that could match.
    fn merge(&mut self, append: &Append) -> Result<Index, Index> {
        let last = self.log.last_index();
        if self.install.is_some() {
            return Err(0);
        }
        if append.prev_index > last {
            return Err(last);
        }
        if append.prev_index > self.log.base_index()
            && self.log.term_at(append.prev_index) != Some(append.prev_term)
        {
            // All of a term that differs is skipped at once (Raft §5.3).
            let wrong = self.log.term_at(append.prev_index);
            let mut index = append.prev_index - 1;
            while index > self.commit && self.log.term_at(index) == wrong {
                index -= 1;
            }
            return Err(index.max(self.commit));
        }
        for entry in &append.entries {
            if entry.index <= self.log.base_index() {
                continue; // applied and forgotten
            }
            match self.log.term_at(entry.index) {
                Some(term) if term == entry.term => {}
                Some(_) => {
                    self.truncate(entry.index - 1);
                    self.push_next(entry);
                }
                None => self.push_next(entry),
            }
        }
        let matched = append.entries.last().map_or(append.prev_index, |e| e.index);
        Ok(matched.min(self.log.last_index()))
    }

    fn push_next(&mut self, entry: &std::sync::Arc<crate::log::Entry>) {
        // A gap could only come from a malformed message; what is missing is asked for by the next refusal.
        if entry.index == self.log.last_index() + 1 {
            self.push(entry.clone());
        }
    }
}
