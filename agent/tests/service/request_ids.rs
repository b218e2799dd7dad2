//! A write with a request id is done once, however often it is sent.

use rauthy_proto::cache as proto;
use tonic::Code;

use crate::support::{delete, get, put, refused, start};

#[tokio::test]
async fn a_repeated_write_is_done_once() {
    let agent = start().await;
    agent.ready().await;
    let mut client = agent.client();
    let registered = client.register(proto::RegisterRequest {}).await.unwrap().into_inner();
    assert_eq!(registered.idle_ms, 30_000);
    let id = |number, answered_below| {
        let writer = registered.writer.clone();
        Some(proto::RequestId { writer, number, answered_below })
    };
    let add = |request_id| proto::IncrementRequest {
        cache: "c".into(),
        key: "n".into(),
        by: 5,
        request_id,
        ..Default::default()
    };
    let first = client.increment(add(id(1, 1))).await.unwrap().into_inner();
    let again = client.increment(add(id(1, 1))).await.unwrap().into_inner();
    assert_eq!((again.number, again.version), (5, first.version));
    assert_eq!(client.increment(add(id(2, 1))).await.unwrap().into_inner().number, 10);
    assert_eq!(client.increment(add(None)).await.unwrap().into_inner().number, 15);

    // Whoever takes a value, and does not hear it, takes it again: it is his.
    client.put(proto::PutRequest { request_id: id(3, 2), ..put("code", b"secret".to_vec()) }).await.unwrap();
    let take = proto::TakeRequest {
        cache: "c".into(),
        key: "code".into(),
        request_id: id(4, 2),
        ..Default::default()
    };
    for _ in 0..2 {
        let taken = client.take(take.clone()).await.unwrap().into_inner().value;
        assert_eq!(taken.as_deref(), Some(&b"secret"[..]));
    }
    // At the same time as well.
    let both = proto::PutRequest { if_absent: true, request_id: id(5, 5), ..put("once", vec![]) };
    let (mut one, mut other) = (agent.client(), agent.client());
    let (one, other) = tokio::join!(one.put(both.clone()), other.put(both));
    let version = one.unwrap().into_inner().version;
    assert_eq!(other.unwrap().into_inner().version, version);
    let gone = proto::DeleteRequest { request_id: id(6, 6), ..delete("once") };
    for _ in 0..2 {
        assert!(client.delete(gone.clone()).await.unwrap().into_inner().existed);
    }
    let clear = proto::ClearRequest { cache: "c".into(), request_id: id(7, 7), ..Default::default() };
    assert_eq!(client.clear(clear.clone()).await.unwrap().into_inner().values, 1);
    client.put(put("later", vec![])).await.unwrap();
    assert_eq!(client.clear(clear).await.unwrap().into_inner().values, 1, "as before");
    assert!(client.get(get("later")).await.unwrap().into_inner().value.is_some(), "not again");

    // What was given up is not known any more, and never done.
    let forgotten = client.increment(add(id(2, 2))).await.unwrap_err();
    assert_eq!(refused(&forgotten), (Code::DeadlineExceeded, "UNKNOWN_OUTCOME"));
    assert!(client.get(get("n")).await.unwrap().into_inner().value.is_none());
}

#[tokio::test]
async fn a_wrong_id_is_refused() {
    let agent = start().await;
    agent.ready().await;
    let mut client = agent.client();
    let writer = client.register(proto::RegisterRequest {}).await.unwrap().into_inner().writer;
    let with = |writer: &[u8], number, answered_below| proto::PutRequest {
        request_id: Some(proto::RequestId { writer: writer.to_vec().into(), number, answered_below }),
        ..put("k", vec![])
    };
    for wrong in [
        with(&writer, 0, 0),
        with(&writer, 3, 4),
        with(b"mine", 1, 1),
        with(&writer[1..], 1, 1),
        with(&[], 1, 1),
    ] {
        let status = client.put(wrong).await.unwrap_err();
        assert_eq!(refused(&status), (Code::InvalidArgument, "FIELD"), "{}", status.message());
    }
    // A writer of another generation, and one that there is not.
    let mut other = writer.to_vec();
    other[5] ^= 1;
    let status = client.put(with(&other, 1, 1)).await.unwrap_err();
    assert_eq!(refused(&status), (Code::FailedPrecondition, "GAP"));
    let mut unknown = writer.to_vec();
    unknown[18] ^= 1;
    let status = client.put(with(&unknown, 1, 1)).await.unwrap_err();
    assert_eq!(refused(&status), (Code::DeadlineExceeded, "UNKNOWN_OUTCOME"));
    let far = client.put(with(&writer, 40_000, 1)).await.unwrap_err();
    assert_eq!(refused(&far), (Code::ResourceExhausted, "LIMIT"));
    assert!(client.get(get("k")).await.unwrap().into_inner().value.is_none());
}
