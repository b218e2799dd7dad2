//! The thin client of the replicated cache: what an application uses to talk to the agent in its own pod.
//!
//! ```no_run
//! # async fn example() -> Result<(), rauthy_client::Error> {
//! use rauthy_client::{Client, PutOptions};
//!
//! let cache = Client::from_env()?;
//! cache.put("sessions", "alice", "token", PutOptions::default()).await?;
//! let value = cache.get("sessions", "alice").await?;
//! assert_eq!(value.map(|v| v.value), Some("token".into()));
//! # Ok(())
//! # }
//! ```
//!
//! A [`Client`] is cheap to clone, connects when it is first used, and connects again by itself. What was not done, it
//! tries again until the deadline of the call; a write whose connection broke, under the same request id, so that it is
//! done once at most. [`Error`] says what is known in the end.
//!
//! * `calls`: what can be asked · [`Error`]: what can go wrong · [`limits`]: how large things may be
//! * [`Client::cache`]: typed values, see [`codec`] · [`Client::watch`]: what changes
//! * [`Client::session`]: reads that never go back behind what was written or read before
//! * [`Client::pipelined`]: many calls at a time over one stream
//! * `retry`: what is tried again · `writer`: request ids · `transport`, `pipeline`: the two ways to ask

#![forbid(unsafe_code)]

mod calls;
pub mod codec;
mod error;
pub mod limits;
mod pipeline;
mod retry;
mod session;
mod transport;
mod typed;
mod watch;
mod writer;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use rauthy_proto::cache as proto;
use rauthy_proto::cache::cache_client::CacheClient;
use tonic::transport::{Channel, Endpoint};

pub use error::{Error, REASON, VERSION};
use pipeline::Pipeline;
pub use rauthy_proto::cache::{ConfigurationStatus, MemberStatus, NodeStatus, Refusal, Role};
pub use session::Seen;
use session::Session;
pub use typed::{Cache, Typed};
pub use watch::{Change, Event, Removal, Watch, WatchOptions};
use writer::Writers;

/// Environment variable that names the socket of the agent.
pub const SOCKET_VARIABLE: &str = "RAUTHY_CACHE_SOCKET";
/// Where the agent listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "unix:///run/rauthy/cache.sock";

/// A connection to be made now takes no longer than this; on a socket of the same pod it takes no time.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// When a write is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AckLevel {
    /// Committed by a quorum and applied at the leader: survives the loss of any minority.
    #[default]
    Quorum,
    /// Appended at the leader: lost if the leader dies before it has replicated.
    Leader,
    /// The leader and one more member hold it. With three members as Quorum; with five or more it may be lost with the
    /// leader.
    Once,
    /// As Quorum, and no member serves what was there before any more.
    All,
    /// Queued on the agent: lost if anything fails. Only [`Client::put`] and [`Client::delete`], only in caches that are
    /// declared for it.
    Direct,
}

impl From<AckLevel> for proto::AckLevel {
    fn from(level: AckLevel) -> Self {
        match level {
            AckLevel::Quorum => Self::Quorum,
            AckLevel::Leader => Self::Leader,
            AckLevel::Once => Self::Once,
            AckLevel::All => Self::All,
            AckLevel::Direct => Self::Direct,
        }
    }
}

/// When a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// If the key is not there.
    Absent,
    /// If the key's value is of this version.
    Version(u64),
}

/// What a cache may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Values, at most; `None`: no limit of its own.
    pub entries: Option<u64>,
    /// Bytes of keys and values with a fixed part for each, at most; `None`: no limit of its own.
    pub bytes: Option<u64>,
    /// How long a value lives that is written without a time; `None`: it stays.
    pub ttl: Option<Duration>,
    /// The values that were written longest ago make room for a write; else it is refused.
    pub evict: bool,
    /// [`AckLevel::Direct`] is possible, and [`AckLevel::All`] is not.
    pub direct: bool,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PutOptions {
    /// After this long the value is gone; counted in whole milliseconds, rounded up. `None`: it stays.
    pub ttl: Option<Duration>,
    /// When the write is answered.
    pub ack: AckLevel,
    /// How long the call may take; `None`: the client's own, see [`Client::with_deadline`].
    pub deadline: Option<Duration>,
}

/// A value that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// The bytes.
    pub value: Bytes,
    /// Its version: the position in the log of the write that stored it.
    pub version: u64,
}

/// A client of one agent.
#[derive(Clone, Debug)]
pub struct Client {
    target: Arc<str>,
    endpoint: Endpoint,
    channel: Arc<OnceLock<Channel>>,
    deadline: Duration,
    session: Option<Arc<Session>>,
    retries: bool,
    writers: Arc<Writers>,
    pipeline: Option<Arc<Pipeline>>,
}

impl Client {
    /// A client of the agent at `target`: `unix:///run/rauthy/cache.sock` or `http://127.0.0.1:9000`. Nothing is
    /// sent before the first call.
    ///
    /// # Errors
    /// [`Error::Invalid`] if `target` is neither.
    pub fn new(target: &str) -> Result<Self, Error> {
        let wrong = |why: &str| {
            Error::Invalid(format!(
                "\"{target}\" is no address of an agent ({why}); allowed are unix:///path/to/cache.sock and \
                 http://127.0.0.1:port"
            ))
        };
        if let Some(path) = target.strip_prefix("unix://") {
            if !path.starts_with('/') {
                return Err(wrong("the path of the socket has to begin with /"));
            }
        } else if !target.starts_with("http://") {
            return Err(wrong("it begins with neither unix:// nor http://"));
        }
        let endpoint = Endpoint::from_shared(target.to_owned())
            .map_err(|e| wrong(&e.to_string()))?
            .connect_timeout(CONNECT_TIMEOUT);
        Ok(Self {
            target: Arc::from(target),
            endpoint,
            channel: Arc::default(),
            deadline: limits::DEADLINE,
            session: None,
            retries: true,
            writers: Arc::default(),
            pipeline: None,
        })
    }

    /// A client of the agent that `RAUTHY_CACHE_SOCKET` names, else of the one at `unix:///run/rauthy/cache.sock`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the variable holds no address.
    pub fn from_env() -> Result<Self, Error> {
        match std::env::var(SOCKET_VARIABLE) {
            Ok(target) => Self::new(&target),
            Err(std::env::VarError::NotPresent) => Self::new(DEFAULT_SOCKET),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(Error::Invalid(format!("{SOCKET_VARIABLE} is not UTF-8")))
            }
        }
    }

    /// The same client with another deadline for calls that name none (5 s by default).
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same client with another way to fail: every call is sent once, without a request id, and its first error is
    /// the last. For tools that show what is.
    #[must_use]
    pub fn without_retries(mut self) -> Self {
        self.retries = false;
        self
    }

    /// The same client with one stream for all calls of its clones, instead of a gRPC call for each: the way to do many
    /// small ones. They are begun in the order in which they are asked for and answered in any order.
    ///
    /// ```no_run
    /// # async fn example(cache: rauthy_client::Client) -> Result<(), rauthy_client::Error> {
    /// let cache = cache.pipelined();
    /// // Both are on their way at the same time.
    /// let (alice, bob) = tokio::try_join!(cache.get("sessions", "alice"), cache.get("sessions", "bob"))?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn pipelined(mut self) -> Self {
        self.pipeline = Some(Arc::default());
        self
    }

    /// The address of the agent.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The same client with a new session, which all its clones share: what it reads is never older than what it has
    /// written or read before, through whichever agent. A read waits for that if need be.
    #[must_use]
    pub fn session(mut self) -> Self {
        self.session = Some(Arc::default());
        self
    }

    /// The channel is made at the first call, because it spawns a task and needs a runtime for that.
    fn connect(&self) -> CacheClient<Channel> {
        let channel = self.channel.get_or_init(|| self.endpoint.connect_lazy()).clone();
        CacheClient::new(channel)
            .max_decoding_message_size(limits::MESSAGE)
            .max_encoding_message_size(limits::MESSAGE)
    }
}
