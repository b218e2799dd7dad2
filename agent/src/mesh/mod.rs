//! The streams between agents.
