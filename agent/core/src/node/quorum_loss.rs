//! Rule 8: without a quorum for T_inv, what this node holds may be outdated; it forgets all of it and is born anew.

use crate::api::Event;
use crate::node::bound::{Bound, Part};
use crate::node::genesis::Free;
use crate::node::{Life, Node};
use crate::types::{Boot, Incarnation, Time};

impl Node {
    /// When this node wipes its data, if nothing happens before.
    pub(super) fn invalidation(&self, bound: &Bound) -> Time {
        let since = match &bound.part {
            _ if !bound.active => bound.bound_at,
            Part::Leader(leader) => leader.quorum_acked_at,
            _ => bound.leader_sign_at,
        };
        since + self.settings.invalidate_after
    }

    pub(super) fn check_quorum_loss(&mut self) {
        let due = |node: &Self| node.bound_ref().is_some_and(|b| node.now >= node.invalidation(b));
        if !due(self) {
            return;
        }
        // A quorum of one is its own: it cannot be lost, however long the node did not run.
        self.recompute_leader_lease();
        if due(self)
            && let Life::Bound(bound) = &self.life
        {
            let reason = if bound.active {
                "the quorum was lost for longer than allowed"
            } else {
                "the generation it had joined never became active"
            };
            self.wipe(reason);
        }
    }

    /// Forgets everything and begins a new life, with a new quarantine.
    pub(super) fn wipe(&mut self, reason: &'static str) {
        // First the lease: a reader that comes later finds none, one that was reading notices that it is gone.
        self.replica.clear();
        if self.is_leader() {
            self.step_down(reason);
        }
        self.give_up_own();
        self.life = Life::Free(Free::default());
        self.born = self.now;
        self.next_ping = self.now;
        self.wipes += 1;
        self.outbox.generation = None;
        self.outbox.me = Incarnation { slot: self.settings.slot.clone(), boot: Boot(self.rng.name()) };
        self.outbox.event(Event::Wiped { reason });
        self.outbox.event(Event::Born { boot: self.outbox.me.boot });
    }
}
