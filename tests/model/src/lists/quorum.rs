//! Who may found, promise and ack, and what commits.

use crate::lists::rule::EpochCheck;
use crate::lists::state::{Configuration, Generation, Round, State};
use crate::lists::{HostList, Lists};
use crate::slots::{Slots, bit, majority, members};

impl Lists {
    /// Slots that have a process.
    pub(super) fn running(&self, state: &State) -> Slots {
        members(self.plan.all() & !self.vacant)
            .filter(|slot| state.view[*slot] >= self.births[*slot])
            .fold(0, |set, slot| set | bit(slot))
    }

    /// Processes that are bound to no generation.
    pub(super) fn free(&self, state: &State) -> Slots {
        self.running(state) & !state.alive().iter().fold(0, |bound, g| bound | g.members)
    }

    /// Slots that read this list or an older one.
    fn not_newer(&self, state: &State, epoch: u8) -> Slots {
        members(self.plan.all())
            .filter(|slot| state.view[*slot] <= epoch)
            .fold(0, |set, slot| set | bit(slot))
    }

    /// Whether a majority of the members of the list of an epoch have confirmed that they read it or a later one.
    pub(super) fn confirmed(&self, state: &State, epoch: u8) -> bool {
        let readers = members(self.plan.all())
            .filter(|slot| state.view[*slot] >= epoch)
            .fold(0, |set, slot| set | bit(slot));
        majority(readers, self.plan.list(epoch).now)
    }

    /// Who may promise to this founder.
    pub(super) fn may_promise(&self, state: &State, generation: &Generation) -> Slots {
        let willing =
            if self.rule.promise_check { self.not_newer(state, generation.epoch) } else { Slots::MAX };
        self.free(state) & willing & self.plan.slots(generation.epoch)
    }

    /// Who may ack a round of this generation (3b).
    pub(super) fn may_ack(&self, state: &State, generation: &Generation) -> Slots {
        let asked = match self.rule.epoch_check {
            EpochCheck::UntilCommitted => !generation.active,
            EpochCheck::FirstTerm => !generation.active && generation.terms < 2,
            EpochCheck::Never => false,
        };
        if asked { self.not_newer(state, generation.epoch) } else { Slots::MAX }
    }

    /// The configuration that a founder with the list of this epoch writes.
    pub(super) fn founded(&self, epoch: u8) -> Configuration {
        let HostList { now, next } = self.plan.list(epoch);
        match next {
            Some(next) if self.rule.joint_genesis => Configuration { number: epoch, now, next },
            // The variant: it takes itself for one of the list before the change.
            Some(_) => Configuration { number: epoch - 1, now, next: 0 },
            None => Configuration { number: epoch, now, next: 0 },
        }
    }

    /// Whether these acks are a quorum for an entry of this generation.
    pub(super) fn entry_quorum(&self, acks: Slots, generation: &Generation) -> bool {
        if !generation.active && !self.rule.joint_first_round {
            return majority(acks, generation.configuration.now);
        }
        generation.configuration.quorum(acks)
    }

    /// Whether the pending round has its quorum.
    pub(super) fn committable(&self, generation: &Generation) -> bool {
        let (acks, here) = (generation.acks, generation.configuration);
        let old = acks & !generation.swapped;
        match generation.round {
            Round::None => false,
            Round::Entry => self.entry_quorum(acks, generation),
            Round::Seats => here.quorum(old) && here.quorum(acks),
            Round::Change(to) => {
                let leaves = here.next != 0 && to.next == 0;
                to.quorum(acks) && (leaves && !self.rule.left_by_both || here.quorum(old))
            }
        }
    }

    /// Whether it could ever commit something, if everything that may still help did.
    pub(super) fn can_still_commit(&self, state: &State, at: usize) -> bool {
        let generation = &state.generations[at];
        let free = self.free(state);
        if !generation.formed {
            let promised = !self.rule.exclusive_promises || generation.promised & generation.founder != 0;
            let not_newer = self.not_newer(state, generation.epoch);
            let mut hope = generation.seats | if self.rule.promise_check { not_newer } else { Slots::MAX };
            if self.rule.epoch_check == EpochCheck::UntilCommitted {
                hope &= not_newer;
            }
            return generation.founder & free != 0
                && promised
                && self.enough_promises(hope, generation.epoch);
        }
        if generation.round == Round::None && generation.seats & generation.members == 0 {
            return false; // nobody is left who could propose
        }
        let may_ack = match self.rule.epoch_check {
            EpochCheck::FirstTerm => Slots::MAX, // a later term is always to come
            _ => self.may_ack(state, generation),
        };
        let here = generation.configuration;
        let live = generation.members | free;
        let hope = generation.acks | (generation.seats | generation.newcomers) & live & may_ack;
        if here.next == 0 {
            return majority(hope, here.now);
        }
        let by_first = majority(hope, here.now);
        let by_second = majority(hope, here.next);
        match (self.rule.left_by_both, self.rule.joint_first_round || generation.active) {
            (true, true) => by_first && by_second,
            (true, false) => by_first,
            (false, _) => by_first || by_second,
        }
    }

    /// Whether a founder with the list of this epoch may fix the seats with these promises.
    pub(super) fn enough_promises(&self, promises: Slots, epoch: u8) -> bool {
        let HostList { now, next } = self.plan.list(epoch);
        let asks_both = self.rule.joint_first_round;
        majority(promises, now) && next.is_none_or(|next| !asks_both || majority(promises, next))
    }
}
