//! Fuzz targets for every decoder that reads bytes from outside: of a peer, the operator, an application, a volume.
//!
//! ```text
//! schema (the .proto files) ─▶ generate ─┐
//! what reached something new ─▶ mutate ──┴─▶ bytes ─▶ Target::run ─▶ refused | understood | a fault
//!                                   ▲                    │ branches taken (with coverage)
//!                                   └────── corpus ◀─────┘
//! ```
//!
//! A target says what is done with the bytes, and what must hold: nothing panics, nothing runs for ever, nothing
//! allocates much more than was received, and what is understood can be said again and means the same.
//!
//! * [`targets`]: the decoders · [`schema`]: valid messages · [`mutate`]: damage · [`run`]: the loop and what it checks
//! * [`coverage`]: which branches were taken, where the program is compiled for it
//!
//! Everything comes from a seed: the same seed and number of runs do the same. The exception is coverage, which only
//! chooses what is kept.

pub mod corpus;
pub mod coverage;
pub mod mutate;
pub mod random;
pub mod run;
pub mod schema;
pub mod targets;

/// What must hold for what was understood.
///
/// # Errors
/// In words, what does not.
pub type Check<'a> = Box<dyn FnOnce() -> Result<(), String> + 'a>;

/// A decoder, and what must hold for it.
pub trait Target {
    /// Its name on the command line.
    fn name(&self) -> &'static str;

    /// Bytes that probably mean something.
    fn generate(&self, random: &mut random::Random) -> Vec<u8>;

    /// Decodes as the agent does; `None`: the bytes mean nothing, and that was said. What this allocates is counted, what
    /// the check does is not.
    fn run<'a>(&'a self, bytes: &'a [u8]) -> Option<Check<'a>>;
}

/// A check of one condition.
///
/// # Errors
/// If it does not hold: these words.
pub fn holds(condition: bool, words: impl FnOnce() -> String) -> Result<(), String> {
    if condition { Ok(()) } else { Err(words()) }
}
