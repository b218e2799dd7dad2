//! The simulator: the main test of the consensus core.
//!
//! ```text
//! seed ─▶ World ─┬─ nodes      rauthy_core::Node, each with a clock of its own (offset, rate)     node.rs
//!                ├─ network    messages in flight: delay, loss, doubles, order, cuts              network.rs
//!                ├─ faults     crash, freeze, partition, hand-over … at random times, or aimed    faults.rs chaos.rs
//!                ├─ operator   host lists with epochs, pods, changes of size                      operator.rs
//!                ├─ clients    writes and reads of all kinds, with what they were promised        clients.rs usage.rs
//!                └─ checker    the invariants of the protocol, after every step                   checker/
//! ```
//!
//! A [`Story`] is a short history with chosen faults; its trace is kept as a file that reads like one.
//!
//! Time is virtual and everything random comes from the seed, so a seed is a history: the same one each time, byte
//! for byte. After the faults stop the world must heal within a bound (invariant 17).

mod chaos;
pub mod checker;
pub mod clients;
pub mod faults;
pub mod network;
pub mod node;
mod operator;
pub mod random;
pub mod report;
pub mod story;
pub mod trace;
mod usage;
pub mod world;

pub use report::{Failure, Mix, Options, Report};
pub use story::Story;
pub use world::{World, run};
