//! Rule 2: how a generation is founded when there is none.
//!
//! ```text
//! born ── quarantine Q ──▶ may promise and found
//! founder: Found{ballot} ──▶ promises of a majority of the slots ──▶ fixes the seats, once ──▶ entry 1, term 1
//! ```
//!
//! Q ≥ L(1+ρ)/(1−ρ) after an incarnation's birth: whatever its predecessor promised a leader (rule 6) has ended
//! before it helps to found anything, so a lease of a live generation cannot overlap with a new one. A promise may
//! move to a higher ballot until its giver is bound; what binds is an ack, not a promise.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::Event;
use crate::config::{Configuration, HostList, Seats};
use crate::log::{Entry, Payload};
use crate::message::{Ballot, Body, Found, Promise};
use crate::node::bound::Bound;
use crate::node::{Life, Node};
use crate::testing::Mutant;
use crate::types::{Epoch, Generation, Incarnation, LogTime, Slot, Term, Time};

/// An incarnation that is bound to nothing.
#[derive(Debug, Default)]
pub(super) struct Free {
    promised: Option<(Ballot, Generation)>,
    founding: Option<Founding>,
    highest_round: u64,
    /// When founding became possible for this node; others wait for the lowest slot.
    eligible_since: Option<Time>,
    next_try: Time,
}

#[derive(Debug)]
struct Founding {
    ballot: Ballot,
    generation: Generation,
    promises: BTreeMap<Slot, Incarnation>,
    began: Time,
    resend_at: Time,
}

impl Node {
    /// When this incarnation may take part in a genesis.
    pub(super) fn quarantine_end(&self) -> Time {
        self.born + self.settings.lease.stretched()
    }

    pub(super) fn genesis_deadline(&self, free: &Free) -> Time {
        let next = free.founding.as_ref().map_or(free.next_try, |f| f.resend_at).max(self.quarantine_end());
        // What is due and still waits, waits for peers: they wake the node by what they say.
        if next > self.now { next } else { Time(u64::MAX) }
    }

    /// A peer that answered within L has heard from a leader within L. Peers that cannot be reached are ignored.
    fn live_generation(&self) -> bool {
        self.reachable().any(|p| p.leader_heard_at.is_some_and(|at| self.now.since(at) < self.settings.lease))
    }

    /// S2: the list this node acts on is behind what its pod template or a peer knows.
    pub(super) fn list_is_behind(&self) -> bool {
        self.hosts.epoch < self.met_epoch.max(self.settings.min_epoch)
    }

    fn may_take_part(&self) -> bool {
        self.rested(false)
            && !self.list_is_behind()
            && !self.live_generation()
            && self.hosts.slots().contains(&self.outbox.me.slot)
    }

    /// Its quarantine is over.
    fn rested(&self, as_founder: bool) -> bool {
        let testing = self.settings.testing;
        self.now >= self.quarantine_end()
            || testing.lacks(Mutant::NoQuarantine)
            || (testing.lacks(Mutant::QuarantineOfFounderOnly) && !as_founder)
    }

    /// Another host list: what was begun under the old one is void. A promise stays with its giver.
    pub(super) fn on_hosts(&mut self, hosts: HostList) {
        if hosts.epoch <= self.hosts.epoch {
            return; // S2: never back; and one number is one list
        }
        self.outbox.event(Event::HostsChanged { epoch: hosts.epoch });
        self.hosts = hosts;
        if let Life::Free(free) = &mut self.life {
            (free.founding, free.eligible_since) = (None, None);
        }
        self.next_ping = self.now;
        self.dirty = true;
    }

    pub(super) fn tick_genesis(&mut self) {
        if !self.may_take_part() || !self.rested(true) {
            if let Life::Free(free) = &mut self.life {
                (free.founding, free.eligible_since) = (None, None);
            }
            return;
        }
        let me = self.outbox.me.clone();
        let free_peers: Vec<Slot> = self.reachable().filter(|p| p.free).map(|p| p.who.slot.clone()).collect();
        let enough = self.hosts.lists().iter().all(|list| {
            list.iter().filter(|s| **s == me.slot || free_peers.contains(s)).count() > list.len() / 2
        });
        let lowest = free_peers.iter().all(|slot| *slot > me.slot);
        let lower_unheard =
            self.hosts.slots().iter().any(|s| *s < me.slot && !self.reachable().any(|p| p.who.slot == *s));
        let patience = self.random_timeout();
        let (now, lease) = (self.now, self.settings.lease);
        let resend = self.settings.heartbeat;
        let Life::Free(free) = &mut self.life else { return };

        if let Some(founding) = &mut free.founding {
            if now.since(founding.began) >= lease {
                free.founding = None;
                free.next_try = now + patience;
            } else if now >= founding.resend_at {
                founding.resend_at = now + resend;
                self.ask_for_promises();
                self.try_to_fix_seats();
            }
            return;
        }
        if !enough {
            free.eligible_since = None;
            return;
        }
        let since = *free.eligible_since.get_or_insert(now);
        if !lowest && free.next_try < since + lease {
            // The lowest free slot goes first; should it not manage, the others try too.
            free.next_try = since + lease + patience;
        }
        // A lower slot that has not spoken yet may be about to.
        if now < free.next_try || (lower_unheard && now.since(since) < resend.times(3)) {
            return;
        }
        let ballot = Ballot { round: free.highest_round + 1, founder: me.clone() };
        let generation = Generation(self.rng.name());
        free.highest_round = ballot.round;
        free.promised = Some((ballot.clone(), generation));
        free.founding = Some(Founding {
            ballot,
            generation,
            promises: BTreeMap::from([(me.slot.clone(), me)]),
            began: now,
            resend_at: now + resend,
        });
        self.ask_for_promises();
        self.try_to_fix_seats();
    }

    fn ask_for_promises(&mut self) {
        let Life::Free(Free { founding: Some(founding), .. }) = &self.life else { return };
        let found = Found {
            ballot: founding.ballot.clone(),
            generation: founding.generation,
            epoch: self.hosts.epoch,
        };
        let missing: Vec<Slot> = self
            .hosts
            .slots()
            .into_iter()
            .filter(|slot| *slot != self.outbox.me.slot && !founding.promises.contains_key(slot))
            .collect();
        for slot in missing {
            self.outbox.send_slot(&slot, Body::Found(found.clone()));
        }
    }

    pub(super) fn on_found(&mut self, from: Incarnation, found: Found) {
        // The giver's list must not be newer than the founder's (rule 3), and a giver that is behind waits.
        let (now, patience) = (self.now, self.random_timeout());
        let willing = self.may_take_part()
            && found.epoch == self.hosts.epoch
            && found.ballot.founder == from
            && self.hosts.slots().contains(&from.slot);
        let Life::Free(free) = &mut self.life else { return };
        free.highest_round = free.highest_round.max(found.ballot.round);
        let granted = willing && free.promised.as_ref().is_none_or(|(held, _)| *held <= found.ballot);
        if granted {
            if free.founding.as_ref().is_some_and(|mine| mine.ballot != found.ballot) {
                free.founding = None; // its own promise has moved
            }
            free.promised = Some((found.ballot.clone(), found.generation));
            // Time for that founder: an attempt of its own would take the promise away again at once.
            free.next_try = free.next_try.max(now + patience);
        }
        let reply = Promise { ballot: found.ballot, granted, highest_round: free.highest_round };
        self.outbox.send(&from, Body::Promise(reply));
    }

    pub(super) fn on_promise(&mut self, from: Incarnation, promise: Promise) {
        let patience = self.random_timeout();
        let Life::Free(free) = &mut self.life else { return };
        free.highest_round = free.highest_round.max(promise.highest_round);
        let Some(founding) = free.founding.as_mut().filter(|f| f.ballot == promise.ballot) else { return };
        if promise.granted {
            founding.promises.insert(from.slot.clone(), from);
            self.try_to_fix_seats();
        } else if promise.highest_round > founding.ballot.round {
            free.founding = None;
            free.next_try = self.now + patience;
        }
    }

    /// With promises from a majority of the slots of each list, and a moment of patience for the rest.
    fn try_to_fix_seats(&mut self) {
        let reachable_free = self.reachable().filter(|p| p.free).count();
        let Life::Free(Free { founding: Some(founding), .. }) = &self.life else { return };
        let mut lists = self.hosts.lists();
        if self.settings.testing.lacks(Mutant::GenesisOfOneList) {
            lists.truncate(1);
        }
        let majority = lists
            .iter()
            .all(|list| list.iter().filter(|s| founding.promises.contains_key(*s)).count() > list.len() / 2);
        let all = founding.promises.len() > reachable_free;
        let patient = self.now.since(founding.began) < self.settings.heartbeat;
        if !majority || (!all && patient) {
            return;
        }
        let seats: Seats = founding.promises.clone();
        let generation = founding.generation;
        let configuration =
            Arc::new(Configuration { epoch: self.hosts.epoch, resizing: false, lists, maps: vec![seats] });
        let entry = Entry {
            term: 1,
            index: 1,
            time: LogTime(0),
            payload: Payload::Configuration(configuration.clone()),
        };
        let mut bound = Bound::new(generation, 1, self.hosts.epoch, self.now, self.settings.testing);
        bound.voted_for = Some(self.outbox.me.clone());
        bound.push(Arc::new(entry));
        self.become_bound(bound, true);
        self.lead(1);
    }

    /// Whether a message of this generation may bind a free incarnation.
    pub(super) fn may_bind(
        &self,
        generation: Generation,
        term: Term,
        active: bool,
        founding_epoch: Epoch,
    ) -> bool {
        let Life::Free(free) = &self.life else { return false };
        let founding_only = term > 1 && self.settings.testing.lacks(Mutant::FoundingTermOnly);
        // Rule 3b holds until something is known to be committed. A first round is acked only after the quarantine,
        // and only where the promise still is.
        active
            || (self.rested(false)
                && (self.hosts.epoch <= founding_epoch || founding_only)
                && free.promised.as_ref().is_some_and(|(_, promised)| *promised == generation))
    }

    pub(super) fn bind(&mut self, generation: Generation, term: Term, founding_epoch: Epoch) {
        self.become_bound(
            Bound::new(generation, term, founding_epoch, self.now, self.settings.testing),
            false,
        );
    }

    fn become_bound(&mut self, bound: Bound, founder: bool) {
        self.outbox.generation = Some(bound.generation);
        self.replica.begin(bound.generation, self.now);
        self.outbox.event(Event::Bound { generation: bound.generation, founder });
        self.life = Life::Bound(Box::new(bound));
        self.dirty = true;
    }
}
