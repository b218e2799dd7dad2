//! Rule 5: a leader that is about to stop gives its place away, so that nobody waits for a timeout.
//!
//! ```text
//! stop appending ─▶ Revoke to every holder of a read lease ─▶ all confirmed, or their leases have ended
//!                ─▶ everything committed ─▶ drop the own lease ─▶ TimeoutNow to a caught-up voter
//! ```

use std::collections::BTreeSet;

use crate::api::Event;
use crate::message::{Body, Revoke};
use crate::node::bound::{Bound, Part};
use crate::node::{Life, Node};
use crate::testing::Mutant;
use crate::types::{Incarnation, Slot, Span, Term, Time};

#[derive(Debug)]
pub(super) enum HandOver {
    /// Waits for the holders' confirmations.
    /// `to`: only somebody in these slots may take it.
    Revoking { holders: BTreeSet<Incarnation>, since: Time, to: Option<Vec<Slot>> },
    /// It has asked a follower to campaign, and holds nothing any more.
    Released { at: Time },
}

impl Node {
    /// The process is about to stop: somebody else should lead.
    pub(super) fn hand_over(&mut self) {
        self.hand_over_to(None);
    }

    /// Somebody else, in one of these slots, should lead.
    pub(super) fn hand_over_to(&mut self, to: Option<Vec<Slot>>) {
        let now = self.now;
        let me = self.outbox.me.clone();
        let alone = self.bound_ref().is_none_or(|b| b.seated().iter().all(|who| *who == me));
        let Some(term) = self.bound_ref().map(|b| b.term) else {
            return self.outbox.event(Event::HandedOver);
        };
        let Some(leader) = self.bound().and_then(|b| b.leader()) else {
            return self.outbox.event(Event::HandedOver);
        };
        if alone {
            return self.outbox.event(Event::HandedOver); // nobody could take it
        }
        if leader.hand_over.is_some() {
            return;
        }
        let holders: BTreeSet<Incarnation> = leader.acks.holders(now).into_keys().collect();
        for who in &holders {
            self.outbox.send(who, Body::Revoke(Revoke { term }));
        }
        if let Some(leader) = self.bound().and_then(|b| b.leader()) {
            leader.hand_over = Some(HandOver::Revoking { holders, since: now, to });
        }
        self.dirty = true;
    }

    pub(super) fn on_revoke_reply(&mut self, from: &Incarnation, term: Term) {
        let Some(bound) = self.bound().filter(|b| b.term == term) else { return };
        if let Some(HandOver::Revoking { holders, .. }) =
            bound.leader().and_then(|leader| leader.hand_over.as_mut())
        {
            holders.remove(from);
            self.dirty = true;
        }
    }

    pub(super) fn tend_hand_over(&mut self) {
        let (now, lease) = (self.now, self.settings.lease);
        let keeps = self.settings.testing.lacks(Mutant::LeaseKeptOverTransfer);
        let Life::Bound(bound) = &mut self.life else { return };
        let (term, commit, last) = (bound.term, bound.commit, bound.log.last_index());
        let Bound { configurations, part, own_lease_end, .. } = &mut **bound;
        let voter = |who: &Incarnation| configurations.iter().any(|(_, c)| c.seats(who));
        let Part::Leader(leader) = part else { return };
        match &mut leader.hand_over {
            None => {}
            Some(HandOver::Released { at }) if now.since(*at) > lease => {
                self.step_down("nobody took over in time");
            }
            Some(HandOver::Released { .. }) => {}
            Some(HandOver::Revoking { holders, since, to }) => {
                let (progress, lent) = (&leader.progress, &leader.acks.lent);
                holders.retain(|who| lent.get(who).is_some_and(|end| *end > now));
                let ready = holders.is_empty() && commit == last;
                let heir = progress
                    .iter()
                    .filter(|(who, p)| voter(who) && p.matched == last)
                    .filter(|(who, _)| to.as_ref().is_none_or(|slots| slots.contains(&who.slot)))
                    .max_by_key(|(_, p)| p.answered_at)
                    .map(|(who, _)| who.clone());
                if let Some(heir) = heir.filter(|_| ready) {
                    leader.hand_over = Some(HandOver::Released { at: now });
                    if !keeps {
                        leader.lease_end = Time(0);
                        // Everything it had promised to readers is over: it may vote again.
                        *own_lease_end = now;
                        self.replica.set_lease(None);
                    }
                    self.outbox.send(&heir, Body::TimeoutNow(Revoke { term }));
                } else if now.since(*since) > Span(lease.0 * 2) {
                    self.step_down("no voter is caught up to take over");
                }
            }
        }
    }

    pub(super) fn on_timeout_now(&mut self, from: &Incarnation, term: Term) {
        let Life::Bound(bound) = &self.life else { return };
        let follows = matches!(&bound.part, Part::Follower(f) if f.leader.as_ref() == Some(from));
        let voter = bound.latest().is_some_and(|c| c.seats(&self.outbox.me));
        let knows = self.knows_enough(term + 1);
        if follows && voter && knows && bound.term == term && bound.install.is_none() {
            self.campaign(Some(term));
        }
    }
}
