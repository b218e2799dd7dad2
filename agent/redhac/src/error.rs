//! [`CacheError`], and what becomes one.

use std::fmt;

use rauthy_client::Error;

use crate::CacheReq;
use crate::client::RpcRequest;

/// Why something could not be done, in words.
#[derive(Debug)]
pub struct CacheError {
    /// The words.
    pub error: String,
}

impl CacheError {
    pub(crate) fn new(error: impl Into<String>) -> Self {
        Self { error: error.into() }
    }

    /// A call of an unknown cache, in redhac's words.
    pub(crate) fn no_cache(name: &str) -> Self {
        Self::new(format!("CacheMap misconfiguration - could not find expected cache_name '{name}'"))
    }

    /// In redhac's words where it has some: applications look for them.
    pub(crate) fn of(error: &Error) -> Self {
        match error {
            Error::NoQuorum | Error::Syncing | Error::Unreachable { .. } => {
                Self::new(format!("QuorumHealth::Bad - cannot operate the HA cache: {error}"))
            }
            other => Self::new(other.to_string()),
        }
    }
}

impl fmt::Display for CacheError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

impl std::error::Error for CacheError {}

impl From<Box<bincode::ErrorKind>> for CacheError {
    fn from(value: Box<bincode::ErrorKind>) -> Self {
        Self::new(format!("bincode serializing error: {value}"))
    }
}

// What was sent is not repeated: it may hold a value.
macro_rules! closed {
    ($($type:ty),+ $(,)?) => {
        $(impl From<$type> for CacheError {
            fn from(_: $type) -> Self {
                Self::new("Flume Cache Error: the channel is closed")
            }
        })+
    };
}

closed!(
    flume::SendError<RpcRequest>,
    &flume::SendError<RpcRequest>,
    flume::SendError<CacheReq>,
    tokio::sync::mpsc::error::SendError<CacheReq>,
);

impl From<flume::RecvError> for CacheError {
    fn from(_: flume::RecvError) -> Self {
        Self::new("Flume Cache Error: RecvError::Disconnected")
    }
}
