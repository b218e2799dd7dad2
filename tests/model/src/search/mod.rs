//! The searches: everything that can happen, or many random histories.
//!
//! ```text
//! Model  = start state, the steps that are possible in a state, the state after a step
//! State  = a small value; its fingerprint (64 bits, equal for states that differ by names only) stands for it
//! Seen   = fingerprint → fingerprint of the state before it
//! Report = the verdict with what was counted on the way
//! ```
//!
//! A fingerprint that two states share by chance hides one of them: with n states the expected number of such pairs is
//! n²/2⁶⁵, one in three thousand at 100 million.

mod exhaust;
mod finish;
mod seen;
#[cfg(test)]
mod tests;
mod walk;

use std::fmt;
use std::time::Duration;

pub use exhaust::exhaust;
pub use finish::{Goal, can_always_finish};
pub use walk::{Walks, walk};

/// A protocol as a state machine.
pub trait Model: Sync {
    /// Everything that matters at one moment.
    type State: Clone + PartialEq + Send + Sync;
    /// One thing that can happen.
    type Step: Copy + PartialEq + Send + Sync;

    /// Where every history begins.
    fn start(&self) -> Self::State;

    /// Replaces `steps` by those that are possible in `state`.
    fn steps(&self, state: &Self::State, steps: &mut Vec<Self::Step>);

    /// The state after a step, and what it broke, if anything.
    fn take(&self, state: &Self::State, step: Self::Step) -> (Self::State, Option<Broken>);

    /// Stands for the state: equal for states from which the same things can happen, up to names.
    fn fingerprint(&self, state: &Self::State) -> u64;

    /// One line of a trace.
    fn tell(&self, before: &Self::State, step: Self::Step, after: &Self::State) -> String;

    /// Names of what should happen somewhere in a search that claims to have seen everything.
    fn features(&self) -> &'static [&'static str];

    /// Which of them hold in this state, a bit each.
    fn features_of(&self, state: &Self::State) -> u32;

    /// Steps of the same class below [`CLASSES`] are taken less often in some random walks, so that quiet and stormy
    /// histories both happen. `None`: always taken when drawn.
    fn class(&self, step: Self::Step) -> Option<usize>;
}

/// How many classes of steps [`Model::class`] may name.
pub const CLASSES: usize = 4;

/// The property that does not hold, in words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Broken(pub &'static str);

/// Bounds of a search.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Stop when that many states have been seen.
    pub states: usize,
    /// Threads that search.
    pub threads: usize,
    /// Say on standard error how far it is.
    pub progress: bool,
}

impl Limits {
    /// So many states, on one thread, in silence.
    #[must_use]
    pub fn states(states: usize) -> Self {
        Self { states, threads: 1, progress: false }
    }
}

/// What a search found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The answer.
    pub verdict: Verdict,
    /// States seen; of walks, steps taken.
    pub states: usize,
    /// Steps tried.
    pub steps: u64,
    /// Length of the longest shortest path to a state; of walks, their number.
    pub depth: usize,
    /// How many of the states had each feature of the model.
    pub features: Vec<(&'static str, u64)>,
    /// How long it took.
    pub took: Duration,
}

/// The answer of a search.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Every reachable state was looked at and nothing broke.
    Exhausted,
    /// Nothing broke, but the search ended at its bound.
    Bounded,
    /// Nothing broke in any of the walks.
    Walked,
    /// The property does not hold.
    Broken(Story),
    /// States from which the end cannot be reached any more, and the way to one.
    Stuck {
        /// How many.
        states: usize,
        /// The way to one of them.
        story: Story,
    },
}

/// A counterexample.
#[derive(Clone, Debug)]
pub struct Story {
    /// What broke.
    pub broken: Broken,
    /// What happened, one line a step.
    pub lines: Vec<String>,
}

impl fmt::Display for Story {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, line) in self.lines.iter().enumerate() {
            writeln!(f, "  {:>3}  {line}", at + 1)?;
        }
        writeln!(f, "  ==>  {}", self.broken.0)
    }
}

impl Report {
    /// The counterexample, if there is one.
    #[must_use]
    pub fn story(&self) -> Option<&Story> {
        match &self.verdict {
            Verdict::Broken(story) | Verdict::Stuck { story, .. } => Some(story),
            _ => None,
        }
    }

    /// How often a feature of this name was seen.
    #[must_use]
    pub fn seen(&self, feature: &str) -> u64 {
        self.features.iter().find(|(name, _)| *name == feature).map_or(0, |(_, count)| *count)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = self.took.as_secs_f64();
        let (states, steps, depth) = (self.states, self.steps, self.depth);
        match &self.verdict {
            Verdict::Exhausted => {
                write!(f, "holds, exhausted: {states} states, {steps} steps, depth {depth}, {took:.1} s")
            }
            Verdict::Bounded => {
                write!(
                    f,
                    "holds within the bound: {states} states, {steps} steps, depth {depth}, {took:.1} s"
                )
            }
            Verdict::Walked => write!(f, "holds in {depth} walks, {steps} steps, {took:.1} s"),
            Verdict::Broken(story) => {
                write!(f, "BREAKS in {} steps ({states} states seen, {took:.1} s)", story.lines.len())
            }
            Verdict::Stuck { states: stuck, story } => {
                write!(
                    f,
                    "STUCK: {stuck} of {states} states have no way to the end; one after {} steps ({took:.1} s)",
                    story.lines.len()
                )
            }
        }
    }
}

/// Tells a sequence of steps from the start.
fn tell<M: Model>(model: &M, steps: &[M::Step], broken: Broken) -> Story {
    let mut state = model.start();
    let mut lines = Vec::new();
    for step in steps {
        let (next, _) = model.take(&state, *step);
        lines.push(model.tell(&state, *step, &next));
        state = next;
    }
    Story { broken, lines }
}

/// Mixes words into a fingerprint. Not for enemies: the states are not chosen by anybody.
#[must_use]
pub fn fingerprint(words: &[u64]) -> u64 {
    let hash = words.iter().fold(0x9e37_79b9_7f4a_7c15_u64, |hash, word| {
        let left = u128::from(hash ^ word ^ 0xa076_1d64_78bd_642f);
        let right = u128::from(0xe703_7ed1_a0b4_28db ^ word.rotate_left(32));
        let wide = left * right;
        ((wide >> 64) as u64) ^ (wide as u64) ^ hash.rotate_left(23)
    });
    hash.max(1)
}
