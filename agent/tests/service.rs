//! The cache service of a single node on a real socket, asked by plain gRPC: codes, reasons, limits, health, stop.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use rauthy_agent::config::Config;
use rauthy_agent::runtime::{self, Handle, Running};
use rauthy_agent::serve::{self, ServeError};
use rauthy_client::{REASON, limits};
use rauthy_proto::cache as proto;
use rauthy_proto::cache::cache_client::CacheClient;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

const PATIENCE: Duration = Duration::from_secs(20);

struct Agent {
    path: PathBuf,
    handle: Handle,
    running: Running,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), ServeError>>,
    _folder: tempfile::TempDir,
}

async fn start() -> Agent {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cache.sock");
    let listen = format!("unix://{}", path.display());
    let env = |name: &str| match name {
        "CACHE_LISTEN" => Some(listen.clone()),
        "CACHE_MAX_BYTES" => Some("4Mi".into()),
        _ => None,
    };
    let config = Config::from(&env, "host", &|_: &Path| Err(std::io::ErrorKind::NotFound.into())).unwrap();
    let listen = config.listen.clone();
    let (handle, running) = runtime::start(config).await.unwrap();
    let (stop, stopped) = oneshot::channel();
    let server = tokio::spawn(serve::cache(listen, handle.clone(), async {
        let _ = stopped.await;
    }));
    let open = async {
        while !handle.metrics().operations.is_listening() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, open).await.expect("the socket is not opened");
    Agent { path, handle, running, stop, server, _folder: folder }
}

impl Agent {
    fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("unix://{}", self.path.display())).unwrap().connect_lazy()
    }

    async fn ready(&self) {
        let ready = async {
            while !self.handle.status().await.ready {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, ready).await.expect("a single node is ready soon");
    }
}

fn put(key: &str, value: Vec<u8>) -> proto::PutRequest {
    proto::PutRequest {
        cache: "c".into(),
        key: key.to_owned().into(),
        value: value.into(),
        ttl_ms: 0,
        ack: 0,
    }
}

fn refused(status: &Status) -> (Code, &str) {
    (status.code(), status.metadata().get(REASON).map_or("", |r| r.to_str().unwrap()))
}

#[tokio::test]
async fn codes_and_reasons() {
    let agent = start().await;
    let mut client = CacheClient::new(agent.channel()).max_encoding_message_size(8 << 20);
    let get = proto::GetRequest { cache: "c".into(), key: "k".into() };

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
    client.get(proto::GetRequest { cache: "c".into(), key: "k".into() }).await.expect_err("nobody serves");
}
