//! How this node sees its cluster.

use crate::api::{Member, Role, Status};
use crate::node::bound::Part;
use crate::node::{Life, Node};
use crate::types::{Slot, Span, Time};

impl Node {
    /// How this node sees its cluster at `now`.
    #[must_use]
    pub fn status(&self, now: Time) -> Status {
        let me = self.outbox.me.clone();
        let lease_left = self.replica.lease().map_or(Span(0), |l| l.end.since(now));
        let store = self.replica.store();
        let mut status = Status {
            role: Role::Free,
            generation: None,
            term: 0,
            leader: None,
            commit: 0,
            applied: store.applied(),
            digest: store.is_whole().then(|| store.digest()),
            ready: false,
            not_ready: self.why_free(),
            lease_left,
            epoch: self.hosts.epoch,
            members: self.members(now),
            wipes: self.wipes,
            elections: self.elections,
            log_bytes: 0,
            configuration: self.bound_ref().and_then(|b| b.latest().cloned()),
            me: me.clone(),
        };
        let Life::Bound(bound) = &self.life else { return status };
        let seated = bound.committed().is_some_and(|c| c.seats(&me));
        (status.role, status.leader) = match &bound.part {
            Part::Leader(_) => (Role::Leader, Some(me)),
            Part::Candidate(_) => (Role::Candidate, None),
            Part::Follower(f) if seated => (Role::Follower, f.leader.clone()),
            Part::Follower(f) => (Role::Learner, f.leader.clone()),
        };
        status.generation = Some(bound.generation);
        (status.term, status.commit) = (bound.term, bound.commit);
        status.log_bytes = bound.log.bytes();
        let leased = lease_left > Span(0);
        // While seats change, the loss of one more member could be too much: a rolling restart must wait.
        let settled = bound.settled_with(&self.outbox.me);
        status.ready = settled && leased;
        status.not_ready = match (seated, leased, bound.install.is_some()) {
            (true, true, _) if settled => "",
            (true, true, _) => "the seats are being changed",
            (true, false, _) => "no quorum: no leader has granted it a read lease",
            (false, _, true) => "it is receiving a snapshot",
            (false, _, false) => "it has no seat yet: it waits for the leader",
        };
        status
    }

    fn why_free(&self) -> &'static str {
        if self.now < self.quarantine_end() {
            "it has just begun and may take part in nothing for a moment"
        } else if self.list_is_behind() {
            "its host list is older than one that it knows of (HA_HOSTS_MIN_EPOCH, or a peer's): it founds nothing with it"
        } else if self.reachable().count() == 0 && self.hosts.slots().len() > 1 {
            "it reaches no other member"
        } else {
            "it waits for a quorum of the members, or for a leader to take it in"
        }
    }

    fn members(&self, now: Time) -> Vec<Member> {
        let configuration = self.bound_ref().and_then(|b| b.latest().cloned());
        let mut slots: Vec<Slot> = self.hosts.slots();
        slots.extend(configuration.as_ref().map(|c| c.slots()).unwrap_or_default());
        slots.sort();
        slots.dedup();
        slots
            .into_iter()
            .map(|slot| {
                let seat = configuration.as_ref().and_then(|c| c.maps.last()?.get(&slot).cloned());
                let (lag, caught_up) = self.lag(&slot, now);
                let learned = !caught_up && self.has_learned(&slot);
                Member { slot, seat, lag, caught_up, learned }
            })
            .collect()
    }

    /// Somebody without a seat lives there and holds what is committed.
    fn has_learned(&self, slot: &Slot) -> bool {
        let Some(bound) = self.bound_ref() else { return false };
        let Some(leader) = bound.leader_ref() else { return false };
        leader.progress.iter().any(|(who, progress)| {
            who.slot == *slot
                && bound.latest().is_some_and(|c| !c.seats(who))
                && self.caught_up(progress, bound.commit)
        })
    }

    /// How far a slot is behind, and whether it holds a seat and all that is committed. Others than a leader know
    /// it of themselves only.
    fn lag(&self, slot: &Slot, now: Time) -> (Option<u64>, bool) {
        let me = &self.outbox.me;
        let Some(bound) = self.bound_ref() else { return (None, false) };
        let seats = |who| bound.settled_with(who);
        if *slot == me.slot {
            let leased = self.replica.lease().is_some_and(|l| l.end > now);
            return (bound.leader_ref().map(|_| 0), seats(me) && leased);
        }
        let Some(leader) = bound.leader_ref() else { return (None, false) };
        let last = bound.log.last_index();
        let of_slot = leader.progress.iter().filter(|(who, _)| who.slot == *slot);
        // The one with the seat, else whoever learns there.
        let best = of_slot.max_by_key(|(who, p)| (seats(who) && p.answered_at.is_some(), p.answered_at));
        best.map_or((None, false), |(who, p)| {
            (Some(last.saturating_sub(p.matched)), seats(who) && self.caught_up(p, bound.commit))
        })
    }
}
