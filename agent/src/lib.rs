//! The agent: one process beside every Rauthy pod, which meshes with its peers, elects, replicates, and serves the
//! cache to its own pod.
//!
//! ```text
//!  application ──▶ serve ──▶ runtime::Handle ──writes──▶ consensus task ──▶ rauthy_core::Node
//!                                   │ reads                    │  ▲
//!                                   ▼                          ▼  │ messages
//!                          rauthy_core::Replica              mesh ⇄ peers (tls, handshake)
//! ```
//!
//! * [`config`]: environment and flags → one checked value · [`tls`]: certificates that reload
//! * [`mesh`]: authenticated streams between agents · [`runtime`]: the task that owns the core
//! * [`embedded`]: the same node inside an application
//! * [`serve`]: the cache service and the HTTP endpoints · [`ctl`] and [`dev`]: the other subcommands
//! * [`view`]: how a node sees its cluster, for people and programs

pub mod config;
pub mod ctl;
pub mod dev;
pub mod embedded;
pub mod mesh;
pub mod runtime;
pub mod serve;
pub mod tls;
pub mod view;
