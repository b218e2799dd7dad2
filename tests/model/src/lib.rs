//! Exhaustive models of the consensus protocol, and of the variants of it that must break.
//!
//! ```text
//! search     Model = start, steps, the state after a step   →  exhaust, walk, can_always_finish  →  Report, Story
//! lists      rule 3: generations while the operator changes the host list, takes changes back, changes again
//! catalogue  Check = a model at a size + what the search must find
//! ```
//!
//! A rule is checked by looking at every state that can be reached at a small size, or by random walks at a large one.
//! A weaker variant of it must give a counterexample, or the model says nothing about what the variant leaves out;
//! the shortest counterexamples are kept as golden files in `tests/stories`.

pub mod catalogue;
pub mod genesis;
pub mod lists;
pub mod search;
pub mod seats;
pub mod slots;
