//! `rauthy.cache.v1.Cache/Session`: many calls over one stream.
//!
//! ```text
//! Session ─ waiting: calls of the last message that are not begun
//!         ├ running: calls under way, at most IN_FLIGHT of them and BYTES of their requests
//!         └ phase:   open ─▶ closed by the client ─▶ ended in order
//!                      └───▶ stopping (nothing more is begun) ─▶ ended with a status
//! ```
//!
//! All of it happens when the client has room for an answer. Reads that need not wait are answered where they are read;
//! what must wait is polled here, on the task of the stream. Answers that are there together share a message.

use std::mem::take;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesUnordered};
use futures::{FutureExt, Stream, StreamExt};
use prost::Message;
use rauthy_core::Found;
use rauthy_core::replica::Position;
use rauthy_proto::cache as proto;
use rauthy_proto::cache::answer::Answer as Content;
use rauthy_proto::cache::call::Call as Asked;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};
use tonic::{Request, Status, Streaming};

use super::calls::{Calls, read_outcome};
use super::deadline::within;
use super::operations::{Level, Operation, Outcome};
use super::reason::Reason;
use super::requests::{self, Mode, token};
use super::streams::{Counted, DRAIN, Streams, end, ended};

/// Calls of one stream that are under way, at most.
const IN_FLIGHT: usize = 4096;
/// Bytes of their requests; one more is begun while there are fewer.
const BYTES: usize = 4 << 20;
/// Answers in one message, at most.
const ANSWERS: usize = 256;
/// Bytes of answers in one message; one more is added while there are fewer.
const ANSWERED_BYTES: usize = 64 << 10;
/// Requests taken in in a row without an answer that is ready, at most.
const TAKEN_IN: u32 = 64;
/// After so many messages in a row the other tasks of this thread have their turn.
const IN_A_ROW: u32 = 16;

/// A stream of responses.
pub(super) type Responses = BoxStream<'static, Result<proto::SessionResponse, Status>>;

/// One stream.
pub(super) struct Session<S> {
    calls: Calls,
    requests: S,
    waiting: std::vec::IntoIter<proto::Call>,
    running: FuturesUnordered<BoxFuture<'static, Answered>>,
    bytes: usize,
    phase: Phase,
    in_a_row: u32,
    stopping: BoxFuture<'static, ()>,
    end: BoxFuture<'static, Status>,
    counted: Counted,
    _place: OwnedSemaphorePermit,
}

enum Phase {
    Open,
    /// The client sends nothing more.
    Closed,
    /// The agent is about to stop; until then calls under way may end.
    Stopping(BoxFuture<'static, ()>),
    Over,
}

/// What became of a call that had to wait.
struct Answered {
    answer: proto::Answer,
    /// Of the answer, and taken out of it.
    session: Bytes,
    /// Bytes of its request.
    size: usize,
}

/// Answers that go together.
#[derive(Default)]
struct Batch {
    answers: Vec<proto::Answer>,
    seen: Option<Position>,
    bytes: usize,
}

impl Batch {
    fn has_room(&self) -> bool {
        self.answers.len() < ANSWERS && self.bytes < ANSWERED_BYTES
    }

    fn add(&mut self, id: u64, content: Content, seen: Option<Position>) {
        self.bytes += match &content {
            Content::Get(got) => got.value.as_ref().map_or(0, Bytes::len),
            Content::Take(taken) => taken.value.as_ref().map_or(0, Bytes::len),
            Content::Failure(failure) => failure.message.len(),
            Content::Status(status) => status.encoded_len(),
            _ => 0,
        };
        self.answers.push(proto::Answer { id, answer: Some(content) });
        // Of one generation the later one; another generation is newer, what was there before is gone.
        if let Some(seen) = seen
            && !self.seen.is_some_and(|old| old.generation == seen.generation && old.index >= seen.index)
        {
            self.seen = Some(seen);
        }
    }

    fn response(self) -> proto::SessionResponse {
        proto::SessionResponse { answers: self.answers, session: token(self.seen) }
    }
}

/// Opens a session.
pub(super) fn open(
    calls: Calls,
    request: Request<Streaming<proto::SessionRequest>>,
    streams: &Streams,
) -> Result<Responses, Reason> {
    let end = ended(end(request.metadata())).boxed();
    Ok(Session::new(calls, request.into_inner(), streams, end)?.boxed())
}

impl<S> Session<S> {
    fn new(
        calls: Calls,
        requests: S,
        streams: &Streams,
        end: BoxFuture<'static, Status>,
    ) -> Result<Self, Reason> {
        let place = streams.session()?;
        let counted = Counted::new(&calls.operations, Operation::Session, "");
        Ok(Self {
            calls,
            requests,
            waiting: Vec::new().into_iter(),
            running: FuturesUnordered::new(),
            bytes: 0,
            phase: Phase::Open,
            in_a_row: 0,
            stopping: streams.stopping.clone().cancelled_owned().boxed(),
            end,
            counted,
            _place: place,
        })
    }

    /// Answers a call at once, or sees to it that it runs.
    fn begin(&mut self, call: proto::Call, batch: &mut Batch) {
        let asked = match call.call {
            Some(Asked::Get(get)) => match self.at_once(&get) {
                Some(Ok(found)) => {
                    let seen = Position { generation: found.generation, index: found.index };
                    return batch.add(call.id, Content::Get(got(found)), Some(seen));
                }
                Some(Err(reason)) => return batch.add(call.id, Content::Failure(reason.into()), None),
                None => Asked::Get(get),
            },
            Some(asked) => asked,
            None => {
                let reason =
                    Reason::Field("a call asks for nothing; get, put and others are possible".into());
                return batch.add(call.id, Content::Failure(reason.into()), None);
            }
        };
        let size = size(&asked);
        self.bytes += size;
        let asked_for = (call.timeout_ms > 0).then(|| Duration::from_millis(call.timeout_ms.into()));
        let deadline = Instant::now() + within(asked_for);
        let (id, calls) = (call.id, self.calls.clone());
        self.running.push(
            async move {
                let (answer, session) = run(&calls, asked, deadline).await;
                Answered { answer: proto::Answer { id, answer: Some(answer) }, session, size }
            }
            .boxed(),
        );
    }

    /// A read that need not wait; `None`: it must.
    fn at_once(&self, get: &proto::GetRequest) -> Option<Result<Found, Reason>> {
        let started = Instant::now();
        let (level, result) = match requests::get(get) {
            Ok(Mode::Local) => (Level::Local, self.calls.get_local(get)),
            Ok(Mode::Session(seen)) => (Level::Session, self.calls.get_applied(get, seen)?),
            Ok(Mode::Linearizable) => return None,
            Err(reason) => (Level::Local, Err(reason)),
        };
        let outcome = read_outcome(&result);
        self.calls.operations.ended(&get.cache, Operation::Get, level, outcome, started.elapsed());
        Some(result)
    }

    fn over(&mut self, outcome: Outcome) {
        (self.phase, self.counted.outcome) = (Phase::Over, outcome);
        self.running.clear();
    }
}

impl<S: Stream<Item = Result<proto::SessionRequest, Status>> + Unpin> Session<S> {
    /// Begins what has come, as far as there is room.
    fn take_in(&mut self, context: &mut Context<'_>, batch: &mut Batch) -> Result<(), Status> {
        let mut messages = 0;
        while batch.has_room() && self.running.len() < IN_FLIGHT && self.bytes < BYTES {
            if let Some(call) = self.waiting.next() {
                self.begin(call, batch);
                continue;
            }
            if !matches!(self.phase, Phase::Open) {
                break;
            }
            if messages == TAKEN_IN {
                context.waker().wake_by_ref();
                break;
            }
            messages += 1;
            match self.requests.poll_next_unpin(context) {
                Poll::Ready(Some(message)) => self.waiting = message?.calls.into_iter(),
                Poll::Ready(None) => self.phase = Phase::Closed,
                Poll::Pending => break,
            }
        }
        Ok(())
    }

    /// Collects what has ended.
    fn gather(&mut self, context: &mut Context<'_>, batch: &mut Batch) {
        while batch.has_room()
            && let Poll::Ready(Some(answered)) = self.running.poll_next_unpin(context)
        {
            let Answered { answer, session, size } = answered;
            self.bytes -= size;
            if let Some(content) = answer.answer {
                batch.add(answer.id, content, requests::position(&session, "session").ok());
            }
        }
    }

    /// What ends the stream although calls are under way.
    fn cut(&mut self, context: &mut Context<'_>) -> Option<Status> {
        if let Poll::Ready(status) = self.end.poll_unpin(context) {
            self.over(Outcome::Ok);
            return Some(status);
        }
        if let Phase::Stopping(last) = &mut self.phase {
            if last.poll_unpin(context).is_ready() {
                self.over(Outcome::UnknownOutcome);
                return Some(Reason::UnknownOutcome.into());
            }
        } else if self.stopping.poll_unpin(context).is_ready() {
            self.waiting = Vec::new().into_iter();
            let mut last = sleep(DRAIN).boxed();
            let _ = last.poll_unpin(context); // so that it wakes this task
            self.phase = Phase::Stopping(last);
        }
        None
    }
}

impl<S: Stream<Item = Result<proto::SessionRequest, Status>> + Unpin> Stream for Session<S> {
    type Item = Result<proto::SessionResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if matches!(self.phase, Phase::Over) {
            return Poll::Ready(None);
        }
        if self.in_a_row >= IN_A_ROW {
            self.in_a_row = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if let Some(status) = self.cut(context) {
            return Poll::Ready(Some(Err(status)));
        }
        let mut batch = Batch::default();
        if let Err(status) = self.take_in(context, &mut batch) {
            self.over(Outcome::Ok);
            return Poll::Ready(Some(Err(status)));
        }
        self.gather(context, &mut batch);
        if !batch.answers.is_empty() {
            self.in_a_row += 1;
            return Poll::Ready(Some(Ok(batch.response())));
        }
        if self.running.is_empty() && self.waiting.len() == 0 {
            match self.phase {
                Phase::Closed => {
                    self.over(Outcome::Ok);
                    return Poll::Ready(None);
                }
                Phase::Stopping(_) => {
                    self.over(Outcome::Stopping);
                    return Poll::Ready(Some(Err(Reason::Stopping.into())));
                }
                Phase::Open | Phase::Over => {}
            }
        }
        self.in_a_row = 0;
        Poll::Pending
    }
}

fn got(found: Found) -> proto::GetResponse {
    let (value, version) = found.value.unzip();
    proto::GetResponse {
        value: value.map(Into::into),
        version: version.unwrap_or_default(),
        session: Bytes::new(),
    }
}

/// Bytes that a call holds while it is under way, roughly.
fn size(asked: &Asked) -> usize {
    match asked {
        Asked::Get(get) => get.key.len(),
        Asked::Put(put) => put.key.len() + put.value.len(),
        Asked::Delete(delete) => delete.key.len(),
        Asked::Take(take) => take.key.len(),
        Asked::Increment(increment) => increment.key.len(),
        Asked::Clear(_) | Asked::Declare(_) | Asked::Status(_) | Asked::Register(_) => 0,
    }
}

/// Carries a call out; its answer, and the session that came with it.
async fn run(calls: &Calls, asked: Asked, deadline: Instant) -> (Content, Bytes) {
    macro_rules! answer {
        ($variant:ident, $answer:expr) => {
            $answer.map(|mut answer| {
                let session = take(&mut answer.session);
                (Content::$variant(answer), session)
            })
        };
    }
    let result = match asked {
        Asked::Get(request) => answer!(Get, calls.get(request, deadline).await),
        Asked::Put(request) => answer!(Put, calls.put(request, deadline).await),
        Asked::Delete(request) => answer!(Delete, calls.delete(request, deadline).await),
        Asked::Take(request) => answer!(Take, calls.take(request, deadline).await),
        Asked::Increment(request) => answer!(Increment, calls.increment(request, deadline).await),
        Asked::Clear(request) => answer!(Clear, calls.clear(request, deadline).await),
        Asked::Declare(request) => answer!(Declare, calls.declare(request, deadline).await),
        Asked::Register(_) => {
            calls.register(deadline).await.map(|registered| (Content::Register(registered), Bytes::new()))
        }
        Asked::Status(_) => Ok((Content::Status(calls.status().await), Bytes::new())),
    };
    result.unwrap_or_else(|reason| (Content::Failure(reason.into()), Bytes::new()))
}
