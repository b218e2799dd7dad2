//! One moment of the world.
//!
//! Sets of slots are bits; a set that names incarnations means the present ones of those slots.

use crate::slots::{Generations, MAX_GENERATIONS, MAX_SLOTS, Slots, majority, squeeze};

/// What the log of a generation says about lists. Seats are beside it, in [`Generation::seats`].
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Configuration {
    /// The epoch of the list that it corresponds to.
    pub number: u8,
    /// The first list.
    pub now: Slots,
    /// The second one, if not empty.
    pub next: Slots,
}

/// What a leader has proposed and what is not decided yet.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Round {
    /// Nothing.
    #[default]
    None,
    /// An entry.
    Entry,
    /// New incarnations take the seats of [`Generation::swapped`].
    Seats,
    /// Another configuration.
    Change(Configuration),
}

/// One life of the log, with its pending round.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Generation {
    /// For traces only.
    pub name: u8,
    /// Its founder has fixed the seats.
    pub formed: bool,
    /// It has committed something.
    pub active: bool,
    /// It can never commit again; what it committed still stands before others.
    pub dead: bool,
    /// Terms tried before it committed something: 0, 1, or 2 for more.
    pub terms: u8,
    /// While it is being founded.
    pub founder: Slots,
    /// Of the founder's list; 0 once active, when nobody asks any more.
    pub epoch: u8,
    /// The lists in force.
    pub configuration: Configuration,
    /// Before it is formed: who promised. After: the seats that are held by the present incarnation of their slot.
    pub seats: Slots,
    /// Who is bound to it.
    pub members: Slots,
    /// Who promised it and nobody else; only with exclusive promises.
    pub promised: Slots,
    /// What is proposed.
    pub round: Round,
    /// Who acked it. An ack outlives its giver.
    pub acks: Slots,
    /// Slots whose seats it changes.
    pub swapped: Slots,
    /// Of those: the new incarnation still runs.
    pub newcomers: Slots,
    /// The generations that had committed something when it was proposed.
    pub seen: Generations,
    /// The generations that are before this one: they had committed something before it proposed what it committed.
    pub before: Generations,
}

/// Everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State {
    /// The epoch of the list that each slot reads.
    pub view: [u8; MAX_SLOTS],
    /// The incarnation of each slot, for traces only.
    pub incarnation: [u8; MAX_SLOTS],
    /// The epoch of the newest list.
    pub written: u8,
    /// The highest number of a configuration that was ever committed: what an operator may have seen.
    pub committed: u8,
    /// How many generations there are.
    pub count: u8,
    /// Names given, for traces only.
    pub names: u8,
    /// The first `count` of them.
    pub generations: [Generation; MAX_GENERATIONS],
}

impl State {
    /// All slots read list 0, there is no generation.
    #[must_use]
    pub fn start() -> Self {
        Self {
            view: [0; MAX_SLOTS],
            incarnation: [0; MAX_SLOTS],
            written: 0,
            committed: 0,
            count: 0,
            names: 0,
            generations: Default::default(),
        }
    }

    /// Those that there are.
    #[must_use]
    pub fn alive(&self) -> &[Generation] {
        &self.generations[..usize::from(self.count)]
    }

    pub(super) fn alive_mut(&mut self) -> &mut [Generation] {
        &mut self.generations[..usize::from(self.count)]
    }

    /// The others that have committed something.
    pub(super) fn others_active(&self, me: usize) -> Generations {
        let others = self.alive().iter().enumerate().filter(|(at, g)| *at != me && g.active);
        others.fold(0, |set, (at, _)| set | 1 << at)
    }

    /// Takes a generation out of the table.
    pub(super) fn forget(&mut self, at: usize) {
        self.generations.copy_within(at + 1.., at);
        self.generations[MAX_GENERATIONS - 1] = Generation::default();
        self.count -= 1;
        for generation in self.alive_mut() {
            generation.seen = squeeze(generation.seen, at);
            generation.before = squeeze(generation.before, at);
        }
    }
}

impl Generation {
    /// Every slot of its lists.
    #[must_use]
    pub fn slots(&self) -> Slots {
        self.configuration.slots()
    }

    pub(super) fn clear_round(&mut self) {
        self.round = Round::None;
        (self.acks, self.swapped, self.newcomers, self.seen) = (0, 0, 0, 0);
    }
}

impl Configuration {
    /// Every slot of its lists.
    #[must_use]
    pub fn slots(&self) -> Slots {
        self.now | self.next
    }

    /// The lists without the number.
    pub(super) fn lists(&self) -> (Slots, Slots) {
        (self.now, self.next)
    }

    /// A majority of each list.
    pub(super) fn quorum(&self, set: Slots) -> bool {
        majority(set, self.now) && (self.next == 0 || majority(set, self.next))
    }
}
