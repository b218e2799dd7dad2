//! What drives a cache that is measured, the same for all of them: redhac, hiqlite, ours, Redis, and the limit.
//!
//! ```text
//! driver ── one Command a line ──▶ stdin ─▶ serve ─▶ closed · paced · reads ─▶ Target (the cache)
//!        ◀── one Answer a line ── stdout ◀─ Measured (counts and a histogram's points)
//! ```
//!
//! A program that holds a node implements [`Target`] and calls [`serve`]. Keys and values are made before the clock
//! starts; a target is told which key by its number and holds it in the form that its own interface wants.

#![forbid(unsafe_code)]

mod closed;
mod figures;
mod paced;
mod protocol;
mod reads;
mod serve;

use std::future::Future;

pub use figures::{Measured, Recorder};
pub use protocol::{Answer, Command, Load, What};
pub use serve::serve;

/// Keys that a load writes and reads, in all.
pub const KEYS: usize = 100_000;
/// Bytes of every value.
pub const VALUE: usize = 100;

/// A key: 16 characters.
#[must_use]
pub fn key(number: usize) -> String {
    format!("session-{:08}", number % KEYS)
}

/// A value.
#[must_use]
pub fn value() -> Vec<u8> {
    vec![7; VALUE]
}

/// How an operation ended: whether it found what it should, or why it failed.
pub type Outcome = Result<(), String>;

/// A cache that is measured.
pub trait Target: Clone + Send + Sync + 'static {
    /// Whether this member leads; of something without members, `true`.
    fn leads(&self) -> impl Future<Output = bool> + Send;

    /// Carries out one operation on the key of this number. A read must find a value. An operation that this cache does
    /// not have is an error.
    fn call(&self, what: What, key: usize) -> impl Future<Output = Outcome> + Send;

    /// A read on the thread of its caller, where the cache has such; `None`: only [`Target::call`] reads.
    fn read_here(&self, what: What, key: usize) -> Option<Outcome> {
        let _ = (what, key);
        None
    }
}
