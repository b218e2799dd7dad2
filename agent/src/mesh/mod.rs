//! The streams between agents.

mod board;
pub mod wire;

pub use board::{Board, LinkState};
