//! The client against a small server on a real socket: what it sends, and what it makes of the answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rauthy_client::{
    AckLevel, Client, Condition, Error, Limits, PutOptions, REASON, Seen, VERSION, Value, limits,
};
use rauthy_proto::cache as proto;
use rauthy_proto::cache::cache_server::{Cache, CacheServer};
use tokio::net::UnixListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status};

/// Answers by key, and remembers the last put with its timeout header.
#[derive(Clone, Default)]
struct Fake {
    last_put: Arc<Mutex<Option<(proto::PutRequest, String)>>>,
}

fn refused(mut status: Status, reason: &'static str) -> Status {
    status.metadata_mut().insert(REASON, tonic::metadata::MetadataValue::from_static(reason));
    status
}

/// Where something was seen.
fn seen(generation: u128, index: u64) -> bytes::Bytes {
    Seen { generation, index }.to_bytes()
}

async fn by_key(key: &[u8]) -> Result<(), Status> {
    match key {
        b"no-quorum" => Err(refused(Status::unavailable("no quorum"), "NO_QUORUM")),
        b"silent" => std::future::pending().await,
        _ => Ok(()),
    }
}

#[tonic::async_trait]
impl Cache for Fake {
    async fn get(&self, r: Request<proto::GetRequest>) -> Result<Response<proto::GetResponse>, Status> {
        let r = r.into_inner();
        by_key(&r.key).await?;
        let value = (&r.key[..] != b"miss").then(|| r.key.clone());
        let gap = Seen::parse(&r.session).is_some_and(|seen| seen.generation == 1);
        if gap {
            return Err(refused(Status::failed_precondition("gap"), "GAP"));
        }
        let session = if r.linearizable { seen(2, 9) } else { r.session };
        Ok(Response::new(proto::GetResponse { version: if value.is_some() { 7 } else { 0 }, value, session }))
    }

    async fn put(&self, r: Request<proto::PutRequest>) -> Result<Response<proto::PutResponse>, Status> {
        let timeout = r.metadata().get("grpc-timeout").map(|t| t.to_str().unwrap().to_owned());
        let r = r.into_inner();
        *self.last_put.lock().unwrap() = Some((r.clone(), timeout.unwrap_or_default()));
        by_key(&r.key).await?;
        if r.if_absent || r.if_version == Some(3) {
            let mut status = refused(Status::failed_precondition("it is there"), "VERSION");
            status.metadata_mut().insert(VERSION, tonic::metadata::MetadataValue::from(7_u64));
            return Err(status);
        }
        Ok(Response::new(proto::PutResponse { version: 9, session: seen(1, 9) }))
    }

    async fn delete(
        &self,
        r: Request<proto::DeleteRequest>,
    ) -> Result<Response<proto::DeleteResponse>, Status> {
        by_key(&r.into_inner().key).await?;
        Ok(Response::new(proto::DeleteResponse { existed: true, session: seen(1, 10) }))
    }

    async fn take(&self, r: Request<proto::TakeRequest>) -> Result<Response<proto::TakeResponse>, Status> {
        let r = r.into_inner();
        by_key(&r.key).await?;
        let value = (&r.key[..] != b"miss").then(|| r.key.clone());
        Ok(Response::new(proto::TakeResponse { value, session: seen(1, 11) }))
    }

    async fn increment(
        &self,
        r: Request<proto::IncrementRequest>,
    ) -> Result<Response<proto::IncrementResponse>, Status> {
        let r = r.into_inner();
        by_key(&r.key).await?;
        if &r.key[..] == b"text" {
            return Err(refused(Status::failed_precondition("text"), "NOT_A_NUMBER"));
        }
        Ok(Response::new(proto::IncrementResponse { number: 40 + r.by, version: 12, session: seen(1, 12) }))
    }

    async fn clear(&self, r: Request<proto::ClearRequest>) -> Result<Response<proto::ClearResponse>, Status> {
        assert_eq!(r.into_inner().ack(), proto::AckLevel::All);
        Ok(Response::new(proto::ClearResponse { values: 3, session: seen(1, 13) }))
    }

    async fn declare(
        &self,
        r: Request<proto::DeclareRequest>,
    ) -> Result<Response<proto::DeclareResponse>, Status> {
        let r = r.into_inner();
        assert_eq!((r.entries, r.bytes, r.ttl_ms, r.evict, r.direct), (Some(5), None, 1000, true, false));
        Ok(Response::new(proto::DeclareResponse { session: seen(1, 14) }))
    }

    async fn status(
        &self,
        _: Request<proto::StatusRequest>,
    ) -> Result<Response<proto::StatusResponse>, Status> {
        let node = proto::NodeStatus { slot: "here:1".into(), ..Default::default() };
        Ok(Response::new(proto::StatusResponse { node: Some(node) }))
    }

    async fn register(
        &self,
        _: Request<proto::RegisterRequest>,
    ) -> Result<Response<proto::RegisterResponse>, Status> {
        Ok(Response::new(proto::RegisterResponse { writer: "writer".into(), idle_ms: 30_000 }))
    }

    type WatchStream = tokio_stream::Empty<Result<proto::WatchResponse, Status>>;

    async fn watch(&self, _: Request<proto::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }

    type SessionStream = tokio_stream::Empty<Result<proto::SessionResponse, Status>>;

    async fn session(
        &self,
        _: Request<tonic::Streaming<proto::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        Ok(Response::new(tokio_stream::empty()))
    }
}

fn serve(path: &Path, fake: Fake) -> JoinHandle<()> {
    let listener = UnixListener::bind(path).unwrap();
    tokio::spawn(async move {
        let server = tonic::transport::Server::builder()
            .add_service(CacheServer::new(fake).max_decoding_message_size(limits::MESSAGE));
        server.serve_with_incoming(UnixListenerStream::new(listener)).await.unwrap();
    })
}

fn setup() -> (tempfile::TempDir, PathBuf, Client) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cache.sock");
    let client = Client::new(&format!("unix://{}", path.display())).unwrap();
    (dir, path, client)
}

#[tokio::test]
async fn what_a_write_needs_and_did() {
    let (_dir, path, client) = setup();
    let fake = Fake::default();
    let _server = serve(&path, fake.clone());
    for (condition, wanted) in [(Condition::Absent, (true, None)), (Condition::Version(3), (false, Some(3)))]
    {
        let error = client.put_if("c", "k", "v", condition, PutOptions::default()).await.unwrap_err();
        assert_eq!(error, Error::Version { version: Some(7) });
        let (sent, _) = fake.last_put.lock().unwrap().clone().unwrap();
        assert_eq!((sent.if_absent, sent.if_version), wanted);
    }
    let put = client.put_if("c", "k", "v", Condition::Version(4), PutOptions::default()).await;
    assert_eq!(put, Ok(9));
    assert_eq!(client.take("c", "k", AckLevel::Quorum).await, Ok(Some("k".into())));
    assert_eq!(client.take("c", "miss", AckLevel::Quorum).await, Ok(None));
    assert_eq!(client.increment("c", "k", -3, PutOptions::default()).await, Ok(37));
    assert_eq!(client.increment("c", "text", 1, PutOptions::default()).await, Err(Error::NotANumber));
    assert_eq!(client.clear("c", AckLevel::All).await, Ok(3));
    let limits =
        Limits { entries: Some(5), ttl: Some(Duration::from_secs(1)), evict: true, ..Limits::default() };
    client.declare("c", limits).await.unwrap();
}

#[tokio::test]
async fn a_session_sends_what_it_has_seen_and_begins_anew_after_a_gap() {
    let (_dir, path, client) = setup();
    let _server = serve(&path, Fake::default());
    client.put("c", "k", "v", PutOptions::default()).await.unwrap();
    client.get("c", "k").await.unwrap().expect("without a session nothing is a gap");
    let client = client.session();
    let other = client.clone();
    other.put("c", "k", "v", PutOptions::default()).await.unwrap();
    assert_eq!(client.get("c", "k").await, Err(Error::Gap), "the clone's write was seen, too");
    client.get("c", "k").await.unwrap().expect("said once");
    assert!(client.get_linearizable("c", "k").await.unwrap().is_some());
    client.get("c", "k").await.unwrap().expect("generation 2 is there");
}

#[tokio::test]
async fn the_four_calls() {
    let (_dir, path, client) = setup();
    let fake = Fake::default();
    let _server = serve(&path, fake.clone());
    let found = client.get("c", "k").await.unwrap();
    assert_eq!(found, Some(Value { value: "k".into(), version: 7 }));
    assert_eq!(client.get("c", "miss").await.unwrap(), None);
    let options = PutOptions {
        ttl: Some(Duration::from_micros(1500)),
        ack: AckLevel::Leader,
        deadline: Some(Duration::from_millis(1234)),
    };
    assert_eq!(client.put("c", "k", "v", options).await.unwrap(), 9);
    let (sent, timeout) = fake.last_put.lock().unwrap().clone().unwrap();
    assert_eq!((sent.ttl_ms, sent.ack()), (2, proto::AckLevel::Leader));
    let micros: u32 = timeout.strip_suffix('u').unwrap().parse().unwrap();
    assert!((1..=1_234_000).contains(&micros), "what is left of it: {timeout}");
    assert!(client.delete("c", "k", AckLevel::Quorum).await.unwrap());
    assert_eq!(client.status().await.unwrap().slot, "here:1");
}

#[tokio::test]
async fn largest_and_too_large() {
    let (_dir, path, client) = setup();
    let _server = serve(&path, Fake::default());
    let key = vec![1; limits::KEY];
    let value = vec![2; limits::VALUE];
    client.put(&"n".repeat(64), key, value.clone(), PutOptions::default()).await.unwrap();
    let too_large = [value, vec![3]].concat();
    let error = client.put("c", "k", too_large, PutOptions::default()).await.unwrap_err();
    assert!(matches!(&error, Error::Invalid(m) if m.contains("1048577")), "{error}");
}

#[tokio::test]
async fn nobody_there_is_unreachable_and_says_where() {
    let (_dir, path, client) = setup();
    let client = client.with_deadline(Duration::from_millis(300));
    for error in [
        client.get("c", "k").await.unwrap_err(),
        client.put("c", "k", "v", PutOptions::default()).await.unwrap_err(),
    ] {
        let Error::Unreachable { target, reason } = &error else { panic!("{error:?}") };
        assert!(target.contains(&*path.to_string_lossy()), "{target}");
        assert!(reason.contains("No such file"), "{reason}");
    }
}

#[tokio::test]
async fn reasons_and_silence() {
    let (_dir, path, client) = setup();
    let _server = serve(&path, Fake::default());
    let client = client.with_deadline(Duration::from_millis(300));
    assert_eq!(client.get("c", "no-quorum").await.unwrap_err(), Error::NoQuorum);
    assert_eq!(
        client.put("c", "silent", "v", PutOptions::default()).await.unwrap_err(),
        Error::UnknownOutcome
    );
    let error = client.get("c", "silent").await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_dies_with_a_write_in_flight_and_comes_back() {
    let (_dir, path, client) = setup();
    let client = client.without_retries();
    let fake = Fake::default();
    // In a runtime of its own, so that ending it ends its connections, as the end of a process does.
    let first = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    {
        let _inside = first.enter();
        serve(&path, fake.clone());
    }
    let write = tokio::spawn({
        let client = client.clone();
        async move { client.put("c", "silent", "v", PutOptions::default()).await }
    });
    let arrived = async {
        while fake.last_put.lock().unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), arrived).await.expect("the write never reached the server");
    first.shutdown_background();
    let outcome = tokio::time::timeout(Duration::from_secs(4), write).await.expect("the loss went unnoticed");
    assert_eq!(outcome.unwrap().unwrap_err(), Error::UnknownOutcome);

    std::fs::remove_file(&path).unwrap();
    let _second = serve(&path, Fake::default());
    let back = async {
        while client.get("c", "k").await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), back).await.expect("the client never connected again");
}

#[test]
fn an_address_is_checked_without_a_runtime() {
    for wrong in
        ["", "cache.sock", "/run/cache.sock", "unix://run/cache.sock", "https://localhost:1", "http://"]
    {
        let error = Client::new(wrong).expect_err(wrong);
        assert!(matches!(error, Error::Invalid(_)), "{wrong}: {error:?}");
    }
    for right in ["unix:///run/rauthy/cache.sock", "http://127.0.0.1:9000", "http://[::1]:9000"] {
        Client::new(right).expect(right);
    }
}
