//! The simulator: the main test of the consensus core.
//!
//! ```text
//! seed ─▶ World ─┬─ nodes      rauthy_core::Node, each with a clock of its own (offset, rate)     node.rs
//!                ├─ network    messages in flight: delay, loss, doubles, order, cuts              network.rs
//!                ├─ faults     crash, restart, freeze, partition, hand-over, at random times      faults.rs chaos.rs
//!                ├─ clients    puts, deletes and reads, with what they were promised              clients.rs
//!                └─ checker    the invariants of the protocol, after every step                   checker.rs
//! ```
//!
//! Time is virtual and everything random comes from the seed, so a seed is a history: the same one each time, byte
//! for byte. After the faults stop the world must heal within a bound (invariant 17).

mod chaos;
pub mod checker;
pub mod clients;
pub mod faults;
pub mod network;
pub mod node;
pub mod random;
pub mod report;
pub mod trace;
pub mod world;

pub use report::{Failure, Mix, Options, Report};
pub use world::{World, run};
