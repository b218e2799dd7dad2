//! Whether an unknown write placed now can be of use: who could come next.
//!
//! ```text
//! Outlook ─┬─ steps        open steps that depend on the state, and the numbers that they want to find
//!          ├─ creators     unknown writes that make a value where there is none, and may need that: if absent, increment
//!          ├─ if_version   unknown puts that need a value
//!          └─ sums         the least and the most that unknown increments can add
//! ```
//!
//! An unknown write is placed only before something that depends on it (pruning 4 of [`crate::search`]): an open step,
//! or another unknown write, for which the same holds. This answers for all such chains at once, and rather yes than
//! no: what it refuses leads nowhere.

use crate::config::Config;
use crate::history::Condition;
use crate::model::{Expect, Kind, State, Step, Version, What};
use crate::plan::{Event, EventKind, Plan};

pub(crate) struct Outlook<'b> {
    plan: &'b Plan<'b>,
    now: u64,
    /// Windows end here: an unknown put may be the last one placed, and whoever needs it comes later.
    at_end: bool,
    steps: Vec<&'b Step>,
    wanted: Vec<i64>,
    creators: Vec<&'b Step>,
    if_version: Vec<&'b Step>,
    least: i128,
    most: i128,
}

impl<'b> Outlook<'b> {
    /// `open`: steps without a place; `left`: classes with members to use.
    pub(crate) fn new(
        plan: &'b Plan<'b>,
        event: &Event,
        config: &Config,
        open: &[u32],
        left: &[u32],
    ) -> Self {
        let (now, at_end) = (event.time, event.kind == EventKind::WindowEnds);
        let steps = open.iter().map(|number| &plan.steps[*number as usize]);
        let steps: Vec<&Step> = steps.filter(|step| !step.is_blind()).collect();
        let wanted = steps.iter().filter_map(|step| match step.found() {
            Some(What::Number(number)) => Some(number),
            _ => None,
        });
        let wanted = wanted.collect();
        let (creators, if_version) = (Vec::new(), Vec::new());
        let mut outlook = Self { plan, now, at_end, steps, wanted, creators, if_version, least: 0, most: 0 };
        for number in left {
            let class = &plan.classes[*number as usize];
            match class.step.kind {
                Kind::Increment { by, .. } => {
                    let sum = i128::from(by) * (class.called(now) - config.used(*number)) as i128;
                    outlook.least += sum.min(0);
                    outlook.most += sum.max(0);
                    outlook.creators.push(&class.step);
                }
                Kind::Put { condition: Condition::IfAbsent, .. } => outlook.creators.push(&class.step),
                Kind::Put { condition: Condition::IfVersion(_), .. } => outlook.if_version.push(&class.step),
                Kind::Put { condition: Condition::Always, .. } | Kind::Remove | Kind::Read => {}
            }
        }
        outlook
    }

    /// Whether an unknown write or a vanishing value that leaves this state can be of use.
    pub(crate) fn leads_on(&self, state: State) -> bool {
        self.serves(state)
            || self.conditional(state).any(|next| {
                self.at_end
                    || next.held.is_none()
                    || self.serves(next)
                    || self.accepted(&self.if_version, next).next().is_some()
                    || next.may_expire(self.now)
            })
            || state.may_expire(self.now) && {
                let gone = state.emptied();
                self.serves(gone) || self.conditional(gone).next().is_some()
            }
    }

    /// Whether whoever comes next wants no more than that there is a value, and replaces or removes it.
    pub(crate) fn any_value_serves(&self, state: State) -> bool {
        !self.accepted(&self.steps, state).any(|(step, _)| !step.needs_any())
            && !self.counts_up(state)
            && self.conditional(state).next().is_none()
            && !state.may_expire(self.now)
    }

    /// An open step, perhaps after some unknown increments.
    fn serves(&self, state: State) -> bool {
        self.accepted(&self.steps, state).next().is_some() || self.counts_up(state)
    }

    fn counts_up(&self, state: State) -> bool {
        let number = match state.held.map(|held| held.what) {
            None => 0,
            Some(What::Number(number)) => number,
            Some(What::Bytes(_) | What::Unseen) => return false,
        };
        let between = |wanted: &i64| {
            let sum = i128::from(*wanted) - i128::from(number);
            self.least <= sum && sum <= self.most
        };
        (self.least, self.most) != (0, 0)
            && (self.wanted.iter().any(between)
                || self.steps.iter().any(|step| step.expect == Expect::NotANumber))
    }

    fn conditional(&self, state: State) -> impl Iterator<Item = State> + '_ {
        let unknown = if state.held.is_none() { &self.creators } else { &self.if_version };
        self.accepted(unknown, state).map(|(_, next)| next)
    }

    fn accepted<'c>(
        &'c self,
        steps: &'c [&'b Step],
        state: State,
    ) -> impl Iterator<Item = (&'b Step, State)> + 'c {
        steps.iter().filter_map(move |step| Some((*step, self.plan.effect(step, state, self.now)?)))
    }
}

impl Plan<'_> {
    /// The state after a step. Other than [`Step::apply`] this knows which indices belong to answered steps: a version
    /// that nobody told yet is none of them, or that step would be left without a place.
    pub(crate) fn effect(&self, step: &Step, state: State, now: u64) -> Option<State> {
        let next = step.apply(state, now)?;
        let Some(Version::Above(_)) = state.held.map(|held| held.version) else { return Some(next) };
        let learned = match (step.expect, step.kind) {
            (Expect::Seen { version, .. } | Expect::ConditionFailed { version }, _) => version,
            (_, Kind::Put { condition: Condition::IfVersion(version), .. }) => Some(version),
            _ => None,
        };
        let taken = learned.is_some_and(|version| self.told.binary_search(&version).is_ok());
        (!taken).then_some(next)
    }
}
