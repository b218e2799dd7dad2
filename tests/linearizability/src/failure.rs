//! Why a history was not accepted.

use std::fmt::Debug;

use crate::history::Operation;
use crate::story::Violation;

/// Why a history was not accepted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Failure<K: Debug> {
    /// No order of the operations on one key explains what the clients were told.
    #[error("{0}")]
    Violation(Box<Violation<K>>),
    /// A generation still answered a call that came after a later generation had answered one.
    #[error(
        "a generation answered after its end:\n  {newer}\n  was answered by a later generation, and after that\n  {older}\n  by an earlier one"
    )]
    Overlap {
        /// Called later, answered by the earlier generation.
        older: Box<Operation<K>>,
        /// Answered earlier, by the later generation.
        newer: Box<Operation<K>>,
    },
    /// An operation was answered by a generation that did not live during the call.
    #[error("the generation {name:032x} did not live during this call, which it answered:\n  {operation}")]
    OutsideGeneration {
        /// Which operation.
        operation: Box<Operation<K>>,
        /// Which generation.
        name: u128,
    },
    /// The search for an order of one key's operations passed its limit: neither accepted nor refused.
    #[error("gave up on key {key:?} after {states} states and {tries} tries: neither linearizable nor not")]
    GaveUp {
        /// Which key.
        key: K,
        /// Different states that were looked at.
        states: usize,
        /// Operations tried on them.
        tries: usize,
    },
    /// The history contradicts itself: the recorder is wrong, and nothing is said of the system.
    #[error("{reason}:\n  {operation}")]
    Malformed {
        /// Which operation.
        operation: Box<Operation<K>>,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Two generations have the same name, or one begins before its predecessor.
    #[error("the list of generations is out of order or names {name:032x} twice")]
    Generations {
        /// The first that does not fit.
        name: u128,
    },
}
