//! The dialling side: one task for each peer and purpose, which dials when there is no link.
//!
//! The control stream comes first. Who dialled it opens the other two at once, to the same address; the other side
//! does so only when they stay away.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rauthy_core::Slot;
use rauthy_proto::mesh::Purpose;
use rauthy_proto::mesh::mesh_client::MeshClient;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;
use tower::ServiceExt;

use super::connection::Connection;
use super::handshake::{self, HandshakeError};
use super::limit::{CALLEE, Gate, Limited};
use super::queue::queue;
use super::{Inner, KEEPALIVE, LARGEST, WINDOW, pump};
use crate::config::hosts;

/// One lookup before a record exists hides the name for the time of a negative cache: so not at once.
const FIRST: Duration = Duration::from_secs(1);
/// A name server answers within this time, or it is asked again later.
const LOOKUP: Duration = Duration::from_secs(5);
/// More addresses of one name are not tried.
const ADDRESSES: usize = 8;
/// One address answers within this time, or the next is tried.
const CONNECT: Duration = Duration::from_secs(2);
/// How long a refused stream stays open, so that the refusal arrives.
const LAST_WORD: Duration = Duration::from_secs(1);
/// How long the other side may take to open the streams that belong to its control stream.
const ITS_TURN: Duration = Duration::from_millis(1500);

/// Why there is no stream to a peer; for people.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("the name {0} is not found ({1})")]
    Lookup(String, io::Error),
    #[error("no connection to {0} ({1})")]
    Connect(SocketAddr, io::Error),
    #[error("no connection to {0} within {CONNECT:?}")]
    Slow(SocketAddr),
    #[error("TLS with {0} failed: {1}")]
    Tls(SocketAddr, String),
    #[error("{0} does not speak HTTP/2, or ended the connection: {1}")]
    Http(SocketAddr, String),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
}

impl DialError {
    /// HTTP/2 failed, which with TLS may be the first that is heard of a refused certificate: a server of TLS 1.3 looks
    /// at it when its client is through.
    fn http(remote: SocketAddr, why: String) -> Self {
        if why.contains("fatal alert") { Self::Tls(remote, why) } else { Self::Http(remote, why) }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Lookup(..) => "LOOKUP",
            Self::Connect(..) | Self::Slow(_) => "CONNECT",
            Self::Tls(..) => "TLS",
            Self::Http(..) => "HTTP",
            Self::Handshake(error) => error.reason(),
        }
    }
}

/// Dials this peer for this purpose whenever there is no link, until it is a peer no more or the mesh stops.
pub(super) async fn keep(mesh: Arc<Inner>, peer: Slot, purpose: Purpose, stop: CancellationToken) {
    stop.run_until_cancelled(async move {
        let (lower, upper) = mesh.reconnect;
        // The smaller slot goes first, so that both seldom dial at the same moment.
        let politeness = if mesh.me.slot < peer { Duration::ZERO } else { lower * 2 };
        let mut pause = lower;
        let mut avoid = None;
        sleep(FIRST + politeness).await;
        loop {
            let address = turn(&mesh, &peer, purpose).await;
            let started = Instant::now();
            match once(&mesh, &peer, purpose, address, &mut avoid).await {
                // A stream that stood: what ended it may be over.
                Ok(()) if started.elapsed() > upper => pause = lower,
                Ok(()) => {}
                Err(error) => {
                    mesh.dial_failed(&peer, purpose, &error);
                    pause = (pause * 2).min(upper);
                }
            }
            sleep(jitter(pause) + politeness).await;
        }
    })
    .await;
}

/// Waits until it is this side's turn to dial; says to which address if that is known.
async fn turn(mesh: &Inner, peer: &Slot, purpose: Purpose) -> Option<SocketAddr> {
    let mut changes = mesh.links.watch();
    loop {
        changes.mark_unchanged();
        if mesh.links.with(peer, purpose, |_| ()).is_none() {
            if purpose == Purpose::Control {
                return None;
            }
            match mesh.links.with(peer, Purpose::Control, |link| (link.mine, link.remote)) {
                Some((true, remote)) => return remote,
                Some((false, _)) => {
                    let waited = timeout(ITS_TURN, changes.changed()).await;
                    if waited.is_err() {
                        return None;
                    }
                    continue;
                }
                None => {}
            }
        }
        if changes.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// One attempt; returns when the stream that it led to has ended. `avoid`: where somebody else answered the last time.
async fn once(
    mesh: &Arc<Inner>,
    peer: &Slot,
    purpose: Purpose,
    address: Option<SocketAddr>,
    avoid: &mut Option<IpAddr>,
) -> Result<(), DialError> {
    let connection = connect(mesh, peer, address, avoid.take()).await?;
    let origin = connection.origin();
    // Until the handshake is over: addresses are reused, and another name server's word may be newer.
    *avoid = Some(origin.remote.ip());
    let http = |e: &dyn std::error::Error| DialError::http(origin.remote, chain(e));
    let endpoint = Endpoint::from_shared(format!("http://{peer}"))
        .map_err(|e| http(&e))?
        .http2_keep_alive_interval(KEEPALIVE.0)
        .keep_alive_timeout(KEEPALIVE.1)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW * 2);
    // Used once: a connection that is lost is dialled anew from here, with a new lookup and a new handshake.
    let mut connection = Some(connection);
    let connector = tower::service_fn(move |_: http::Uri| {
        let connection = connection.take().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected));
        std::future::ready(connection.map(TokioIo::new))
    });
    let channel = timeout(handshake::TIMEOUT, endpoint.connect_with_connector(connector))
        .await
        .map_err(|e| http(&e))?
        .map_err(|e| http(&e))?;
    let gate = Gate::default();
    let limited = gate.clone();
    let channel = channel.map_response(move |response: http::Response<tonic::body::Body>| {
        response.map(|body| Limited::new(body, limited.clone(), CALLEE))
    });
    let (tx, out) = queue();
    let mut client = MeshClient::new(channel).max_decoding_message_size(LARGEST);
    let mut rx = timeout(handshake::TIMEOUT, client.open(out))
        .await
        .map_err(|e| http(&e))?
        .map_err(|status| DialError::http(origin.remote, pump::cause(&status)))?
        .into_inner();
    let proven = handshake::call(&mesh.me, purpose, peer, &origin.exporter, &tx, &mut rx, |p| mesh.accept(p));
    let proven = match proven.await {
        Ok(proven) => proven,
        Err(error) => {
            // What was said last must reach the other side, which reports it too; it ends the stream then.
            drop(tx);
            let _ = timeout(LAST_WORD, async { while let Ok(Some(_)) = rx.message().await {} }).await;
            return Err(error.into());
        }
    };
    *avoid = None;
    gate.open();
    origin.dialled_well();
    mesh.whereabouts.learn(peer, origin.remote.ip());
    pump::run(mesh, proven, tx, rx, true, Some(origin.remote)).await;
    Ok(())
}

/// A connection to the peer: to the address given, else to the first of its addresses that answers, `avoid` last.
async fn connect(
    mesh: &Inner,
    peer: &Slot,
    address: Option<SocketAddr>,
    avoid: Option<IpAddr>,
) -> Result<Connection, DialError> {
    let host = hosts::host(peer);
    let mut last = DialError::Lookup(host.to_owned(), io::ErrorKind::NotFound.into());
    let mut addresses: Vec<SocketAddr> = address.into_iter().collect();
    if address.is_none() {
        match timeout(LOOKUP, (mesh.lookup)(host.to_owned(), hosts::port(peer))).await {
            Ok(Ok(found)) => addresses.extend(found.into_iter().take(ADDRESSES)),
            Ok(Err(error)) => last = DialError::Lookup(host.to_owned(), error),
            Err(_) => last = DialError::Lookup(host.to_owned(), io::ErrorKind::TimedOut.into()),
        }
        // DNS may be late; another peer may know.
        let hint = mesh.hints.get(peer).map(|ip| SocketAddr::new(ip, hosts::port(peer)));
        addresses.extend(hint.filter(|hint| !addresses.contains(hint)));
        addresses.sort_by_key(|address| avoid == Some(address.ip()));
    }
    for address in addresses {
        match to_address(mesh, host, address).await {
            Ok(connection) => return Ok(connection),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn to_address(mesh: &Inner, host: &str, address: SocketAddr) -> Result<Connection, DialError> {
    let failed = |e| DialError::Connect(address, e);
    let tcp = timeout(CONNECT, TcpStream::connect(address)).await.map_err(|_| DialError::Slow(address))?;
    let tcp = tcp.map_err(failed)?;
    tcp.set_nodelay(true).map_err(failed)?;
    secure(mesh, host, tcp, address).await
}

async fn secure(
    mesh: &Inner,
    host: &str,
    tcp: TcpStream,
    remote: SocketAddr,
) -> Result<Connection, DialError> {
    let Some(tls) = &mesh.tls else { return Ok(Connection::plain(tcp, remote)) };
    let failed = |e: String| DialError::Tls(remote, e);
    let name = tls.server_name(host).map_err(|e| failed(e.to_string()))?;
    let stream = timeout(handshake::TIMEOUT, TlsConnector::from(tls.client()).connect(name, tcp))
        .await
        .map_err(|_| failed("no answer within 5 s".into()))?
        .map_err(|e| failed(e.to_string()))?;
    Connection::tls(stream.into(), remote).map_err(|e| failed(e.to_string()))
}

impl Inner {
    fn dial_failed(&self, peer: &Slot, purpose: Purpose, error: &DialError) {
        match error {
            DialError::Handshake(error) => self.metrics.refused(error.reason()),
            other => self.metrics.dial_failed(other.reason()),
        }
        let why = error.to_string();
        // The other purposes follow the control stream; their failures alone are no state of the link.
        if purpose != Purpose::Control {
            tracing::debug!(%peer, ?purpose, why, "no stream");
        } else if self.board.failed(peer, error.reason(), &why) {
            tracing::warn!(%peer, why, "not connected");
        }
    }
}

/// An error with all its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

/// Between half of it and all of it, so that peers that lost each other do not meet again and again.
fn jitter(pause: Duration) -> Duration {
    let mut random = [0; 2];
    // Without randomness the pause is just longer.
    let part = getrandom::fill(&mut random).map_or(u16::MAX, |()| u16::from_le_bytes(random));
    pause / 2 + pause.mul_f64(f64::from(part) / f64::from(u16::MAX) / 2.0)
}
