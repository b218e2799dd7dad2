//! Rules 3 and 4: the number of slots changes while the cache serves.
//!
//! ```text
//! lists [A], number e ──SetSize{e+1, A, B}──▶ lists [A, B], number e+1 ──by both majorities──▶ lists [B], number e+2
//!     ▲                                            │ made by a genesis under both lists: waits for a SetSize
//!     └──────────SetSize{e+2, A, none}─────────────┘ (taken back; lists [A], number e+2)
//! ```
//!
//! A change is known by its number, never by the names of its slots alone: a delayed one would split 3→5→3. It begins only
//! when a majority of A's slots have read the list that announces it, and most of B's slots have a caught-up member. The
//! leadership moves off the leaving slots first.

use crate::api::{Event, Output, SizeChange, SizeProgress, SizeRefusal};
use crate::config::{Configuration, Seats};
use crate::node::Node;
use crate::node::bound::Bound;
use crate::testing::Mutant;
use crate::types::{Epoch, Incarnation, Slot};

/// Slots of one list, at most.
const SLOTS: usize = 9;

/// The same slots, in whatever order.
fn same(a: &[Slot], b: &[Slot]) -> bool {
    a.len() == b.len() && a.iter().all(|slot| b.contains(slot))
}

/// What must be done to a configuration.
#[derive(Clone, Debug, PartialEq)]
enum Step {
    /// Two lists, until both agree to leave.
    Begin { epoch: Epoch, next: Vec<Slot> },
    /// The second list alone.
    Complete,
    /// The first list alone, under this number.
    Settle { epoch: Epoch },
}

impl SizeChange {
    fn well_formed(&self) -> bool {
        // Somebody must be in both: the leadership moves to whoever stays.
        let stays = self.next.as_ref().is_none_or(|next| next.iter().any(|slot| self.now.contains(slot)));
        stays
            && [Some(&self.now), self.next.as_ref()].into_iter().flatten().all(|list| {
                let mut sorted = list.clone();
                sorted.sort();
                sorted.dedup();
                !list.is_empty() && list.len() <= SLOTS && sorted.len() == list.len()
            })
    }

    /// Number of the configuration that it ends with.
    fn last_epoch(&self) -> Epoch {
        self.epoch + u64::from(self.next.is_some())
    }

    /// What it does to this configuration; `None`: it does not begin with it. Pure.
    fn step(&self, from: &Configuration, by_slots: bool) -> Option<Step> {
        let number = |epoch: Epoch| from.epoch == epoch || by_slots;
        match (from.lists.as_slice(), &self.next) {
            ([now], Some(next)) if same(now, &self.now) && number(self.epoch - 1) => {
                Some(Step::Begin { epoch: self.epoch, next: next.clone() })
            }
            ([now, then], Some(next)) if same(now, &self.now) && same(then, next) && number(self.epoch) => {
                Some(Step::Complete)
            }
            // Taken back: only what a genesis made, and nobody has begun to finish.
            ([now, _], None) if same(now, &self.now) && number(self.epoch - 1) && !from.resizing => {
                Some(Step::Settle { epoch: self.epoch })
            }
            // Taken back before anything came of it: only the number moves on.
            ([now], None) if same(now, &self.now) && from.epoch < self.epoch => {
                Some(Step::Settle { epoch: self.epoch })
            }
            _ => None,
        }
    }
}

impl Node {
    pub(super) fn set_size(&mut self, ticket: u64, change: SizeChange) {
        let progress = self.judge_size(&change);
        if progress == Ok(SizeProgress::Preparing)
            && let Some(leader) = self.bound().and_then(Bound::leader)
        {
            leader.wanted = Some(change);
            self.dirty = true;
        }
        self.outbox.out.push(Output::Size { ticket, progress });
    }

    fn judge_size(&self, change: &SizeChange) -> Result<SizeProgress, SizeRefusal> {
        if !change.well_formed() || change.epoch == 0 {
            return Err(SizeRefusal::Malformed);
        }
        if !self.serves() {
            return Err(SizeRefusal::NotLeader);
        }
        let bound = self.bound_ref().ok_or(SizeRefusal::NotLeader)?;
        let (Some(committed), Some(latest)) = (bound.committed(), bound.latest()) else {
            return Err(SizeRefusal::NotLeader);
        };
        let by_slots = self.settings.testing.lacks(Mutant::SetSizeBySlots);
        let ends_with = change.next.as_ref().unwrap_or(&change.now);
        let reached = |c: &Configuration| {
            c.epoch > change.last_epoch()
                || (c.epoch == change.last_epoch() || by_slots)
                    && matches!(c.lists.as_slice(), [list] if same(list, ends_with))
        };
        if reached(committed) && bound.configurations.len() == 1 && self.known_to_a_quorum() {
            return Ok(SizeProgress::Done);
        }
        if reached(latest) || (latest.resizing && latest.epoch == change.epoch) {
            return Ok(SizeProgress::UnderWay);
        }
        let step = change.step(latest, by_slots);
        let step = step.ok_or(SizeRefusal::OtherConfiguration { epoch: latest.epoch })?;
        self.confirmed(change)?;
        if let Step::Begin { next, .. } = &step {
            self.enough_have_learned(latest, next)?;
        }
        Ok(SizeProgress::Preparing)
    }

    /// A quorum of the members has applied the configuration in force: even without this leader nobody needs the slots that
    /// were left any more, and their pods may go.
    fn known_to_a_quorum(&self) -> bool {
        let Some(bound) = self.bound_ref() else { return false };
        let (Some(leader), Some((index, _))) = (bound.leader_ref(), bound.configurations.front()) else {
            return false;
        };
        let me = &self.outbox.me;
        let applied = |who: &Incarnation| {
            if who == me { bound.commit } else { leader.progress.get(who).map_or(0, |p| p.applied) }
        };
        bound.reached(applied) >= *index
    }

    /// Rule 3c: a majority of the slots says, from its own volume, that it reads this list or a later one.
    fn confirmed(&self, change: &SizeChange) -> Result<(), SizeRefusal> {
        if self.settings.testing.lacks(Mutant::SetSizeUnconfirmed) {
            return Ok(());
        }
        let needed = change.now.len() / 2 + 1;
        let reads = |slot: &&Slot| {
            if **slot == self.outbox.me.slot {
                self.hosts.epoch >= change.epoch
            } else {
                self.reachable().any(|peer| peer.who.slot == **slot && peer.epoch >= change.epoch)
            }
        };
        let confirmed = change.now.iter().filter(reads).count();
        if confirmed >= needed { Ok(()) } else { Err(SizeRefusal::Unconfirmed { confirmed, needed }) }
    }

    /// Rule 4: the new nodes are caught-up learners first. One that is dead or out of reach blocks nothing while a majority
    /// lives; one that still learns is waited for.
    fn enough_have_learned(&self, current: &Configuration, next: &[Slot]) -> Result<(), SizeRefusal> {
        let reachable = self.reachable().filter(|peer| next.contains(&peer.who.slot)).count();
        let myself = usize::from(next.contains(&self.outbox.me.slot));
        let needed = (next.len() / 2 + 1).max(reachable + myself);
        let caught_up = next.iter().filter(|slot| self.has_caught_up(current, slot)).count();
        if caught_up >= needed { Ok(()) } else { Err(SizeRefusal::NotCaughtUp { caught_up, needed }) }
    }

    /// Whoever lives in this slot holds what is committed, with a seat or, in a new slot, without.
    fn has_caught_up(&self, current: &Configuration, slot: &Slot) -> bool {
        let Some(bound) = self.bound_ref() else { return false };
        let Some(leader) = bound.leader_ref() else { return false };
        // Whoever learns in a new slot gets its seat with the change; a seat of the present slots must be held before.
        let new = !current.has(slot);
        *slot == self.outbox.me.slot
            || leader.progress.iter().any(|(who, progress)| {
                who.slot == *slot && (new || current.seats(who)) && self.caught_up(progress, bound.commit)
            })
    }

    /// The next configuration that a change of size asks for; moves the leadership where that must come first.
    pub(super) fn next_of_size(&mut self, current: &Configuration) -> Option<Configuration> {
        let by_slots = self.settings.testing.lacks(Mutant::SetSizeBySlots);
        let wanted = self.bound().and_then(Bound::leader)?.wanted.clone();
        let step = match &wanted {
            // Any leader completes what a change of size has begun.
            _ if current.resizing && current.lists.len() == 2 => Step::Complete,
            Some(change) => match change.step(current, by_slots) {
                Some(step) => step,
                None => {
                    self.bound().and_then(Bound::leader)?.wanted = None; // done, or overtaken
                    return None;
                }
            },
            None => return None,
        };
        let me = self.outbox.me.slot.clone();
        match step {
            Step::Begin { epoch, next } => {
                if self.enough_have_learned(current, &next).is_err() {
                    return None;
                }
                if !next.contains(&me) {
                    self.hand_over_to(Some(next));
                    return None;
                }
                let seats = self.with_newcomers(current, &next)?;
                let lists = vec![current.lists.first()?.clone(), next];
                let both = Configuration { epoch, resizing: true, lists, maps: vec![seats] };
                if !self.could_commit(&both) {
                    return None; // seats must be given first
                }
                self.outbox.event(Event::Resizing { epoch });
                Some(both)
            }
            Step::Complete => {
                let next = current.lists.get(1)?.clone();
                if !next.contains(&me) {
                    self.hand_over_to(Some(next));
                    return None;
                }
                self.only(current, next, current.epoch + 1)
            }
            Step::Settle { epoch } => {
                let now = current.lists.first()?.clone();
                if !now.contains(&me) {
                    self.hand_over_to(Some(now));
                    return None;
                }
                self.only(current, now, epoch)
            }
        }
    }

    /// Enough of its seats are held by somebody who holds what is committed and answers: it would not stand for ever.
    fn could_commit(&self, configuration: &Configuration) -> bool {
        let Some(bound) = self.bound_ref() else { return false };
        let Some(leader) = bound.leader_ref() else { return false };
        configuration.quorum(|who| {
            *who == self.outbox.me
                || leader.progress.get(who).is_some_and(|progress| self.caught_up(progress, bound.commit))
        })
    }

    /// One list, with the seats of its slots.
    fn only(&mut self, current: &Configuration, list: Vec<Slot>, epoch: Epoch) -> Option<Configuration> {
        let [seats] = current.maps.as_slice() else { return None };
        let seats: Seats = seats
            .iter()
            .filter(|(slot, _)| list.contains(slot))
            .map(|(s, who)| (s.clone(), who.clone()))
            .collect();
        self.outbox.event(Event::Resizing { epoch });
        Some(Configuration { epoch, resizing: false, lists: vec![list], maps: vec![seats] })
    }

    /// The seats, and those of the new slots for whoever has learned enough to hold one. They count in the new list only, so
    /// they need no joint configuration of two maps.
    fn with_newcomers(&self, current: &Configuration, next: &[Slot]) -> Option<Seats> {
        let [seats] = current.maps.as_slice() else { return None };
        let bound = self.bound_ref()?;
        let leader = bound.leader_ref()?;
        let mut seats = seats.clone();
        for (who, progress) in &leader.progress {
            let new = next.contains(&who.slot) && !current.slots().contains(&who.slot);
            if new && self.caught_up(progress, bound.commit) {
                seats.insert(who.slot.clone(), who.clone());
            }
        }
        Some(seats)
    }

    /// The next host list adds this slot: whoever lives there may learn already.
    pub(super) fn is_announced(&self, current: &Configuration, slot: &Slot) -> bool {
        self.hosts.epoch > current.epoch && self.hosts.next.iter().flatten().any(|s| s == slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(n: usize) -> Vec<Slot> {
        (0..n).map(|i| Slot::new(&format!("n{i}:1"))).collect()
    }

    fn config(epoch: Epoch, lists: Vec<Vec<Slot>>, resizing: bool) -> Configuration {
        Configuration { epoch, resizing, lists, maps: vec![Seats::new()] }
    }

    fn change(epoch: Epoch, now: usize, next: Option<usize>) -> SizeChange {
        SizeChange { epoch, now: slots(now), next: next.map(slots) }
    }

    #[test]
    fn a_change_begins_with_its_own_number_only() {
        let begin = change(5, 3, Some(5));
        let three = |epoch| config(epoch, vec![slots(3)], false);
        assert_eq!(begin.step(&three(4), false), Some(Step::Begin { epoch: 5, next: slots(5) }));
        for epoch in [0, 3, 5, 6, 8] {
            assert_eq!(begin.step(&three(epoch), false), None, "number {epoch}");
        }
        assert_eq!(begin.step(&config(4, vec![slots(4)], false), false), None, "other slots");
    }

    #[test]
    fn two_lists_are_left_forward_by_their_change_and_back_only_if_a_genesis_made_them() {
        let both = |resizing| config(5, vec![slots(3), slots(5)], resizing);
        assert_eq!(change(5, 3, Some(5)).step(&both(false), false), Some(Step::Complete));
        assert_eq!(change(5, 3, Some(4)).step(&both(false), false), None);
        assert_eq!(change(6, 3, None).step(&both(false), false), Some(Step::Settle { epoch: 6 }));
        assert_eq!(
            change(6, 3, None).step(&both(true), false),
            None,
            "it is under way, it is finished first"
        );
        assert_eq!(change(7, 3, None).step(&both(false), false), None);
    }

    #[test]
    fn what_was_taken_back_only_counts_on() {
        let three = config(4, vec![slots(3)], false);
        assert_eq!(change(6, 3, None).step(&three, false), Some(Step::Settle { epoch: 6 }));
        assert_eq!(change(4, 3, None).step(&three, false), None, "it is there already");
        assert_eq!(change(7, 3, Some(5)).step(&three, false), None, "not before the number has moved on");
    }

    #[test]
    fn malformed_lists_are_refused() {
        let mut twice = change(1, 3, None);
        twice.now.push(Slot::new("n0:1"));
        assert!(!twice.well_formed());
        assert!(!change(1, 0, None).well_formed());
        assert!(!change(1, 3, Some(10)).well_formed());
        let disjoint = SizeChange { epoch: 1, now: slots(1), next: Some(vec![Slot::new("n7:1")]) };
        assert!(!disjoint.well_formed(), "nobody stays who could lead over");
        assert!(change(1, 1, Some(9)).well_formed());
    }
}
