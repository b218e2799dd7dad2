//! Real agents in network namespaces of their own, and what is done to them.
//!
//! ```text
//! Cluster ─┬─ Net: one namespace with a bridge, one for each node, joined by veth pairs; or a switch that delays
//!          ├─ Node ×n: a process of rauthy-agent, its log, a client of its socket
//!          ├─ Writers, Counters, Probes, and tests/recorder: clients, and what they were told
//!          └─ a temporary folder: token, certificates, sockets, logs
//! ```
//!
//! Needs root, iproute2 and nftables (`apt-get install iproute2 nftables`). Everything that is made carries the id of this process in
//! its name and is removed at the end, also after a panic; what a killed run left behind is removed by the next.

// A harness that fails is a test that fails, and has nobody to return an error to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;
mod counters;
mod net;
mod node;
mod probes;
mod stall;
mod streams;
mod switch;
mod wait;
mod writers;

pub use cluster::{Cluster, Elections, PATIENCE, Setup, certify};
pub use counters::{Counted, Counters};
pub use net::{Family, Net};
pub use node::{Node, prlimit, program};
pub use probes::{Answers, Probes, Refused};
pub use rauthy_recorder::{Load, Marker, Record, Recorder, Summary};
pub use stall::Stalls;
pub use streams::{Deaf, OneSession, OneWatch, Said, reason};
pub use wait::{always, eventually, span, within};
pub use writers::{History, Writers};
