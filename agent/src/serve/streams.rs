//! What long streams share: how many there may be, and when they end.
//!
//! ```text
//! Streams ─┬ places    so many watches, so many sessions
//!          └ stopping  cancelled when the agent is about to stop: streams end in order, within DRAIN
//! Ends ──── what ends one stream: stopping, or the deadline that its caller named
//! ```

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::deadline::asked;
use super::operations::{Level, Operation, Operations, Outcome};
use super::reason::Reason;

/// Watches that are open at a time, at most.
const WATCHES: usize = 256;
/// Sessions that are open at a time, at most.
const SESSIONS: usize = 64;

/// Time that calls under way are given when the agent is about to stop: less than the server gives.
pub(super) const DRAIN: Duration = Duration::from_secs(2);

/// The long streams of one agent.
#[derive(Clone)]
pub(super) struct Streams {
    watches: Arc<Semaphore>,
    sessions: Arc<Semaphore>,
    pub stopping: CancellationToken,
}

impl Streams {
    pub fn new(stopping: CancellationToken) -> Self {
        Self {
            watches: Arc::new(Semaphore::new(WATCHES)),
            sessions: Arc::new(Semaphore::new(SESSIONS)),
            stopping,
        }
    }

    /// A place for a watch, for as long as it is held.
    pub fn watch(&self) -> Result<OwnedSemaphorePermit, Reason> {
        self.place(&self.watches, "watches")
    }

    /// A place for a session, for as long as it is held.
    pub fn session(&self) -> Result<OwnedSemaphorePermit, Reason> {
        self.place(&self.sessions, "sessions")
    }

    fn place(&self, places: &Arc<Semaphore>, what: &'static str) -> Result<OwnedSemaphorePermit, Reason> {
        if self.stopping.is_cancelled() {
            return Err(Reason::Stopping);
        }
        places.clone().try_acquire_owned().map_err(|_| Reason::Streams(what))
    }
}

/// When a stream ends at the latest; `None`: its caller named no deadline.
pub(super) fn end(metadata: &MetadataMap) -> Option<Instant> {
    // (Of what is further away than a clock can say, nobody sees the end.)
    asked(metadata).and_then(|timeout| Instant::now().checked_add(timeout))
}

/// Waits for the end of a stream.
pub(super) async fn ended(end: Option<Instant>) -> Status {
    match end {
        Some(end) => sleep_until(end).await,
        None => pending().await,
    }
    Status::deadline_exceeded("the stream was to end by now")
}

/// Counts a stream when it ends, however that is.
pub(super) struct Counted {
    operations: Operations,
    operation: Operation,
    cache: Arc<str>,
    since: Instant,
    pub outcome: Outcome,
}

impl Counted {
    pub fn new(operations: &Operations, operation: Operation, cache: impl Into<Arc<str>>) -> Self {
        let (operations, cache) = (operations.clone(), cache.into());
        Self { operations, operation, cache, since: Instant::now(), outcome: Outcome::Ok }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let took = self.since.elapsed();
        self.operations.ended(&self.cache, self.operation, Level::Local, self.outcome, took);
    }
}
