//! Many calls at a time over one stream.
//!
//! ```text
//! callers ──▶ queue ──▶ Batches: SessionRequest { calls } ──▶ agent
//!    ▲                                                         │
//!    └──────── pending: id ──▶ oneshot ◀── SessionResponse ────┘
//! ```
//!
//! What waits in the queue when the connection has room becomes one message: the more calls, the fewer messages. A
//! stream that ends fails the calls without an answer, which says whether they may have been done; the next call opens
//! another one.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use rauthy_proto::cache as proto;
use rauthy_proto::cache::answer::Answer;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::Stream;
use tonic::Status;

use crate::Client;
use crate::error::{Call, Failed, failed, refused};

/// Calls that wait to be sent; beyond, callers wait.
const QUEUE: usize = 1024;
/// Calls and bytes of one message, about. A single call may be larger.
const BATCH_CALLS: usize = 256;
const BATCH_BYTES: usize = 64 << 10;
/// The agent gives up first, and says why.
const GRACE: Duration = Duration::from_millis(250);

/// The stream of a client and its clones.
#[derive(Debug, Default)]
pub(crate) struct Pipeline {
    live: Mutex<Option<Live>>,
}

/// A stream that stands, or is about to.
#[derive(Debug)]
struct Live {
    queue: mpsc::Sender<proto::Call>,
    pending: Arc<Pending>,
}

/// Who waits for an answer.
#[derive(Debug, Default)]
struct Pending(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    callers: HashMap<u64, oneshot::Sender<Answered>>,
    /// Set once, when the stream has ended.
    ended: Option<Status>,
}

/// An answer with the position of its message, or how the stream ended.
type Answered = Result<(Answer, Bytes), Status>;

impl Pipeline {
    /// Asks over the stream, and waits for the answer until `end`.
    pub async fn call(
        &self,
        client: &Client,
        kind: Call,
        end: Instant,
        call: proto::call::Call,
    ) -> Result<Answer, Failed> {
        let no_answer = |status: &Status| failed(client.target(), kind, status);
        let late = || no_answer(&Status::deadline_exceeded("no answer in time"));
        let (queue, place, answer) = self.enter(client);
        let left = end.saturating_duration_since(Instant::now());
        let timeout_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1);
        let call = proto::Call { id: place.id, timeout_ms, call: Some(call) };
        let exchange = async {
            // The queue closes when the stream ends; then the answer says how.
            let _ = queue.send(call).await;
            answer.await
        };
        let (answer, position) = match tokio::time::timeout_at(end + GRACE, exchange).await {
            Err(_) | Ok(Err(_)) => return Err(late()),
            Ok(Ok(Err(status))) => return Err(no_answer(&status)),
            Ok(Ok(Ok(answer))) => answer,
        };
        match answer {
            Answer::Failure(failure) => Err(refused(client.target(), kind, failure)),
            answer => {
                client.saw(&position);
                Ok(answer)
            }
        }
    }

    /// A place among those who wait for answers of the stream, which is opened if need be.
    fn enter(&self, client: &Client) -> (mpsc::Sender<proto::Call>, Place, oneshot::Receiver<Answered>) {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let Live { queue, pending } = live.get_or_insert_with(|| open(client));
            if let Some((place, answer)) = pending.enter() {
                return (queue.clone(), place, answer);
            }
            *live = None;
        }
    }
}

fn open(client: &Client) -> Live {
    let (queue, calls) = mpsc::channel(QUEUE);
    let pending = Arc::<Pending>::default();
    let live = Live { queue, pending: pending.clone() };
    let mut grpc = client.connect();
    tokio::spawn(async move {
        let ended = match grpc.session(Batches { calls, held: None }).await {
            Ok(answers) => read(answers.into_inner(), &pending).await,
            Err(status) => status,
        };
        pending.end(&ended);
    });
    live
}

/// Hands out answers until the stream ends; how it ended.
async fn read(mut answers: tonic::Streaming<proto::SessionResponse>, pending: &Pending) -> Status {
    loop {
        match answers.message().await {
            Ok(Some(response)) => pending.answer(response),
            Ok(None) => return Status::unavailable("the agent ended the stream"),
            Err(status) => return status,
        }
    }
}

/// A caller that waits; it is forgotten when it gives up.
struct Place {
    id: u64,
    pending: Arc<Pending>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.pending.lock().callers.remove(&self.id);
    }
}

impl Pending {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(self: &Arc<Self>) -> Option<(Place, oneshot::Receiver<Answered>)> {
        let mut waiting = self.lock();
        if waiting.ended.is_some() {
            return None;
        }
        let id = waiting.next;
        waiting.next += 1;
        let (tx, rx) = oneshot::channel();
        waiting.callers.insert(id, tx);
        Some((Place { id, pending: self.clone() }, rx))
    }

    fn answer(&self, response: proto::SessionResponse) {
        let mut waiting = self.lock();
        for proto::Answer { id, answer } in response.answers {
            if let (Some(caller), Some(answer)) = (waiting.callers.remove(&id), answer) {
                let _ = caller.send(Ok((answer, response.session.clone())));
            }
        }
    }

    fn end(&self, status: &Status) {
        let mut waiting = self.lock();
        waiting.ended = Some(status.clone());
        for (_, caller) in waiting.callers.drain() {
            let _ = caller.send(Err(status.clone()));
        }
    }
}

/// What waits in the queue, as messages.
struct Batches {
    calls: mpsc::Receiver<proto::Call>,
    /// Had no room in the last one.
    held: Option<proto::Call>,
}

impl Stream for Batches {
    type Item = proto::SessionRequest;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let first = match self.held.take() {
            Some(call) => call,
            None => match ready!(self.calls.poll_recv(context)) {
                Some(call) => call,
                None => return Poll::Ready(None),
            },
        };
        let mut bytes = size(&first);
        let mut calls = vec![first];
        while calls.len() < BATCH_CALLS
            && let Ok(call) = self.calls.try_recv()
        {
            bytes += size(&call);
            if bytes > BATCH_BYTES {
                self.held = Some(call);
                break;
            }
            calls.push(call);
        }
        Poll::Ready(Some(proto::SessionRequest { calls }))
    }
}

/// About as many bytes as it has on the wire.
fn size(call: &proto::Call) -> usize {
    const REST: usize = 64;
    REST + match &call.call {
        Some(proto::call::Call::Put(put)) => put.key.len() + put.value.len(),
        Some(proto::call::Call::Get(get)) => get.key.len(),
        Some(proto::call::Call::Delete(delete)) => delete.key.len(),
        Some(proto::call::Call::Take(take)) => take.key.len(),
        Some(proto::call::Call::Increment(increment)) => increment.key.len(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;

    fn put(id: u64, bytes: usize) -> proto::Call {
        let put = proto::PutRequest { value: vec![0; bytes].into(), ..Default::default() };
        proto::Call { id, timeout_ms: 0, call: Some(proto::call::Call::Put(put)) }
    }

    #[tokio::test]
    async fn batches_keep_the_order_and_their_bounds() {
        let (tx, calls) = mpsc::channel(QUEUE);
        let sizes = [10, 40_000, 40_000, 1 << 20, 10, 10].into_iter().chain([0; 300]);
        for (id, bytes) in sizes.enumerate() {
            tx.send(put(id as u64, bytes)).await.unwrap();
        }
        drop(tx);
        let batches: Vec<_> = Batches { calls, held: None }.collect().await;
        let ids: Vec<_> = batches.iter().flat_map(|b| b.calls.iter().map(|c| c.id)).collect();
        assert!(ids.iter().copied().eq(0..306), "{ids:?}");
        let lengths: Vec<_> = batches.iter().map(|b| b.calls.len()).collect();
        assert_eq!(lengths, [2, 1, 1, 256, 46]);
    }

    #[test]
    fn a_caller_that_gives_up_is_forgotten() {
        let pending = Arc::<Pending>::default();
        let (place, answer) = pending.enter().unwrap();
        drop((place, answer));
        assert!(pending.lock().callers.is_empty());
        let (_place, mut answer) = pending.enter().unwrap();
        pending.end(&Status::unavailable("over"));
        assert_eq!(answer.try_recv().unwrap().unwrap_err().message(), "over");
        assert!(pending.enter().is_none());
    }
}
