//! One agent by itself on a real socket.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rauthy_agent::config::Config;
use rauthy_agent::runtime::{self, Handle, Running};
use rauthy_agent::serve::{self, ServeError};
use rauthy_client::REASON;
use rauthy_proto::cache as proto;
use rauthy_proto::cache::cache_client::CacheClient;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct Agent {
    pub path: PathBuf,
    pub handle: Handle,
    pub running: Running,
    pub stop: oneshot::Sender<()>,
    pub server: JoinHandle<Result<(), ServeError>>,
    _folder: tempfile::TempDir,
}

pub async fn start() -> Agent {
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
    pub fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("unix://{}", self.path.display())).unwrap().connect_lazy()
    }

    pub fn client(&self) -> CacheClient<Channel> {
        CacheClient::new(self.channel())
    }

    pub async fn ready(&self) {
        let ready = async {
            while !self.handle.status().await.ready {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, ready).await.expect("a single node is ready soon");
    }
}

pub fn put(key: &str, value: Vec<u8>) -> proto::PutRequest {
    proto::PutRequest {
        cache: "c".into(),
        key: key.to_owned().into(),
        value: value.into(),
        ..Default::default()
    }
}

pub fn get(key: &str) -> proto::GetRequest {
    proto::GetRequest { cache: "c".into(), key: key.to_owned().into(), ..Default::default() }
}

pub fn delete(key: &str) -> proto::DeleteRequest {
    proto::DeleteRequest { cache: "c".into(), key: key.to_owned().into(), ..Default::default() }
}

pub fn refused(status: &Status) -> (Code, &str) {
    (status.code(), status.metadata().get(REASON).map_or("", |r| r.to_str().unwrap()))
}
