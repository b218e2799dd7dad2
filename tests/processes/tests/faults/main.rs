//! What a cluster of real agents does when something goes wrong. Each test has a network of its own, so all of them
//! run side by side; most of their time is waiting.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod ctl;
mod dev;
mod election;
mod freeze;
mod leaving;
mod partition;
mod restart;
mod settings;
mod strangers;
