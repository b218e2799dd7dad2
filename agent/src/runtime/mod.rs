//! The task that owns the consensus core, and the way into it.

pub mod clock;
mod handle;
mod metrics;
mod status;

pub use handle::Handle;
pub use metrics::{Metrics, PeerLabel, ReasonLabel, RoleLabel, role_name};
