//! Rule 2: genesis with a fixed host list, with time.
//!
//! ```text
//! Genesis = how many slots + how many ticks L lasts + Rule (the switches)
//! State   = what is left of each slot's quarantine, and up to three generations: ballot, promises given and arrived,
//!           seats, the pending round with its acks, what is left of the lease, which generations came before it
//! ```
//!
//! **The properties.** Two generations never commit alternately; two leases of different generations never stand at
//! once; and nothing is committed while a lease of a generation before still stands. So a generation that serves reads
//! by its lease knows of everything that was ever acknowledged.
//!
//! **Time** is one clock in ticks; L lasts one or two of them, the quarantine as long. Real clocks differ by up to ρ;
//! the factors of Q ≥ L(1+ρ)/(1−ρ) say that a quarantine by the fastest clock is no shorter than a lease by the
//! slowest, which is all that is used here. Between two ticks anything may happen in any order.
//!
//! **What is abstracted away**, and why it loses no behaviour:
//! * Incarnations have no numbers: as in [`crate::lists`], restarts are unbounded, and so are the generations over time.
//! * Ballots are ranks. A founder may take any rank above the promise that it holds itself.
//! * Messages in flight: a request for a promise and a proposal may arrive at any time as long as whoever made it has
//!   not taken it back, also after its death. A promise arrives at any time while its founder asks, also when its giver has moved
//!   on. A promise of somebody who died since is forgotten: his seat could only stay silent. An ack never gets lost and outlives its giver.
//! * Whether somebody thinks that there is a live generation is not asked: anybody may found whenever the rule lets him.
//! * A generation whose live members are a quorum renews its lease in every state, and members ack at once. A lease
//!   lasts as long as some member with a seat lives, whoever may hold it.

mod key;
mod rule;
mod settle;
mod state;
mod steps;
mod story;

pub use rule::{Rule, Variant};
pub use state::{Generation, Round, State};
pub use steps::Step;

use crate::search::{Broken, Goal, Model};
use crate::slots::{Slots, bit, first};

/// Broken if each of two generations committed something after the other had.
pub const ALTERNATE: Broken =
    Broken("two generations commit alternately: each has committed something after the other did");
/// Broken if reads are served by two generations.
pub const TWO_LEASES: Broken = Broken("two generations hold a lease at once: reads are served by both");
/// Broken if reads are served that do not see what was acknowledged.
pub const OLD_LEASE: Broken =
    Broken("a generation commits while one before it still holds a lease: reads there do not see it");

/// The model: slots and time under a rule.
#[derive(Clone, Debug)]
pub struct Genesis {
    /// The slots.
    pub slots: Slots,
    /// How many ticks a lease and a quarantine last, at most 3.
    pub ticks: u8,
    /// The rule.
    pub rule: Rule,
}

impl Genesis {
    /// So many slots, with L and Q of so many ticks.
    #[must_use]
    pub fn new(slots: usize, ticks: u8, rule: Rule) -> Self {
        Self { slots: first(slots), ticks: ticks.min(3), rule }
    }
}

impl Model for Genesis {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        State::start(self.slots, self.ticks)
    }

    fn steps(&self, state: &State, steps: &mut Vec<Step>) {
        self.possible(state, steps);
    }

    fn take(&self, state: &State, step: Step) -> (State, Option<Broken>) {
        let mut next = *state;
        self.apply(&mut next, step);
        let broken = self.settle(&mut next);
        (next, broken)
    }

    fn fingerprint(&self, state: &State) -> u64 {
        self.key(state)
    }

    fn tell(&self, before: &State, step: Step, after: &State) -> String {
        self.line(before, step, after)
    }

    fn features(&self) -> &'static [&'static str] {
        &["active", "two active", "leased", "leased no more", "a promise moved", "seats change"]
    }

    fn features_of(&self, state: &State) -> u32 {
        let active = || state.alive().iter().filter(|g| g.active && !g.dead);
        let moved =
            state.alive().iter().any(|g| !g.formed && (g.sent | g.seats) & !g.held & self.free(state) != 0);
        let features = [
            active().count() > 0,
            active().count() > 1,
            active().any(|g| g.lease > 0),
            active().any(|g| g.lease == 0),
            moved,
            active().any(|g| g.round == Round::Seats),
        ];
        features.iter().enumerate().fold(0, |bits, (at, holds)| bits | u32::from(*holds) << at)
    }

    fn class(&self, step: Step) -> Option<usize> {
        match step {
            Step::Restart(_) => Some(0),
            Step::Tick => Some(1),
            Step::Found(..) => Some(2),
            Step::Drop(_) => Some(3),
            _ => None,
        }
    }
}

impl Goal for Genesis {
    /// A generation holds a lease.
    fn reached(&self, state: &State) -> bool {
        state.alive().iter().any(|g| g.active && g.lease > 0)
    }

    /// Everything but the end of a member of a generation that lives.
    fn helps(&self, state: &State, step: Step) -> bool {
        let Step::Restart(slot) = step else { return true };
        !state.alive().iter().any(|g| g.active && !g.dead && g.members & bit(usize::from(slot)) != 0)
    }
}
