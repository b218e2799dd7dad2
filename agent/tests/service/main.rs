//! The cache service of a single node on a real socket, asked by plain gRPC: codes, reasons, limits, health, stop.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod request_ids;
mod session;
mod standard;
mod support;
mod watch;

use std::time::Duration;

use rauthy_client::{Seen, VERSION, limits};
use rauthy_proto::cache as proto;
use rauthy_proto::cache::cache_client::CacheClient;
use tokio::time::{Instant, timeout};
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use support::{PATIENCE, delete, get, put, refused, start};

#[tokio::test]
async fn codes_and_reasons() {
    let agent = start().await;
    let mut client = CacheClient::new(agent.channel()).max_encoding_message_size(8 << 20);
    let get = get("k");

    // In its quarantine a node has no leader: nothing is written, and a read is no miss.
    let mut early = Request::new(put("k", b"v".to_vec()));
    early.set_timeout(Duration::from_millis(300));
    assert_eq!(refused(&client.put(early).await.unwrap_err()), (Code::Unavailable, "NO_QUORUM"));
    assert_eq!(refused(&client.get(get.clone()).await.unwrap_err()), (Code::Unavailable, "NO_QUORUM"));

    agent.ready().await;
    assert_eq!(client.get(get.clone()).await.unwrap().into_inner().value, None);
    let version = client.put(put("k", b"v".to_vec())).await.unwrap().into_inner().version;
    let found = client.get(get).await.unwrap().into_inner();
    assert_eq!((found.value.as_deref(), found.version), (Some(&b"v"[..]), version));

    let wrong = [
        put("", b"v".to_vec()),
        put(&"k".repeat(limits::KEY + 1), b"v".to_vec()),
        put("k", vec![0; limits::VALUE + 1]),
        proto::PutRequest { cache: String::new(), ..put("k", vec![]) },
        proto::PutRequest { cache: "c".repeat(65), ..put("k", vec![]) },
        proto::PutRequest { ack: 77, ..put("k", vec![]) },
    ];
    for request in wrong {
        let status = client.put(request).await.unwrap_err();
        assert_eq!(refused(&status), (Code::InvalidArgument, "FIELD"), "{}", status.message());
    }
    let status = client.put(put("k", vec![0; limits::MESSAGE + 1])).await.unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange, "{status:?}");

    client.put(put(&"k".repeat(limits::KEY), vec![1; limits::VALUE])).await.unwrap();
    let full = async {
        for n in 0.. {
            if let Err(status) = client.put(put(&format!("big {n}"), vec![2; limits::VALUE])).await {
                return (n, status);
            }
        }
        unreachable!()
    };
    let (n, status) = timeout(PATIENCE, full).await.unwrap();
    assert_eq!(refused(&status), (Code::ResourceExhausted, "LIMIT"));
    assert!((1..4).contains(&n), "{n} MiB fit beside the first one into 4 MiB");
}

#[tokio::test]
async fn conditions_take_increment_clear_and_declare() {
    let agent = start().await;
    agent.ready().await;
    let mut client = CacheClient::new(agent.channel());
    let absent = proto::PutRequest { if_absent: true, ..put("k", b"first".to_vec()) };
    let first = client.put(absent.clone()).await.unwrap().into_inner();
    let status = client.put(absent).await.unwrap_err();
    assert_eq!(refused(&status), (Code::FailedPrecondition, "VERSION"));
    assert_eq!(status.metadata().get(VERSION).unwrap().to_str().unwrap(), first.version.to_string());
    let swap = proto::PutRequest { if_version: Some(first.version), ..put("k", b"second".to_vec()) };
    let second = client.put(swap.clone()).await.unwrap().into_inner();
    assert_eq!(refused(&client.put(swap).await.unwrap_err()), (Code::FailedPrecondition, "VERSION"));
    let gone = proto::PutRequest { if_version: Some(1), ..put("nothing", vec![]) };
    let status = client.put(gone).await.unwrap_err();
    assert!(status.metadata().get(VERSION).is_none(), "there is none: {status:?}");

    // Linearizable, in a session, and in another one.
    for request in [
        proto::GetRequest { linearizable: true, ..get("k") },
        proto::GetRequest { session: second.session.clone(), ..get("k") },
    ] {
        let found = client.get(request).await.unwrap().into_inner();
        assert_eq!((found.value.as_deref(), found.version), (Some(&b"second"[..]), second.version));
        let seen = Seen::parse(&found.session).unwrap();
        assert!(seen.index >= second.version, "{seen:?}");
    }
    let seen = Seen::parse(&second.session).unwrap();
    let other = Seen { generation: !seen.generation, ..seen }.to_bytes();
    let status = client.get(proto::GetRequest { session: other, ..get("k") }).await.unwrap_err();
    assert_eq!(refused(&status), (Code::FailedPrecondition, "GAP"));
    let status = client.get(proto::GetRequest { session: "k".into(), ..get("k") }).await.unwrap_err();
    assert_eq!(refused(&status), (Code::InvalidArgument, "FIELD"));
    let ahead = Seen { index: seen.index + 1000, ..seen }.to_bytes();
    let mut early = Request::new(proto::GetRequest { session: ahead, ..get("k") });
    early.set_timeout(Duration::from_millis(300));
    assert_eq!(refused(&client.get(early).await.unwrap_err()), (Code::Unavailable, "SYNCING"));

    let take = proto::TakeRequest { cache: "c".into(), key: "k".into(), ..Default::default() };
    assert_eq!(client.take(take.clone()).await.unwrap().into_inner().value.as_deref(), Some(&b"second"[..]));
    assert_eq!(client.take(take.clone()).await.unwrap().into_inner().value, None);
    let status = client.take(proto::TakeRequest { ack: 2, ..take }).await.unwrap_err();
    assert_eq!(refused(&status), (Code::InvalidArgument, "LEVEL"));

    let add = |key: &str, by| proto::IncrementRequest {
        cache: "c".into(),
        key: key.to_owned().into(),
        by,
        ..Default::default()
    };
    assert_eq!(client.increment(add("n", 5)).await.unwrap().into_inner().number, 5);
    assert_eq!(client.increment(add("n", -7)).await.unwrap().into_inner().number, -2);
    let text = client.get(get("n")).await.unwrap().into_inner().value;
    assert_eq!(text.as_deref(), Some(&b"-2"[..]));
    client.put(put("text", b"text".to_vec())).await.unwrap();
    let status = client.increment(add("text", 1)).await.unwrap_err();
    assert_eq!(refused(&status), (Code::FailedPrecondition, "NOT_A_NUMBER"));

    let all = [3, 4].map(|ack| proto::PutRequest { ack, ..put("all", vec![1]) });
    for request in all {
        client.put(request).await.unwrap();
    }
    let clear = proto::ClearRequest { cache: "c".into(), ..Default::default() };
    assert_eq!(client.clear(clear).await.unwrap().into_inner().values, 3, "n, text and all");
    assert_eq!(client.get(get("n")).await.unwrap().into_inner().value, None);
}

#[tokio::test]
async fn a_cache_is_what_it_is_declared_to_be() {
    let agent = start().await;
    agent.ready().await;
    let mut client = CacheClient::new(agent.channel());
    let direct = proto::PutRequest { ack: 5, ..put("k", b"v".to_vec()) };
    let status = client.put(direct.clone()).await.unwrap_err();
    assert_eq!(refused(&status), (Code::InvalidArgument, "LEVEL"), "not declared");
    let declared =
        proto::DeclareRequest { cache: "c".into(), entries: Some(1), direct: true, ..Default::default() };
    client.declare(declared).await.unwrap();
    let answer = client.put(direct).await.unwrap().into_inner();
    assert_eq!((answer.version, answer.session.len()), (0, 0));
    let found = client.get(get("k")).await.unwrap().into_inner();
    assert_eq!(found.value.as_deref(), Some(&b"v"[..]), "seen at once");
    let all = proto::PutRequest { ack: 4, ..put("k", b"v".to_vec()) };
    assert_eq!(refused(&client.put(all).await.unwrap_err()), (Code::InvalidArgument, "LEVEL"));
    // The first one is in the log after a while; then there is no room for another.
    let full = async {
        let mut n = 0;
        loop {
            n += 1;
            match client.put(put(&n.to_string(), vec![])).await {
                Ok(_) => client.delete(delete(&n.to_string())).await.unwrap(),
                Err(status) => return status,
            };
        }
    };
    let status = timeout(PATIENCE, full).await.unwrap();
    assert_eq!(refused(&status), (Code::ResourceExhausted, "LIMIT"));
    assert!(status.message().contains("declared"), "{}", status.message());
}

#[tokio::test]
async fn health() {
    let agent = start().await;
    let mut client = HealthClient::new(agent.channel());
    let mut ask = async |service: &str| {
        let answer = client.check(HealthCheckRequest { service: service.into() }).await;
        answer.map(|a| a.into_inner().status())
    };
    assert_eq!(ask("").await.unwrap(), ServingStatus::Serving);
    assert_eq!(ask("rauthy.cache.v1.Cache").await.unwrap(), ServingStatus::NotServing);
    assert_eq!(ask("another").await.unwrap_err().code(), Code::NotFound);
    agent.ready().await;
    assert_eq!(ask("rauthy.cache.v1.Cache").await.unwrap(), ServingStatus::Serving);
}

#[tokio::test]
async fn it_stops_in_time_although_a_client_holds_on() {
    let agent = start().await;
    agent.ready().await;
    let mut client = CacheClient::new(agent.channel());
    client.put(put("k", b"v".to_vec())).await.unwrap();
    let started = Instant::now();
    agent.stop.send(()).unwrap();
    timeout(Duration::from_secs(5), agent.server).await.expect("it goes on").unwrap().unwrap();
    assert!(!agent.path.exists(), "the socket is left behind, {:?} after the stop", started.elapsed());
    agent.running.shutdown().await;
    client.get(get("k")).await.expect_err("nobody serves");
}
