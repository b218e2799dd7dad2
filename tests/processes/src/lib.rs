//! Real agents in network namespaces of their own, and what is done to them.
//!
//! ```text
//! Cluster ─┬─ Net: one namespace with a bridge, one for each node, joined by veth pairs
//!          ├─ Node ×n: a process of rauthy-agent, its log, a client of its socket
//!          └─ a temporary folder: token, certificates, sockets, logs
//! ```
//!
//! Needs root and iproute2 (`apt-get install iproute2`). Everything that is made carries the id of this process in
//! its name and is removed at the end, also after a panic; what a killed run left behind is removed by the next.

// A harness that fails is a test that fails, and has nobody to return an error to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;
mod net;
mod node;
mod probes;
mod wait;
mod writers;

pub use cluster::{Cluster, PATIENCE, Setup, certify};
pub use net::Net;
pub use node::{Node, program};
pub use probes::{Answers, Probes};
pub use wait::{eventually, within};
pub use writers::{History, Writers};
