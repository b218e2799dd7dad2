//! One client: asks through any node, and says in the checkers' words what it was told.
//!
//! It speaks the protocol of `cache.proto` itself and repeats nothing, so that each operation of a history is one
//! request; `rauthy-client` hides the positions that are judged here.

// Fields that a newer cache.proto adds are left as they are.
#![allow(clippy::needless_update)]

use std::collections::BTreeMap;
use std::error::Error as _;
use std::time::Duration;

use rauthy_client::{REASON, Seen as Position, VERSION};
use rauthy_linearizability::{Answer, Condition, Op, Outcome, Seen, Value};
use rauthy_proto::cache as proto;
use rauthy_proto::cache::cache_client::CacheClient;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, ConnectError, Request, Status};

use crate::nodes::Nodes;

/// The cache that is used.
const CACHE: &str = "test";
/// A connection takes no longer than this; the socket is on this machine.
const CONNECT: Duration = Duration::from_secs(2);

/// How a read is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Local,
    Session,
    Linearizable,
}

/// What came of a call.
pub(crate) struct Told {
    pub outcome: Outcome,
    /// Where the answer stands, if it says so.
    pub position: Option<Position>,
    /// It was refused, or there was no answer: why.
    pub error: Option<Why>,
}

/// Why there is no ordinary answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// The agent refused, for one of the reasons that `cache.proto` has for it.
    Refused(String),
    /// There was no answer in time.
    Late,
    /// There was no connection, or it broke: the agent is dead.
    Lost(String),
    /// Something that must never happen, such as a request that the agent does not understand.
    Wrong(String),
}

impl Told {
    fn nowhere() -> Self {
        Self { outcome: Outcome::Failed, position: None, error: Some(Why::Refused("GONE".to_owned())) }
    }
}

/// One client of all nodes.
#[derive(Clone)]
pub(crate) struct Caller {
    nodes: Nodes,
    /// To each node that was asked: its target, and a connection of this client's own.
    channels: BTreeMap<String, (String, CacheClient<Channel>)>,
    deadline: Duration,
    /// What it has seen: its session.
    seen: Option<Position>,
}

impl Caller {
    pub(crate) fn new(nodes: Nodes, deadline: Duration) -> Self {
        Self { nodes, channels: BTreeMap::new(), deadline, seen: None }
    }

    /// Names of the nodes.
    pub(crate) fn nodes(&self) -> Vec<String> {
        self.nodes.names()
    }

    /// The way to a node; `None`: there is no such node.
    fn node(&mut self, name: &str) -> Option<CacheClient<Channel>> {
        let target = self.nodes.target(name)?;
        if let Some((known, channel)) = self.channels.get(name)
            && *known == target
        {
            return Some(channel.clone());
        }
        let endpoint = Endpoint::from_shared(target.clone()).unwrap().connect_timeout(CONNECT);
        let channel = CacheClient::new(endpoint.connect_lazy());
        self.channels.insert(name.to_owned(), (target, channel.clone()));
        Some(channel)
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.set_timeout(self.deadline);
        request
    }

    /// An answer came with this token. Of one generation the highest counts; another one is newer.
    fn saw(&mut self, token: &[u8]) -> Option<Position> {
        let new = Position::parse(token)?;
        if !self.seen.is_some_and(|old| old.generation == new.generation && old.index >= new.index) {
            self.seen = Some(new);
        }
        Some(new)
    }

    /// Reads at a node.
    pub(crate) async fn read(&mut self, at: &str, key: &str, mode: Mode) -> Told {
        let session = match (mode, self.seen) {
            (Mode::Session, Some(seen)) => seen.to_bytes(),
            _ => Default::default(),
        };
        let linearizable = mode == Mode::Linearizable;
        let key = key.to_owned().into();
        let request =
            proto::GetRequest { cache: CACHE.into(), key, linearizable, session, ..Default::default() };
        let Some(mut node) = self.node(at) else { return Told::nowhere() };
        match node.get(self.request(request)).await.map(tonic::Response::into_inner) {
            Ok(answer) => {
                let seen = answer
                    .value
                    .map(|value| Seen { value: Value::from_text(&value), version: Some(answer.version) });
                // A local read is no part of the session: its node may be behind what the session has seen.
                let position = match mode {
                    Mode::Local => Position::parse(&answer.session),
                    Mode::Session | Mode::Linearizable => self.saw(&answer.session),
                };
                Told { outcome: Outcome::saw(Answer::Found(seen)), position, error: None }
            }
            Err(status) => {
                if reason(&status) == Some("GAP") {
                    self.seen = None;
                }
                Told { outcome: Outcome::Failed, position: None, error: Some(why(&status)) }
            }
        }
    }

    /// Writes through a node, at level All or else Quorum.
    pub(crate) async fn write(&mut self, at: &str, key: &str, op: &Op, all: bool) -> Told {
        let ack = if all { proto::AckLevel::All } else { proto::AckLevel::Quorum }.into();
        let (cache, key) = (CACHE.to_owned(), key.to_owned().into());
        let Some(mut node) = self.node(at) else { return Told::nowhere() };
        let result = match op {
            Op::Put { value, condition, .. } => {
                let value = match value {
                    Value::Bytes(bytes) => bytes.clone(),
                    Value::Number(number) => number.to_string().into_bytes(),
                };
                let if_version = match condition {
                    Condition::IfVersion(version) => Some(*version),
                    Condition::Always | Condition::IfAbsent => None,
                };
                let if_absent = *condition == Condition::IfAbsent;
                let value = value.into();
                let request =
                    proto::PutRequest { cache, key, value, ack, if_absent, if_version, ..Default::default() };
                let answer = node.put(self.request(request)).await.map(tonic::Response::into_inner);
                answer.map(|answer| (Answer::Silent, answer.session))
            }
            Op::Delete => {
                let request = proto::DeleteRequest { cache, key, ack, ..Default::default() };
                let answer = node.delete(self.request(request)).await.map(tonic::Response::into_inner);
                answer.map(|answer| (Answer::Existed(answer.existed), answer.session))
            }
            Op::Take => {
                let request = proto::TakeRequest { cache, key, ack, ..Default::default() };
                let answer = node.take(self.request(request)).await.map(tonic::Response::into_inner);
                answer.map(|answer| {
                    let found = answer.value.map(|v| Seen { value: Value::from_text(&v), version: None });
                    (Answer::Found(found), answer.session)
                })
            }
            Op::Increment { by, .. } => {
                let request = proto::IncrementRequest { cache, key, by: *by, ack, ..Default::default() };
                let answer = node.increment(self.request(request)).await.map(tonic::Response::into_inner);
                answer.map(|answer| (Answer::Number(answer.number), answer.session))
            }
            Op::Read | Op::Clear => panic!("{op:?} is no write of the recorder"),
        };
        match result {
            Ok((answer, token)) => {
                let position = self.saw(&token);
                Told {
                    outcome: Outcome::Done { index: position.map(|p| p.index), answer },
                    position,
                    error: None,
                }
            }
            Err(status) => Told { outcome: refused(&status), position: None, error: Some(why(&status)) },
        }
    }
}

fn reason(status: &Status) -> Option<&str> {
    status.metadata().get(REASON).and_then(|r| r.to_str().ok())
}

fn why(status: &Status) -> Why {
    let words = format!("{:?}: {}", status.code(), status.message());
    match reason(status) {
        Some("FIELD" | "LEVEL") => Why::Wrong(words),
        Some(reason) => Why::Refused(reason.to_owned()),
        // What came from the agent has no cause on this side.
        None => match (status.code(), status.source()) {
            (Code::Cancelled | Code::DeadlineExceeded, _) => Why::Late,
            (_, Some(_)) => Why::Lost(words),
            (_, None) => Why::Wrong(words),
        },
    }
}

/// What a write without an ordinary answer means.
fn refused(status: &Status) -> Outcome {
    match reason(status) {
        Some("VERSION") => {
            let version = status.metadata().get(VERSION).and_then(|v| v.to_str().ok()?.parse().ok());
            Outcome::saw(Answer::ConditionFailed { version: Some(version.unwrap_or(0)) })
        }
        Some("NOT_A_NUMBER") => Outcome::saw(Answer::NotANumber),
        Some("NO_QUORUM" | "SYNCING" | "LIMIT" | "LEVEL" | "FIELD" | "GAP") => Outcome::Failed,
        _ if never_connected(status) => Outcome::Failed,
        _ => Outcome::Unknown,
    }
}

/// The connection was never made: nothing was sent.
fn never_connected(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.downcast_ref::<ConnectError>().is_some() {
            return true;
        }
        source = error.source();
    }
    false
}
