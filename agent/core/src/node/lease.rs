//! Rules 6 and 7: who may read, and until when.
//!
//! ```text
//! leader:   end = (quorum-th newest SEND time that was acked) + L(1−ρ)/(1+ρ)
//! follower: end = (its own clock t_f, echoed by the leader)   + d(1−ρ)/(1+ρ),  d = what the leader had left
//! ```

use crate::message::{Body, Revoke};
use crate::node::bound::Part;
use crate::node::{Life, Node};
use crate::replica::Lease;
use crate::testing::Mutant;
use crate::types::{Incarnation, LogTime, Term, Time};

impl Node {
    /// The end of the leader's lease by the acks so far; `None` while it may hold none.
    pub(super) fn recompute_leader_lease(&mut self) {
        let (now, length) = (self.now, self.settings.lease.shrunk());
        let me = self.outbox.me.clone();
        let Life::Bound(bound) = &mut self.life else { return };
        let Some(leader) = bound.leader_ref() else { return };
        let since = bound.leases_after;
        let base =
            bound.reached(|who| if *who == me { now } else { leader.acked_sent_at(who).unwrap_or_default() });
        // Not before an entry of its own term is committed and applied; never again once it hands over or has seen
        // a higher term.
        let served =
            bound.commit >= leader.first_index || self.settings.testing.lacks(Mutant::LeaseBeforeNoop);
        let keeps = leader.hands_over() && self.settings.testing.lacks(Mutant::LeaseKeptOverTransfer);
        let may_hold = served && (!leader.renounced() || keeps);
        let end = if base > since { base + length } else { Time(0) };
        let Some(leader) = bound.leader() else { return };
        leader.quorum_acked_at = leader.quorum_acked_at.max(base);
        if may_hold {
            // A configuration that was just appended may need others' acks: then the lease ends earlier.
            leader.lease_end = end;
            bound.own_lease_end = bound.own_lease_end.max(end);
        }
    }

    /// What is left of the leader's lease to give away.
    pub(super) fn publish_leader_lease(&mut self) {
        self.recompute_leader_lease();
        let now = self.now;
        let Life::Bound(bound) = &self.life else { return };
        let Some(leader) = bound.leader_ref() else { return };
        if leader.hands_over() && !self.settings.testing.lacks(Mutant::LeaseKeptOverTransfer) {
            return; // dropped already, or about to be
        }
        let lease = (leader.lease_end > now).then(|| Lease {
            generation: bound.generation,
            term: bound.term,
            commit: bound.commit,
            end: leader.lease_end,
            log_time: leader.log_now(now),
            log_time_at: now,
        });
        self.replica.set_lease(lease);
    }

    /// Publishes the lease that waits, once what it requires is applied.
    pub(super) fn publish_follower_lease(&mut self) {
        let Life::Bound(bound) = &mut self.life else { return };
        if bound.lease_to_come.is_none_or(|l| l.commit > bound.commit) {
            return;
        }
        let Some(mut lease) = bound.lease_to_come.take() else { return };
        // Within a term both ends are promised by the same leader: the later one holds.
        if let Some(old) = self.replica.lease()
            && (old.generation, old.term) == (lease.generation, lease.term)
        {
            lease.end = lease.end.max(old.end);
            // Each says what the log's time is at the latest: the one that says the least is the nearest to it. (An older
            // append that comes late was answered with an older clock.)
            if old.latest_log_time(self.now) < lease.latest_log_time(self.now) {
                (lease.log_time, lease.log_time_at) = (old.log_time, old.log_time_at);
            }
        }
        self.replica.set_lease(Some(lease));
    }

    /// Rule 5: a leader that hands over takes back what it granted.
    pub(super) fn on_revoke(&mut self, from: &Incarnation, term: Term) {
        let Life::Bound(bound) = &mut self.life else { return };
        if term != bound.term || matches!(bound.part, Part::Leader(_)) {
            return;
        }
        bound.revoked_in = Some(term);
        bound.lease_to_come = None;
        self.replica.set_lease(None);
        self.outbox.send(from, Body::RevokeReply(Revoke { term }));
    }

    /// Rule 7: what was measured with a clock that jumped is not believed.
    pub(super) fn drop_leases(&mut self) {
        self.replica.set_lease(None);
        let now = self.now;
        let Life::Bound(bound) = &mut self.life else { return };
        (bound.lease_to_come, bound.leases_after) = (None, now);
        if let Some(leader) = bound.leader() {
            leader.lease_end = Time(0);
        }
        self.dirty = true;
    }

    /// Rule 10: where the log's time stands at least, for a node that is about to lead.
    pub(super) fn log_time_at_election(&self) -> LogTime {
        let Life::Bound(bound) = &self.life else { return LogTime(0) };
        let echoed = bound.echo.map_or(LogTime(0), |echo| echo.latest(self.now));
        bound.log.last_time().max(echoed)
    }

    /// Rule 6: until when this node neither votes nor campaigns.
    pub(super) fn promised_until(&self) -> Time {
        let Life::Bound(bound) = &self.life else { return Time(0) };
        if self.settings.testing.lacks(Mutant::PromiseIgnored) {
            return Time(0);
        }
        bound.acked_at.map_or(Time(0), |at| at + self.settings.lease)
    }
}
