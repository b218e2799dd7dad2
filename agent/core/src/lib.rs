//! The consensus core of the cache and its deterministic state machine.
//!
//! ```text
//!                      Input                                   Output
//!   clock, messages ───────────▶ Node::step(now, input, out) ──────────▶ messages, replies, events
//!                                      │ applies                    
//!                                      ▼
//!   readers ──── Replica::get ──▶ [ Gate (lease) | Store (shards) ]
//! ```
//!
//! * [`types`]: slot, incarnation, generation, time · [`config`]: host list, configuration, quorum
//! * [`request`]: what clients want · [`log`]: entries and the ring · [`message`]: what nodes say · [`api`]: inputs, outputs
//! * [`node`]: the protocol, one file per rule · [`store`]: the state machine · [`replica`]: what readers see
//!
//! There is no I/O here, no clock, no thread, no randomness but that of a seed, and no iteration over a hash map:
//! the same inputs give the same outputs, byte for byte. The agent, the simulator and the tests drive it alike. The
//! protocol itself is explained in `docs/protocol.md`; a comment `rule N` refers to it.

#![forbid(unsafe_code)]
#![deny(clippy::iter_over_hash_type)]

pub mod api;
pub mod config;
pub mod log;
pub mod message;
pub mod node;
pub mod replica;
pub mod request;
mod rng;
pub mod store;
pub mod testing;
pub mod types;

pub use api::{
    Event, Input, Member, Output, ReadPoint, Role, Settings, SizeChange, SizeProgress, SizeRefusal, Status,
};
pub use config::{Configuration, HostList};
pub use message::Message;
pub use node::Node;
pub use replica::{Directly, Found, ReadRefusal, Replica};
pub use request::{AckLevel, Condition, Done, Effect, Limit, Limits, Refusal, Request, Stamp, WhenFull};
pub use types::{Boot, Generation, Incarnation, Index, LogTime, Slot, Span, Term, Time};
