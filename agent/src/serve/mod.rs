//! What an application and the cluster ask of an agent.
//!
//! ```text
//! application ── Unix socket or loopback ─▶ cache (gRPC) ─┐
//! kubelet, Prometheus ── AGENT_HTTP ───────▶ http ────────┴─▶ runtime::Handle
//! ```
//!
//! * [`cache`]: rauthy.cache.v1.Cache, and the standard health service · [`http`]: probes and metrics
//! * `requests`: what applications may ask · `reason`: why it is refused
//! * [`operations`]: what was asked, how it ended, how long it took

mod deadline;
mod health;
mod listen;
pub mod operations;
mod probes;
mod reason;
mod requests;
mod service;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rauthy_client::limits;
use rauthy_proto::cache::cache_server::CacheServer;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic_health::pb::health_server::HealthServer;

use crate::config::Listen;
use crate::runtime::Handle;
use listen::UnixSocket;

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

/// Serves the cache until `shutdown`; then no new calls are taken, and those under way get 3 s.
///
/// # Errors
/// If the address cannot be listened on, or the server ends by itself.
pub async fn cache(
    listen: Listen,
    handle: Handle,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), ServeError> {
    let operations = handle.metrics().operations.clone();
    let router = Server::builder()
        // A window as large as the largest message: no value waits for a second round trip.
        .initial_stream_window_size(u32::try_from(limits::MESSAGE).ok())
        .initial_connection_window_size(u32::try_from(4 * limits::MESSAGE).ok())
        .add_service(
            CacheServer::new(service::Service::new(handle.clone(), operations.clone()))
                .max_decoding_message_size(limits::MESSAGE)
                .max_encoding_message_size(limits::MESSAGE),
        )
        .add_service(HealthServer::new(health::Health::new(handle)));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async {
        let _ = stopped.await;
    };
    let (address, result) = match listen {
        Listen::Unix(path) => {
            let socket = UnixSocket::bind(&path).await?;
            let address = format!("unix://{}", path.display());
            tracing::info!(%address, "the cache is served");
            operations.listening(true);
            let (incoming, _file) = socket.into_incoming();
            let server = router.serve_with_incoming_shutdown(incoming, stopped);
            (address, drained(server, stop, shutdown).await)
        }
        Listen::Tcp(wanted) => {
            let address = format!("tcp://{wanted}");
            let listener = listen::loopback(wanted).await?;
            tracing::info!(%address, "the cache is served");
            operations.listening(true);
            let server = router.serve_with_incoming_shutdown(TcpListenerStream::new(listener), stopped);
            (address, drained(server, stop, shutdown).await)
        }
    };
    operations.listening(false);
    result.map_err(|why| ServeError::Ended { address, why })
}

/// Runs a server until `shutdown`, and after it for [`DRAIN`] at most.
async fn drained<E: std::error::Error>(
    server: impl Future<Output = Result<(), E>>,
    stop: tokio::sync::oneshot::Sender<()>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), String> {
    tokio::pin!(server);
    tokio::select! {
        result = &mut server => return result.map_err(|e| e.to_string()),
        () = shutdown => {}
    }
    let _ = stop.send(());
    match tokio::time::timeout(DRAIN, server).await {
        Ok(result) => result.map_err(|e| e.to_string()),
        // Whoever still holds a connection open loses it.
        Err(_) => Ok(()),
    }
}

/// Serves `/livez`, `/readyz`, `/startupz` and `/metrics` until `shutdown`.
///
/// # Errors
/// If the address cannot be listened on, or the server ends by itself.
pub async fn http(
    address: SocketAddr,
    handle: Handle,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let listener = listen::any(address).await?;
    tracing::info!(%address, "health and metrics are served");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let stopped = async {
        let _ = stopped.await;
    };
    let server = axum::serve(listener, probes::router(handle)).with_graceful_shutdown(stopped);
    drained::<io::Error>(server.into_future(), stop, shutdown)
        .await
        .map_err(|why| ServeError::Ended { address: format!("http://{address}"), why })
}
