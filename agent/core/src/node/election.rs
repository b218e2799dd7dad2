//! Rule 5 and 6: PreVote and elections (Ongaro, "Consensus: Bridging Theory and Practice", §3 and §9.6), bound by
//! the promise that every ack of an Append was.

use std::collections::BTreeSet;

use crate::api::Event;
use crate::message::{Body, PreVote, PreVoteReply, Vote, VoteReply};
use crate::node::bound::{Candidate, Follower, Part};
use crate::node::{Life, Node};
use crate::testing::Mutant;
use crate::types::{Incarnation, Slot, Span, Term, Time};

impl Node {
    /// A follower whose leader is silent, or a candidate whose attempt went nowhere.
    pub(super) fn tick_election(&mut self) {
        let timeout = self.random_timeout();
        let now = self.now;
        let Life::Bound(bound) = &mut self.life else { return };
        let due = match &mut bound.part {
            Part::Follower(f) => *f.election_at.get_or_insert(now + timeout) <= now,
            Part::Candidate(c) => c.retry_at <= now,
            Part::Leader(_) => false,
        };
        if due {
            self.pre_campaign();
        }
    }

    /// The stream to the leader broke: ask sooner whether it is gone. At most a PreVote comes of it.
    pub(super) fn campaign_sooner(&mut self, slot: &Slot) {
        let spread = Span(self.rng.between(0, self.settings.lease.0 / 8));
        let earliest = self.promised_until().max(self.now) + spread;
        if let Life::Bound(bound) = &mut self.life
            && let Part::Follower(f) = &mut bound.part
            && f.leader.as_ref().is_some_and(|l| l.slot == *slot)
        {
            f.election_at = f.election_at.map(|at| at.min(earliest));
            f.out_of_reach = true;
        }
    }

    /// Whether rule 3b and rule 6 let it take part in elections of its generation.
    fn may_vote(&self) -> bool {
        let Life::Bound(bound) = &self.life else { return false };
        self.knows_enough(bound.term + 1)
            && self.now >= self.promised_until()
            && self.now >= self.bound_by_own_lease_until()
    }

    /// Rule 3b, for a term in which it would vote.
    pub(super) fn knows_enough(&self, term: Term) -> bool {
        let Life::Bound(bound) = &self.life else { return false };
        let founding_only = term > 1 && self.settings.testing.lacks(Mutant::FoundingTermOnly);
        bound.active || self.hosts.epoch <= bound.founding_epoch || founding_only
    }

    /// Rule 6: a leader is bound, too, also after it stepped down.
    fn bound_by_own_lease_until(&self) -> Time {
        if self.settings.testing.lacks(Mutant::LeaderNotBoundByLease) {
            return Time(0);
        }
        self.bound_ref().map_or(Time(0), |bound| bound.own_lease_end)
    }

    fn pre_campaign(&mut self) {
        let retry_at = self.now + self.random_timeout();
        let may = self.may_vote();
        let me = self.outbox.me.clone();
        let Life::Bound(bound) = &mut self.life else { return };
        let voter = bound.latest().is_some_and(|c| c.seats(&me));
        if !may || !voter || bound.install.is_some() {
            if let Part::Follower(f) = &mut bound.part {
                f.election_at = Some(retry_at);
            }
            if let Part::Candidate(_) = &bound.part {
                bound.part = Part::Follower(Follower {
                    leader: None,
                    election_at: Some(retry_at),
                    out_of_reach: false,
                });
            }
            return;
        }
        let (term, last_index, last_term) = (bound.term + 1, bound.log.last_index(), bound.log.last_term());
        let founding_epoch = bound.founding_epoch;
        bound.part = Part::Candidate(Candidate { pre: true, votes: BTreeSet::from([me.clone()]), retry_at });
        for peer in bound.seated().into_iter().filter(|who| *who != me) {
            let body = PreVote { term, last_index, last_term, founding_epoch };
            self.outbox.send(&peer, Body::PreVote(body));
        }
        self.count_votes();
    }

    pub(super) fn on_pre_vote(&mut self, from: &Incarnation, ask: &PreVote) {
        let Life::Bound(bound) = &self.life else { return };
        if self.now < self.bound_by_own_lease_until() {
            return;
        }
        let leader_alive = bound.acked_at.is_some_and(|at| self.now.since(at) < self.settings.lease);
        let newer = (ask.last_term, ask.last_index) >= (bound.log.last_term(), bound.log.last_index());
        let granted = self.may_vote() && ask.term > bound.term && newer;
        let term = if granted { ask.term } else { bound.term };
        let reply = PreVoteReply { term, granted, leader_alive };
        self.outbox.send(from, Body::PreVoteReply(reply));
    }

    pub(super) fn on_pre_vote_reply(&mut self, from: Incarnation, reply: &PreVoteReply) {
        let now = self.now;
        let timeout = self.random_timeout();
        let Life::Bound(bound) = &mut self.life else { return };
        if reply.granted {
            let wanted = bound.term + 1;
            if let Part::Candidate(c) = &mut bound.part
                && c.pre
                && reply.term == wanted
            {
                c.votes.insert(from);
                self.count_votes();
            }
            return;
        }
        if reply.leader_alive {
            bound.leader_sign_at = now; // rule 8: a cut link must not cost a copy
        }
        if reply.term > bound.term && !matches!(bound.part, Part::Leader(_)) {
            self.enter_term(reply.term, now + timeout);
        }
    }

    /// Campaigns, or leads, as soon as a quorum of all configurations that count has said yes.
    fn count_votes(&mut self) {
        let Life::Bound(bound) = &self.life else { return };
        let Part::Candidate(candidate) = &bound.part else { return };
        if !bound.quorum(|who| candidate.votes.contains(who)) {
            return;
        }
        if candidate.pre {
            if self.may_vote() {
                self.campaign(None);
            }
        } else {
            let term = bound.term;
            self.lead(term);
        }
    }

    pub(super) fn campaign(&mut self, handed_over_by: Option<Term>) {
        let retry_at = self.now + self.random_timeout();
        let me = self.outbox.me.clone();
        let Life::Bound(bound) = &mut self.life else { return };
        bound.term += 1;
        bound.voted_for = Some(me.clone());
        bound.part = Part::Candidate(Candidate { pre: false, votes: BTreeSet::from([me.clone()]), retry_at });
        self.elections += 1;
        self.outbox.event(Event::Campaign { term: bound.term });
        let ask = Vote {
            term: bound.term,
            last_index: bound.log.last_index(),
            last_term: bound.log.last_term(),
            founding_epoch: bound.founding_epoch,
            handed_over_by,
        };
        for peer in bound.seated().into_iter().filter(|who| *who != me) {
            self.outbox.send(&peer, Body::Vote(ask.clone()));
        }
        self.count_votes();
    }

    pub(super) fn on_vote(&mut self, from: &Incarnation, ask: &Vote) {
        let timeout = self.random_timeout();
        let now = self.now;
        let Life::Bound(bound) = &self.life else { return };
        // The leader of the term that this node is in has given up every lease for this candidate.
        let released = ask.handed_over_by == Some(bound.term);
        if now < self.bound_by_own_lease_until() && !released {
            return; // rule 6: whole, its term included
        }
        let promised = !released && now < self.promised_until();
        let unsure = !self.knows_enough(ask.term);
        if promised || unsure || ask.term < bound.term {
            let reply = VoteReply { term: bound.term, granted: false };
            return self.outbox.send(from, Body::VoteReply(reply));
        }
        if ask.term > bound.term {
            self.enter_term(ask.term, now + timeout);
        }
        let Life::Bound(bound) = &mut self.life else { return };
        let newer = (ask.last_term, ask.last_index) >= (bound.log.last_term(), bound.log.last_index());
        let free = bound.voted_for.as_ref().is_none_or(|who| who == from);
        let granted = newer && free && bound.install.is_none();
        if granted {
            bound.voted_for = Some(from.clone());
            if let Part::Follower(f) = &mut bound.part {
                f.election_at = Some(now + timeout);
            }
        }
        let reply = VoteReply { term: bound.term, granted };
        self.outbox.send(from, Body::VoteReply(reply));
    }

    pub(super) fn on_vote_reply(&mut self, from: Incarnation, reply: &VoteReply) {
        let timeout = self.random_timeout();
        let Life::Bound(bound) = &mut self.life else { return };
        if reply.term > bound.term {
            if !matches!(bound.part, Part::Leader(_)) {
                self.enter_term(reply.term, self.now + timeout);
            }
            return;
        }
        let sooner = self.now + Span(self.rng.between(self.settings.lease.0 / 4, self.settings.lease.0 / 2));
        if let Part::Candidate(c) = &mut bound.part
            && !c.pre
            && reply.term == bound.term
        {
            if reply.granted {
                c.votes.insert(from);
                self.count_votes();
            } else {
                // As a rule this voter has voted for another candidate, and neither will lead: where the votes are split
                // it tries again soon, at random. Those who are far away have answered by then.
                c.retry_at = c.retry_at.min(sooner);
            }
        }
    }

    /// A higher term: follows nobody in it yet.
    fn enter_term(&mut self, term: Term, election_at: Time) {
        if self.is_leader() {
            self.step_down("another node campaigns in a higher term");
        }
        let Life::Bound(bound) = &mut self.life else { return };
        (bound.term, bound.voted_for) = (term, None);
        bound.part =
            Part::Follower(Follower { leader: None, election_at: Some(election_at), out_of_reach: false });
    }
}
