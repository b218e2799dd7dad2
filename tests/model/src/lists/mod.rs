//! Rule 3: host lists that change, and the generations that live and die meanwhile.
//!
//! ```text
//! Lists = Plan (what the operator writes) + Rule (the switches) + slots that never start
//! State = which list each slot reads, and up to three generations: founder, promises, lists and seats, the pending
//!         round with its acks, and which generations came before it
//! ```
//!
//! **The property.** Two generations never commit alternately: if G committed something before H proposed something
//! that H then committed, then H never stands before G in the same sense. It is what makes "the cache" one thing.
//!
//! **What is abstracted away**, and why it loses no behaviour (each only adds harmless steps, or reorders them):
//! * Incarnations have no numbers. An old one never returns, so a seat is held by the present incarnation of its slot
//!   or by nobody who will ever speak again. Restarts are therefore unbounded.
//! * A generation that can never commit again is forgotten unless another one stands before it. So the number of
//!   generations over time is unbounded, and only those alive at the same moment are bounded. Its members, and
//!   members that lost their seat, restart at once: a fresh process can do whatever they could, which was to restart.
//! * The Raft inside a generation is a sequence of rounds. A round commits if a quorum acked it; any live member with
//!   a seat may propose one (terms, leaders and logs are the subject of [`crate::seats`]). One round is pending at a
//!   time, and it may be dropped at any time. Acks arrive late and outlive their givers.
//! * Members ack at once, since an early ack disables nothing. A round without a change commits as soon as it has its
//!   quorum, and a generation whose live members are a quorum commits a fresh round in every state: both only help a
//!   violation to show itself.
//! * Without [`Variant::ExclusivePromises`] promises bind nothing and are given at once to whoever may have them. That
//!   allows more than the rule does. A founder counts only promises of incarnations that still run: others could never ack.
//! * Commands of the operator are possible again and again once they were possible: they may be delayed for ever.
//! * Time (quarantine, leases) is not here: [`crate::genesis`] has it.

mod key;
mod plan;
mod quorum;
mod rule;
mod settle;
mod state;
mod steps;
mod story;

pub use plan::{BadPlan, Change, HostList, Plan};
pub use rule::{EpochCheck, Matching, Rule, Variant};
pub use state::{Configuration, Generation, Round, State};
pub use steps::Step;

use crate::search::{Broken, Goal, Model};
use crate::slots::{MAX_SLOTS, Slots, bit};

/// The property that must hold.
pub const ALTERNATE: Broken =
    Broken("two generations commit alternately: each has committed something after the other did");

/// The model: a plan under a rule.
#[derive(Clone, Debug)]
pub struct Lists {
    /// What the operator writes.
    pub plan: Plan,
    /// The rule.
    pub rule: Rule,
    /// Slots whose pods never start.
    pub vacant: Slots,
    classes: Vec<Vec<usize>>,
    births: [u8; MAX_SLOTS],
}

impl Lists {
    /// All slots can start.
    #[must_use]
    pub fn new(plan: Plan, rule: Rule) -> Self {
        Self::with_vacant(plan, rule, 0)
    }

    /// Some slots never start.
    #[must_use]
    pub fn with_vacant(plan: Plan, rule: Rule, vacant: Slots) -> Self {
        let split = |class: Vec<usize>| {
            let (dead, live): (Vec<_>, Vec<_>) = class.into_iter().partition(|slot| vacant & bit(*slot) != 0);
            [dead, live]
        };
        let classes = plan.classes().into_iter().flat_map(split).filter(|class| !class.is_empty()).collect();
        let births = std::array::from_fn(|slot| plan.birth(slot));
        Self { plan, rule, vacant, classes, births }
    }
}

impl Model for Lists {
    type State = State;
    type Step = Step;

    fn start(&self) -> State {
        State::start()
    }

    fn steps(&self, state: &State, steps: &mut Vec<Step>) {
        self.possible(state, steps);
    }

    fn take(&self, state: &State, step: Step) -> (State, Option<Broken>) {
        let mut next = *state;
        self.apply(&mut next, step);
        let broken = self.settle(&mut next).then_some(ALTERNATE);
        (next, broken)
    }

    fn fingerprint(&self, state: &State) -> u64 {
        self.key(state)
    }

    fn tell(&self, before: &State, step: Step, after: &State) -> String {
        self.line(before, step, after)
    }

    fn features(&self) -> &'static [&'static str] {
        &["active", "two active", "of two lists", "of the last list", "last list written", "change pending"]
    }

    fn features_of(&self, state: &State) -> u32 {
        let active = || state.alive().iter().filter(|g| g.active && !g.dead);
        let last = self.plan.last();
        let features = [
            active().count() > 0,
            active().count() > 1,
            active().any(|g| g.configuration.next != 0),
            active().any(|g| g.configuration.number == last),
            state.written == last,
            active().any(|g| matches!(g.round, Round::Change(_))),
        ];
        features.iter().enumerate().fold(0, |bits, (at, holds)| bits | u32::from(*holds) << at)
    }

    fn class(&self, step: Step) -> Option<usize> {
        match step {
            Step::Restart(_) => Some(0),
            Step::Read(_) => Some(1),
            Step::Found(_) => Some(2),
            Step::Drop(_) => Some(3),
            _ => None,
        }
    }
}

impl Goal for Lists {
    /// The last list is written and a generation lives by it.
    fn reached(&self, state: &State) -> bool {
        let last = self.plan.last();
        state.written == last
            && state.alive().iter().any(|g| g.active && !g.dead && g.configuration.number == last)
    }

    /// Everything but the end of a member of a generation that lives, or of its founding.
    fn helps(&self, state: &State, step: Step) -> bool {
        let Step::Restart(slot) = step else { return true };
        !state.alive().iter().any(|g| g.active && !g.dead && g.members & bit(usize::from(slot)) != 0)
    }
}
