//! A call as a gRPC call of its own, and what all answers have in common.

use bytes::Bytes;
use rauthy_proto::cache as proto;
use rauthy_proto::cache::answer::Answer;
use rauthy_proto::cache::call::Call as Message;
use tokio::time::Instant;
use tonic::Request;

use crate::Client;
use crate::error::{Call, Failed, failed};

/// Asks, and waits for the answer until `end`.
pub(crate) async fn unary(
    client: &Client,
    kind: Call,
    end: Instant,
    call: Message,
) -> Result<Answer, Failed> {
    let mut grpc = client.connect();
    let answer = match call {
        Message::Get(m) => grpc.get(request(m, end)).await.map(|a| Answer::Get(a.into_inner())),
        Message::Put(m) => grpc.put(request(m, end)).await.map(|a| Answer::Put(a.into_inner())),
        Message::Delete(m) => grpc.delete(request(m, end)).await.map(|a| Answer::Delete(a.into_inner())),
        Message::Take(m) => grpc.take(request(m, end)).await.map(|a| Answer::Take(a.into_inner())),
        Message::Increment(m) => {
            grpc.increment(request(m, end)).await.map(|a| Answer::Increment(a.into_inner()))
        }
        Message::Clear(m) => grpc.clear(request(m, end)).await.map(|a| Answer::Clear(a.into_inner())),
        Message::Declare(m) => grpc.declare(request(m, end)).await.map(|a| Answer::Declare(a.into_inner())),
        Message::Status(m) => grpc.status(request(m, end)).await.map(|a| Answer::Status(a.into_inner())),
        Message::Register(m) => {
            grpc.register(request(m, end)).await.map(|a| Answer::Register(a.into_inner()))
        }
    };
    answer.map_err(|status| failed(client.target(), kind, &status))
}

fn request<T>(message: T, end: Instant) -> Request<T> {
    let mut request = Request::new(message);
    // The header `grpc-timeout`: the agent answers in time, and this side gives up when it does not.
    request.set_timeout(end.saturating_duration_since(Instant::now()));
    request
}

/// The position that came with an answer; empty if none did.
pub(crate) fn position(answer: &Answer) -> &Bytes {
    static NONE: Bytes = Bytes::new();
    match answer {
        Answer::Get(a) => &a.session,
        Answer::Put(a) => &a.session,
        Answer::Delete(a) => &a.session,
        Answer::Take(a) => &a.session,
        Answer::Increment(a) => &a.session,
        Answer::Clear(a) => &a.session,
        Answer::Declare(a) => &a.session,
        Answer::Status(_) | Answer::Register(_) | Answer::Failure(proto::Failure { .. }) => &NONE,
    }
}
