//! What an application and the cluster ask of an agent.
//!
//! ```text
//! application ── Unix socket or loopback ─▶ cache (gRPC) ─┐
//! kubelet, Prometheus ── AGENT_HTTP ───────▶ http ────────┴─▶ runtime::Handle
//! ```
//!
//! * [`cache`]: rauthy.cache.v1.Cache, and the standard health and reflection services · [`fn@http`]: probes and metrics, on
//!   a port that strangers may reach
//! * `service`, `calls`, `watch`, `session`: its calls one by one, its streams · `streams`: how many, and how they end
//! * `linger`: how a connection ends, so that its last words are heard
//! * `requests`: what applications may ask · `reason`: why it is refused
//! * [`page`]: the status page · [`operations`]: what was asked, how it ended, how long it took

mod calls;
pub mod deadline;
mod health;
mod http;
mod linger;
mod listen;
pub mod operations;
pub mod page;
mod probes;
pub mod reason;
mod reflection;
pub mod requests;
mod service;
mod session;
mod streams;
mod watch;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use futures::TryStreamExt;
use rauthy_client::limits;
use rauthy_proto::cache::cache_server::CacheServer;
use tokio_stream::wrappers::TcpListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic_health::pb::health_server::HealthServer;

use crate::config::Listen;
use crate::runtime::Handle;
use calls::Calls;
pub(crate) use calls::judged;
use linger::Lingering;
use listen::CacheSocket;
use streams::Streams;

/// Calls under way when the agent is told to stop may take this long to end.
const DRAIN: Duration = Duration::from_secs(3);

/// Why a server does not run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address} ({variable}): {why}")]
    Bind {
        /// The address.
        address: String,
        /// The variable that names it.
        variable: &'static str,
        /// What is wrong, and what to do.
        why: String,
    },
    /// It ended by itself.
    #[error("the server on {address} ended: {why}")]
    Ended {
        /// The address.
        address: String,
        /// Why.
        why: String,
    },
}

/// Serves the cache on all of these until `shutdown`; then no new calls are taken, and those under way get 3 s.
///
/// # Errors
/// If one of them cannot be listened on, or a server ends by itself.
pub async fn cache(
    listen: Vec<Listen>,
    handle: Handle,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let operations = handle.metrics().operations.clone();
    let stopping = CancellationToken::new();
    let calls = Calls { handle: handle.clone(), operations: operations.clone() };
    let streams = Streams::new(stopping.clone());
    let router = Server::builder()
        // A window as large as the largest message: no value waits for a second round trip.
        .initial_stream_window_size(u32::try_from(limits::MESSAGE).ok())
        .initial_connection_window_size(u32::try_from(4 * limits::MESSAGE).ok())
        .add_service(
            CacheServer::new(service::Service::new(calls, streams.clone()))
                .max_decoding_message_size(limits::MESSAGE)
                .max_encoding_message_size(limits::MESSAGE),
        )
        .add_service(HealthServer::new(health::Health::new(handle, streams)))
        .add_optional_service(reflection::new())
        .add_optional_service(reflection::old());
    let mut sockets = Vec::with_capacity(listen.len());
    for address in &listen {
        sockets.push(CacheSocket::bind(address).await?);
    }
    for socket in &sockets {
        tracing::info!(address = socket.address(), "the cache is served");
    }
    operations.listening(true);
    let servers = sockets.into_iter().map(|socket| {
        let (router, stopped, address) =
            (router.clone(), stopping.clone().cancelled_owned(), socket.address());
        async move {
            let served = match socket {
                CacheSocket::Unix(socket) => {
                    let (incoming, _file) = socket.into_incoming();
                    router.serve_with_incoming_shutdown(incoming.map_ok(Lingering::new), stopped).await
                }
                CacheSocket::Tcp(listener, _) => {
                    let incoming = TcpListenerStream::new(listener).map_ok(Lingering::new);
                    router.serve_with_incoming_shutdown(incoming, stopped).await
                }
            };
            served.map_err(|e| ServeError::Ended { address, why: e.to_string() })
        }
    });
    let result = drained(futures::future::try_join_all(servers), &stopping, shutdown).await;
    operations.listening(false);
    result
}

/// Runs servers until `shutdown`, and after it, when they were told by `stop`, for [`DRAIN`] at most.
async fn drained<T>(
    servers: impl Future<Output = Result<T, ServeError>>,
    stop: &CancellationToken,
    shutdown: impl Future<Output = ()>,
) -> Result<(), ServeError> {
    tokio::pin!(servers);
    tokio::select! {
        result = &mut servers => return result.map(|_| ()),
        () = shutdown => {}
    }
    stop.cancel();
    match tokio::time::timeout(DRAIN, servers).await {
        Ok(result) => result.map(|_| ()),
        // Whoever still holds a connection open loses it.
        Err(_) => Ok(()),
    }
}

/// Serves the status page, `/livez`, `/readyz`, `/startupz` and `/metrics` until `shutdown`.
///
/// # Errors
/// If the address cannot be listened on.
pub async fn http(
    address: SocketAddr,
    handle: Handle,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let listeners = listen::any(address)?;
    tracing::info!(%address, "health and metrics are served");
    let stop = CancellationToken::new();
    let _ends_with_this = stop.clone().drop_guard();
    let server = async {
        http::serve(listeners, probes::router(handle), stop.clone()).await;
        Ok(())
    };
    drained(server, &stop, shutdown).await
}
