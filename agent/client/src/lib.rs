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
//! A [`Client`] is cheap to clone, connects when it is first used, and connects again by itself. It never retries a
//! request: [`Error`] says whether one may have been carried out.

#![forbid(unsafe_code)]

mod error;
pub mod limits;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use rauthy_proto::cache as proto;
use rauthy_proto::cache::cache_client::CacheClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use error::{Call, judge};
pub use error::{Error, REASON};
pub use rauthy_proto::cache::{MemberStatus, NodeStatus, Refusal, Role};

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
}

impl From<AckLevel> for proto::AckLevel {
    fn from(level: AckLevel) -> Self {
        match level {
            AckLevel::Quorum => Self::Quorum,
            AckLevel::Leader => Self::Leader,
        }
    }
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
        Ok(Self { target: Arc::from(target), endpoint, channel: Arc::default(), deadline: limits::DEADLINE })
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

    /// The address of the agent.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Reads a key from the agent's own replica. `None` is a truthful miss: a read that cannot be answered
    /// truthfully is an error.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get(&self, cache: &str, key: impl Into<Bytes>) -> Result<Option<Value>, Error> {
        let key = key.into();
        invalid(limits::check_cache(cache).or_else(|| limits::check_key(&key)))?;
        let request = self.request(proto::GetRequest { cache: cache.to_owned(), key }, None);
        let answer = self.connect().get(request).await.map_err(|s| self.judge(Call::Read, &s))?.into_inner();
        Ok(answer.value.map(|value| Value { value, version: answer.version }))
    }

    /// Stores a value and returns its version.
    ///
    /// # Errors
    /// See [`Error`]; with [`Error::UnknownOutcome`] the value may or may not be stored.
    pub async fn put(
        &self,
        cache: &str,
        key: impl Into<Bytes>,
        value: impl Into<Bytes>,
        options: PutOptions,
    ) -> Result<u64, Error> {
        let (key, value) = (key.into(), value.into());
        invalid(
            limits::check_cache(cache)
                .or_else(|| limits::check_key(&key))
                .or_else(|| limits::check_value(&value))
                .or_else(|| options.ttl.and_then(limits::check_ttl)),
        )?;
        let request = proto::PutRequest {
            cache: cache.to_owned(),
            key,
            value,
            ttl_ms: options.ttl.map_or(0, millis),
            ack: proto::AckLevel::from(options.ack).into(),
        };
        let request = self.request(request, options.deadline);
        let answer = self.connect().put(request).await.map_err(|s| self.judge(Call::Write, &s))?;
        Ok(answer.into_inner().version)
    }

    /// Removes a key. The answer is whether it was there, which only level Quorum knows: at level Leader it is
    /// always `false`.
    ///
    /// # Errors
    /// See [`Error`]; with [`Error::UnknownOutcome`] the key may or may not be gone.
    pub async fn delete(&self, cache: &str, key: impl Into<Bytes>, ack: AckLevel) -> Result<bool, Error> {
        let key = key.into();
        invalid(limits::check_cache(cache).or_else(|| limits::check_key(&key)))?;
        let request =
            proto::DeleteRequest { cache: cache.to_owned(), key, ack: proto::AckLevel::from(ack).into() };
        let request = self.request(request, None);
        let answer = self.connect().delete(request).await.map_err(|s| self.judge(Call::Write, &s))?;
        Ok(answer.into_inner().existed)
    }

    /// How the agent sees its cluster.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn status(&self) -> Result<NodeStatus, Error> {
        let request = self.request(proto::StatusRequest {}, None);
        let answer = self.connect().status(request).await.map_err(|s| self.judge(Call::Read, &s))?;
        answer.into_inner().node.ok_or_else(|| Error::Other {
            code: "OK".into(),
            message: "a status without content; are client and agent of the same version?".into(),
        })
    }

    /// The channel is made at the first call, because it spawns a task and needs a runtime for that.
    fn connect(&self) -> CacheClient<Channel> {
        let channel = self.channel.get_or_init(|| self.endpoint.connect_lazy()).clone();
        CacheClient::new(channel)
            .max_decoding_message_size(limits::MESSAGE)
            .max_encoding_message_size(limits::MESSAGE)
    }

    fn request<T>(&self, message: T, deadline: Option<Duration>) -> Request<T> {
        let mut request = Request::new(message);
        // The header `grpc-timeout`: the agent answers in time, and this side gives up when it does not.
        request.set_timeout(deadline.unwrap_or(self.deadline));
        request
    }

    fn judge(&self, call: Call, status: &Status) -> Error {
        judge(&self.target, call, status)
    }
}

fn invalid(problem: Option<String>) -> Result<(), Error> {
    problem.map_or(Ok(()), |p| Err(Error::Invalid(p)))
}

/// Whole milliseconds, rounded up; checked before to be in range.
fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_micros().div_ceil(1000)).unwrap_or(u64::MAX)
}
