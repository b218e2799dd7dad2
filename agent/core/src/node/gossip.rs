//! What the slots tell each other all the time: who lives there, bound to what, and whether it hears a leader.

use std::collections::BTreeSet;

use crate::message::{Body, Ping};
use crate::node::bound::Part;
use crate::node::{Life, Node};
use crate::types::{Epoch, Generation, Incarnation, Index, Slot, Span, Time};

/// What is known of another slot.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) who: Incarnation,
    pub(super) heard_at: Time,
    pub(super) free: bool,
    pub(super) generation: Option<Generation>,
    /// When it had last heard a leader, on our clock.
    pub(super) leader_heard_at: Option<Time>,
    pub(super) epoch: Epoch,
}

/// The other slots, and the list, configuration and life that they come from.
#[derive(Debug, Default)]
pub(super) struct Others {
    of: Option<(Epoch, Index, Time)>,
    slots: Vec<Slot>,
}

impl Node {
    pub(super) fn on_ping(&mut self, from: Incarnation, generation: Option<Generation>, ping: &Ping) {
        let peer = Peer {
            heard_at: self.now,
            free: ping.free,
            generation,
            leader_heard_at: ping.leader_heard.map(|ago| Time(self.now.0.saturating_sub(ago.0))),
            epoch: ping.epoch,
            who: from,
        };
        self.met_epoch = self.met_epoch.max(peer.epoch);
        self.peers.insert(peer.who.slot.clone(), peer);
    }

    /// Peers that answered within L.
    pub(super) fn reachable(&self) -> impl Iterator<Item = &Peer> {
        self.peers.values().filter(|p| self.now.since(p.heard_at) < self.settings.lease)
    }

    /// Every slot that could be a member, this one excepted; worked out anew when a list or configuration has changed.
    fn refresh_others(&mut self) {
        let latest = self.bound_ref().and_then(|b| b.configurations.back());
        let of = (self.hosts.epoch, latest.map_or(0, |(index, _)| *index), self.born);
        if self.others.of == Some(of) {
            return;
        }
        let mut slots: BTreeSet<Slot> = self.hosts.slots().into_iter().collect();
        slots.extend(latest.map(|(_, c)| c.slots()).unwrap_or_default());
        slots.remove(&self.outbox.me.slot);
        self.others = Others { of: Some(of), slots: slots.into_iter().collect() };
    }

    pub(super) fn gossip(&mut self) {
        if self.now < self.next_ping {
            return;
        }
        let (term, leader_heard, settled) = match &self.life {
            Life::Free(_) => (0, None, false),
            Life::Bound(bound) => {
                let heard = match &bound.part {
                    Part::Leader(leader) if self.now < leader.lease_end => Some(Span(0)),
                    Part::Leader(_) => None,
                    _ => bound.acked_at.map(|at| self.now.since(at)),
                };
                let seated = bound.latest().is_some_and(|c| c.seats(&self.outbox.me));
                (bound.term, heard, seated && heard.is_some_and(|ago| ago < self.settings.lease))
            }
        };
        // Those who wait for something speak more often than those who serve.
        self.next_ping =
            self.now + if settled { Span(self.settings.lease.0 / 3) } else { self.settings.heartbeat };
        let free = matches!(self.life, Life::Free(_));
        self.refresh_others();
        for slot in &self.others.slots {
            let ping = Ping { free, leader_heard, epoch: self.hosts.epoch, term };
            self.outbox.send_slot(slot, Body::Ping(ping));
        }
    }
}
