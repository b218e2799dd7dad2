//! The streams between agents.

mod board;

pub use board::{Board, LinkState};
