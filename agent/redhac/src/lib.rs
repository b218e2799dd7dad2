//! The interface of [redhac](https://crates.io/crates/redhac) 0.10.5 on the replicated cache of the agent.
//!
//! ```text
//! CacheConfig ─┬─ names: cache ─▶ Declared { size, lifespan }        spawn_cache
//!              ├─ backend ─┬─ embedded: a node in this process         start_cluster; single: at the first call
//!              │           └─ agent: the socket in RAUTHY_CACHE_SOCKET
//!              └─ rx_health_state                                      from the node's own health
//! ```
//!
//! * [`CacheConfig`], [`start_cluster`]: setting up · [`cache_get!`], [`cache_put`], [`cache_insert`], …: using it
//! * [`quorum`]: ack levels and health · `compat`: what can be switched back to redhac's behaviour
//!
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

mod backend;
mod calls;
mod client;
mod cluster;
mod compat;
mod config;
mod declared;
mod error;
mod notify;
pub mod quorum;
mod rpc;

pub use cached::{SizedCache, TimedCache, TimedSizedCache};

pub use crate::calls::{
    CacheReq, cache_del, cache_get_from, cache_get_value, cache_insert, cache_put, cache_remove, clear_caches,
};
pub use crate::cluster::start_cluster;
#[doc(hidden)]
pub use crate::compat::unread as __unread;
pub use crate::config::CacheConfig;
pub use crate::error::CacheError;
pub use crate::notify::{CacheMethod, CacheNotify};
pub use crate::quorum::{AckLevel, QuorumHealth, QuorumHealthState, QuorumState};

/// Reads a value and deserializes it: `cache_get!(Type, cache_name, key, &cache_config, remote_lookup)`. As in redhac,
/// [`cache_get_value`] and [`cache_get_from`] must be in scope.
///
/// The answer is `Ok(None)` if the key is not there, and an error if that cannot be known. (In redhac every error is
/// `Ok(None)`; `REDHAC_COMPAT=none-on-error` brings that back.)
#[macro_export]
macro_rules! cache_get {
    ($type:ty, $name:expr, $entry:expr, $config:expr, $lookup:expr) => {
        async {
            match cache_get_value($name, $entry, $config, $lookup).await {
                Ok(Some(value)) => cache_get_from::<$type>(&value).await,
                Ok(None) => Ok(None),
                Err(error) => $crate::__unread($config, error),
            }
        }
    };
}
