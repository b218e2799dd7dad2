//! The cache inside an application: the same node that the agent runs, without a socket in between.
//!
//! ```text
//! Cache ─┬─ Handle ──reads──▶ Replica        get: on the caller's thread, no channel, no copy of the value
//!        │      └───writes──▶ consensus task ⇄ peers
//!        ├─ session: what this handle has seen (only after [`Cache::session`])
//!        └─ supervisor: health, shutdown, the servers that were asked for
//! Typed<T> = Cache + name of a cache + serde
//! ```
//!
//! * [`Config`]: from the environment or built · [`Cache`]: what can be asked · [`Typed`]: values by serde
//! * [`Health`]: who leads, and whether there is a quorum · [`Cache::watch`]: what
//!   changes, as it happens
//!
//! The words are those of the client ([`rauthy_client`]), so that an application moves from the agent's socket to the
//! embedded cache, or back, without learning new ones.
//!
//! ```
//! use std::time::Duration;
//!
//! use rauthy_agent::embedded::{Cache, Config, Limits};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Session {
//!     user: String,
//! }
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In production `Config::from_env()?`: HA_MODE, HA_HOSTS, CACHE_AUTH_TOKEN and so on.
//! let cache = Cache::start(Config::builder().single().build()?).await?;
//! cache.ready(Duration::from_secs(10)).await?;
//!
//! let hour = Limits { ttl: Some(Duration::from_secs(3600)), ..Limits::default() };
//! let sessions = cache.declare::<Session>("sessions", hour).await?;
//! sessions.put("alice", &Session { user: "Alice".into() }).await?;
//!
//! // On this thread, without waiting. `Ok(None)` is a true miss; what cannot be answered truthfully is an error.
//! let found = sessions.get("alice")?;
//! assert_eq!(found.map(|session| session.user).as_deref(), Some("Alice"));
//!
//! cache.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! The consensus task runs on the tokio runtime in which [`Cache::start`] is called. An application that blocks all threads
//! of its runtime for longer than a lease (a second) lets its node's lease run out: reads then fail until it is heard of
//! again. One that does so regularly starts the cache on a runtime of its own.

mod calls;
mod config;
mod error;
mod health;
mod typed;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rauthy_proto::cache::NodeStatus;
use tokio::sync::{mpsc, oneshot, watch as channel};
use tokio_util::sync::CancellationToken;

use crate::runtime::{self, Handle, Running};
pub use crate::runtime::{Filter, Watched, Watcher};
use crate::serve;
pub use config::{Builder, Config};
pub use health::{Health, Quorum};
pub use rauthy_client::{AckLevel, Condition, Error, Limits, PutOptions};
pub use rauthy_core::replica::Position;
pub use rauthy_core::store::{Change, Changed, Removal, Value};
pub use typed::Typed;

/// Leadership is handed over within this time, or it is taken over later.
const HAND_OVER: Duration = Duration::from_secs(3);
/// A node that was told to stop is gone after this long.
const LEAVE: Duration = Duration::from_secs(5);

/// Why the cache does not start, or does not get ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A setting is wrong.
    #[error(transparent)]
    Config(#[from] crate::config::ConfigError),
    /// The node does not start.
    #[error(transparent)]
    Node(#[from] runtime::StartError),
    /// The node did not get ready in time.
    #[error("not ready after {waited:?}: {why}")]
    NotReady {
        /// So long.
        waited: Duration,
        /// Why not, in the node's words.
        why: String,
    },
}

/// One node of the cache inside this process. Cheap to clone; when the last clone is dropped, the node ends at once.
/// [`Cache::shutdown`] is the polite way.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
    session: Option<Arc<Session>>,
}

struct Inner {
    handle: Handle,
    slot: String,
    health: channel::Receiver<Health>,
    /// To the supervisor; when it is closed, the supervisor stops the node.
    stop: mpsc::Sender<oneshot::Sender<()>>,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("slot", &self.inner.slot)
            .field("health", &*self.inner.health.borrow())
            .finish()
    }
}

/// What the clones of one handle have seen together.
#[derive(Debug, Default)]
struct Session(Mutex<Option<Position>>);

impl Session {
    fn seen(&self) -> Option<Position> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn saw(&self, new: Position) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Of one generation the answers may come in any order. Another one is newer: the data of the first is gone.
        if !seen.is_some_and(|old| old.generation == new.generation && old.index >= new.index) {
            *seen = Some(new);
        }
    }

    /// What was seen is gone; what comes next begins anew.
    fn forget(&self, gone: Position) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_some_and(|seen| seen.generation == gone.generation) {
            *seen = None;
        }
    }
}

impl Cache {
    /// Starts a node on the present tokio runtime. It listens for its peers when this returns, and serves reads and writes
    /// once it is [`Cache::ready`]. A socket or HTTP port that was asked for and cannot be had is logged, and the cache goes on
    /// without it.
    ///
    /// # Errors
    /// If certificates cannot be read, or the port is taken.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        let Config { agent, listen, http } = config;
        for notice in &agent.notices {
            tracing::warn!("{notice}");
        }
        let slot = agent.slot.to_string();
        let (handle, running) = runtime::start(agent).await?;
        let stop_serving = CancellationToken::new();
        let mut servers = Vec::new();
        if !listen.is_empty() {
            let stopped = stop_serving.clone().cancelled_owned();
            servers.push(tokio::spawn(serve::cache(listen, handle.clone(), stopped)));
        }
        if let Some(address) = http {
            let stopped = stop_serving.clone().cancelled_owned();
            servers.push(tokio::spawn(serve::http(address, handle.clone(), stopped)));
        }
        let (told, health) = channel::channel(Health::default());
        let (stop, asked) = mpsc::channel(1);
        let node = Node { handle: handle.clone(), running, servers, stop_serving };
        tokio::spawn(node.supervise(asked, told));
        Ok(Self { inner: Arc::new(Inner { handle, slot, health, stop }), session: None })
    }

    /// Waits until this node serves reads and writes: there is a quorum, and this node has caught up with it.
    ///
    /// # Errors
    /// [`StartError::NotReady`] if that takes longer than `patience`.
    pub async fn ready(&self, patience: Duration) -> Result<(), StartError> {
        let mut health = self.health();
        let ready = health.wait_for(|health| health.ready);
        if matches!(tokio::time::timeout(patience, ready).await, Ok(Ok(_))) {
            return Ok(());
        }
        let why = self.status().await.not_ready_reason;
        Err(StartError::NotReady { waited: patience, why })
    }

    /// The health of this node, always the newest; its changes can be waited for.
    #[must_use]
    pub fn health(&self) -> channel::Receiver<Health> {
        self.inner.health.clone()
    }

    /// Everything that this node knows of its cluster, as `rauthy-agent ctl status` shows it.
    pub async fn status(&self) -> NodeStatus {
        self.inner.handle.status().await
    }

    /// Which member this is: `host:port` of its entry in HA_HOSTS.
    #[must_use]
    pub fn slot(&self) -> &str {
        &self.inner.slot
    }

    /// The way into the node, for what is not here: metrics, size changes.
    #[must_use]
    pub fn handle(&self) -> &Handle {
        &self.inner.handle
    }

    /// The same cache with a new session, which all its clones share: what it reads is never older than what it has
    /// written or read before, also when that went through another node.
    #[must_use]
    pub fn session(&self) -> Self {
        Self { inner: self.inner.clone(), session: Some(Arc::default()) }
    }

    /// Watches what changes on this node, whoever changed it: after a position that another watch gave, or from now on. A
    /// watcher costs nothing while it does nothing; one that is too slow is told that it missed something
    /// ([`Watched::Missed`]), and all are told when the data is gone ([`Watched::Gone`]).
    #[must_use]
    pub fn watch(&self, filter: Filter, after: Option<Position>) -> Watcher {
        self.inner.handle.watch(filter, after)
    }

    /// Stops this node in order, as the agent does on SIGTERM: it is not ready from now on, hands the leadership over if it
    /// leads, lets the calls under way of its servers end, and closes its streams; 5 s at most. Its port is free
    /// afterwards. Calls that come later fail with [`Error::NoQuorum`].
    pub async fn shutdown(&self) {
        let (stopped, wait) = oneshot::channel();
        if self.inner.stop.send(stopped).await.is_ok() {
            let _ = wait.await;
        }
    }
}

type Server = tokio::task::JoinHandle<Result<(), serve::ServeError>>;

/// What the supervisor holds.
struct Node {
    handle: Handle,
    running: Running,
    servers: Vec<Server>,
    stop_serving: CancellationToken,
}

impl Node {
    /// Tells the health until the node is to stop, and stops it.
    async fn supervise(
        mut self,
        mut asked: mpsc::Receiver<oneshot::Sender<()>>,
        health: channel::Sender<Health>,
    ) {
        let asked_by = tokio::select! {
            asked_by = asked.recv() => asked_by,
            () = health::watch(&self.handle, &health) => None,
            () = self.running.ended() => {
                tracing::error!("the consensus task ended, which is a fault in this program");
                None
            }
            fault = first_fault(&mut self.servers) => {
                tracing::error!("{fault}; the cache itself goes on");
                tokio::select! {
                    asked_by = asked.recv() => asked_by,
                    () = health::watch(&self.handle, &health) => None,
                    () = self.running.ended() => None,
                }
            }
        };
        health.send_modify(|health| health.stop());
        if asked_by.is_some() && tokio::time::timeout(LEAVE, self.leave()).await.is_err() {
            tracing::warn!("the cache did not end in order within {LEAVE:?}");
        }
        // In any case: this process goes on, and nothing of the node may stay behind in it.
        self.stop_serving.cancel();
        self.servers.iter().for_each(Server::abort);
        self.running.shutdown().await;
        asked.close();
        let _ = asked_by.map(|stopped| stopped.send(()));
    }

    /// Gives away what others wait for.
    async fn leave(&mut self) {
        self.handle.stop_being_ready();
        let _ = tokio::time::timeout(HAND_OVER, self.handle.hand_over()).await;
        self.stop_serving.cancel();
        for server in &mut self.servers {
            let _ = server.await;
        }
    }
}

/// Waits until a server ends; for ever, if there is none.
async fn first_fault(servers: &mut Vec<Server>) -> String {
    if servers.is_empty() {
        return std::future::pending().await;
    }
    let (ended, which, _) = futures::future::select_all(servers.iter_mut()).await;
    servers.remove(which);
    match ended {
        Ok(Ok(())) => "a server ended by itself".into(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => format!("a server ended: {error}"),
    }
}
