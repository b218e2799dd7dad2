//! The task that owns the consensus core.
