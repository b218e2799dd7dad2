//! What is loaded and is not a program of its own: each is this program with another first argument.
//!
//! * [`node`]: the cache of this repository, embedded · [`agent`]: the same through an agent's socket
//! * [`limit`]: the least that a replicated write can cost · [`bare`]: the least that a read can cost
//! * [`redis`]: Redis with its replicas · [`unary`]: a gRPC call that does nothing

pub mod agent;
pub mod bare;
pub mod limit;
pub mod node;
pub mod redis;
pub mod unary;

use bytes::Bytes;
use rauthy_load::{KEYS, key};

/// All keys, in the form that a cache of bytes wants.
#[must_use]
pub fn keys() -> Vec<Bytes> {
    (0..KEYS).map(|number| Bytes::from(key(number))).collect()
}
