//! What a cluster of real agents does when something goes wrong. Each test has a network of its own, so all of them
//! run side by side; most of their time is waiting.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ctl;
mod delay;
mod dev;
mod election;
mod families;
mod flood;
mod freeze;
mod http;
mod leaving;
mod links;
mod memory;
mod partition;
mod reload;
mod restart;
mod settings;
mod split;
mod strangers;
#[path = "../../../../agent/tests/cluster/volume.rs"]
mod volume;
mod wiped;
