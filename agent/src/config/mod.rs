//! What one agent is told by its environment and flags.
