//! One moment of the world. Sets of slots name the present incarnations of those slots, unless said otherwise.

use crate::slots::{Generations, MAX_GENERATIONS, MAX_SLOTS, Slots, members, squeeze};

/// What is proposed and not decided yet.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Round {
    /// Nothing.
    #[default]
    None,
    /// An entry.
    Entry,
    /// New incarnations take the seats of [`Generation::swapped`].
    Seats,
}

/// One life of the log, with its pending round.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Generation {
    /// For traces only.
    pub name: u8,
    /// Rank of its ballot among those in the table.
    pub ballot: u8,
    /// Its founder has fixed the seats.
    pub formed: bool,
    /// It has committed something.
    pub active: bool,
    /// It can never commit again; what it committed still stands before others.
    pub dead: bool,
    /// While it is being founded.
    pub founder: Slots,
    /// Who promised it, and no higher ballot since.
    pub held: Slots,
    /// Promises on their way to the founder.
    pub sent: Slots,
    /// Before it is formed: promises that arrived. After: seats that are held by the present incarnation of their slot.
    pub seats: Slots,
    /// Slots whose seat was ever given to anybody; kept for the variant that counts them only.
    pub given: Slots,
    /// Who is bound to it.
    pub members: Slots,
    /// What is proposed.
    pub round: Round,
    /// Ticks that a lease would last if the pending round were committed now.
    pub fresh: u8,
    /// Who acked it. An ack outlives its giver.
    pub acks: Slots,
    /// Slots whose seats it changes.
    pub swapped: Slots,
    /// Of those: the new incarnation still runs.
    pub newcomers: Slots,
    /// Ticks that the lease lasts.
    pub lease: u8,
    /// The generations that had committed something when the round was proposed.
    pub seen: Generations,
    /// The generations that are before this one: they had committed something before it proposed what it committed.
    pub before: Generations,
}

/// Everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct State {
    /// Ticks that are left of each slot's quarantine.
    pub quarantine: [u8; MAX_SLOTS],
    /// The incarnation of each slot, for traces only.
    pub incarnation: [u8; MAX_SLOTS],
    /// How many generations there are.
    pub count: u8,
    /// Names given, for traces only.
    pub names: u8,
    /// The first `count` of them.
    pub generations: [Generation; MAX_GENERATIONS],
}

impl State {
    /// Everybody has just been born, there is no generation.
    #[must_use]
    pub fn start(slots: Slots, ticks: u8) -> Self {
        let mut quarantine = [0; MAX_SLOTS];
        members(slots).for_each(|slot| quarantine[slot] = ticks);
        Self { quarantine, incarnation: [0; MAX_SLOTS], count: 0, names: 0, generations: Default::default() }
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
        let ballot = self.generations[at].ballot;
        self.generations.copy_within(at + 1.., at);
        self.generations[MAX_GENERATIONS - 1] = Generation::default();
        self.count -= 1;
        for generation in self.alive_mut() {
            generation.seen = squeeze(generation.seen, at);
            generation.before = squeeze(generation.before, at);
            generation.ballot -= u8::from(generation.ballot > ballot);
        }
    }
}

impl Generation {
    pub(super) fn clear_round(&mut self) {
        self.round = Round::None;
        (self.acks, self.swapped, self.newcomers, self.seen, self.fresh) = (0, 0, 0, 0, 0);
    }
}
