//! What people look at, of agents that really run: the status page in a browser, metrics, logs, `ctl`; and that memory
//! has the ceiling that it is said to have.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod browser;
mod ctl;
mod fleet;
mod grpcurl;
mod logs;
mod memory;
mod metrics;
mod page;
