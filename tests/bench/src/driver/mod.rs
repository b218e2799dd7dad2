//! Starting and stopping what is measured.
//!
//! * [`Process`]: a child and what it uses · [`Worker`]: a child that takes commands
//! * [`System`] and [`Cluster`]: what is compared, started on ports of its own · [`Agents`]: agents with their sockets
//! * [`net`]: a network without loopback · [`Plan`]: how much is done

mod agents;
mod net;
mod plan;
mod ports;
mod process;
mod systems;

pub use agents::Agents;
pub use net::SOURCES;
pub use plan::{Plan, Programs};
pub use process::{Process, Worker, cpu_exactly, resident};
pub use systems::{Cluster, System};
