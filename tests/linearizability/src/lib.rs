//! Is what the clients of a cache saw explained by a single cache that does one thing after another?
//!
//! ```text
//! History ─▶ segment  per key and generation   ─▶ plan     events in time, open operations, like unknown writes
//!         ─▶ search   Wing & Gong, Lowe: an order that explains every answer   (model: what one key does)
//!         ─▶ Stats, or a Failure: the Violation as a story
//! ```
//!
//! A history is [linearizable](https://doi.org/10.1145/78969.78972) if each operation can be given a moment between
//! its call and its answer so that, one after another in the order of these moments, they give the answers that were
//! given. [`check`] searches such an order for each key. Beyond that it knows what is special here:
//!
//! * A write without an answer may take effect at any time after its call, or never.
//! * A generation of the cache begins empty and takes everything along when it ends, unknown writes included.
//! * A value with a time to live vanishes at some moment of a [`Window`].
//! * The version of a value is the index of the log entry that wrote it, so later writes have higher ones.
//!
//! Reads that are answered by a replica promise less than that; what they do promise is checked in [`session`].
//! Nothing here does I/O or knows the protocol: the simulator's histories and those of real processes look the same.

mod bits;
mod classes;
mod config;
mod failure;
mod history;
mod model;
mod outlook;
mod plan;
mod search;
mod segment;
pub mod session;
mod story;

use std::collections::BTreeSet;
use std::fmt::Debug;

pub use failure::Failure;
pub use history::{Answer, Condition, Generation, History, Op, Operation, Outcome, Seen, Value, Window};
pub use story::Violation;

use plan::Plan;
use search::{Search, Verdict};

/// How far the search for one key in one generation may go. Beyond it the answer is [`Failure::GaveUp`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Different configurations that it remembers, at some 150 bytes each.
    pub states: usize,
    /// Operations that it tries on them.
    pub tries: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { states: 2_000_000, tries: 20_000_000 }
    }
}

/// What was checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Operations that took effect.
    pub answered: usize,
    /// Writes that may have; one without a generation counts once for each that it could belong to.
    pub unknown: usize,
    /// Keys with at least one of either.
    pub keys: usize,
    /// The most answered operations on one key at the same time.
    pub concurrency: usize,
    /// Configurations that the search looked at.
    pub states: usize,
    /// Operations that it tried on them.
    pub tries: usize,
}

/// Looks for an order of the operations that explains every answer.
///
/// # Errors
/// What is wrong with the first key that has no such order; if all have one as far as was seen,
/// [`Failure::GaveUp`] for the first whose search passed its limit. Before any search: [`Failure::Malformed`] and
/// [`Failure::Generations`] if the recorder is wrong, [`Failure::OutsideGeneration`] and [`Failure::Overlap`] if an
/// answer came from a generation that was over.
pub fn check<K: Ord + Clone + Debug>(history: &History<K>) -> Result<Stats, Failure<K>> {
    check_within(history, Limits::default())
}

/// The same with other limits.
///
/// # Errors
/// As for [`check`].
pub fn check_within<K: Ord + Clone + Debug>(
    history: &History<K>,
    limits: Limits,
) -> Result<Stats, Failure<K>> {
    let mut stats = Stats::default();
    let mut keys = BTreeSet::new();
    let mut gave_up = None;
    for ((key, _), segment) in segment::split(history)? {
        let plan = Plan::new(&history.operations, &segment);
        let mut search = Search::new(&plan, limits);
        let verdict = search.run();
        keys.insert(key);
        stats.answered += segment.answered.len();
        stats.unknown += segment.unknown.len();
        stats.concurrency = stats.concurrency.max(plan.concurrency);
        stats.states += search.states();
        stats.tries += search.tries();
        match verdict {
            Verdict::Linearizable => {}
            Verdict::GaveUp => {
                let (states, tries) = (search.states(), search.tries());
                gave_up.get_or_insert(Failure::GaveUp { key: key.clone(), states, tries });
            }
            Verdict::Stuck(stuck) => {
                // Again, with notes: they are only worth their cost now.
                let mut again = Search::new(&plan, limits).explained();
                again.run();
                let arrivals = again.arrivals();
                let operations = &history.operations;
                let violation = Violation::new(key.clone(), operations, &segment, &plan, &stuck, &arrivals);
                return Err(Failure::Violation(Box::new(violation)));
            }
        }
    }
    stats.keys = keys.len();
    gave_up.map_or(Ok(stats), Err)
}
