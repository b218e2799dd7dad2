//! The task that owns the consensus core, and the way into it.
//!
//! * [`start`]: puts config, TLS, mesh and core together · [`Handle`]: what the rest of the process uses
//! * [`Watcher`]: what changes
//! * `engine`: the thread of core and mesh · `task`: the loop around the core · `tickets`: who waits for it
//! * `events`: its log · [`Metrics`]: what is counted · `status`: what is reported
//! * `reload`: token and host list, read again · `reports`: what members tell each other · [`clock`]: the core's time

pub mod clock;
mod engine;
mod events;
mod handle;
mod metrics;
mod reload;
mod reports;
mod start;
mod status;
mod task;
mod tickets;
mod watch;

pub use handle::{Handle, Written};
pub use metrics::{CacheSize, FileLabel, Memory, Metrics, PeerLabel, ReasonLabel, RoleLabel, role_name};
pub use start::{Running, StartError, start};
pub use watch::{Filter, Watched, Watcher};
