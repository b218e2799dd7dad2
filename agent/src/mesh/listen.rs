//! Where peers come in: all addresses, IPv6 and IPv4, on the port of this slot.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;

use super::connection::Connection;
use super::places::Places;
use super::{Inner, handshake};

/// Connections open at a time, of peers and strangers together. Nine members need 3 each.
const CONNECTIONS: usize = 512;
/// Of these, from one address and without an authenticated stream.
const CONNECTIONS_EACH: usize = 32;
/// Waiting in the kernel.
const BACKLOG: i32 = 256;

/// Listens on `[::]` and 0.0.0.0; on a host without IPv6 on the latter alone.
///
/// # Errors
/// If neither is possible, or the port is taken.
pub fn bind(port: u16) -> io::Result<Vec<TcpListener>> {
    let six = one(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port));
    let four = one(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
    match (six, four) {
        (Ok(six), Ok(four)) => Ok(vec![six, four]),
        (Err(e), _) | (_, Err(e)) if e.kind() == io::ErrorKind::AddrInUse => Err(e),
        (Ok(only), Err(_)) | (Err(_), Ok(only)) => Ok(vec![only]),
        (Err(_), Err(e)) => Err(e),
    }
}

fn one(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // Each family has a socket of its own, whatever the host's default is.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Accepts connections until the mesh stops; those with their TLS handshake behind them come out of the channel.
pub(super) fn accept(
    mesh: &Arc<Inner>,
    listeners: Vec<TcpListener>,
) -> mpsc::Receiver<io::Result<Connection>> {
    let (tx, rx) = mpsc::channel(16);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let each = Places::new(CONNECTIONS_EACH);
    for listener in listeners {
        let (mesh, tx, places, each) = (mesh.clone(), tx.clone(), places.clone(), each.clone());
        let listening = mesh.listening.clone();
        listening.spawn(async move {
            let stop = mesh.stop.clone();
            stop.run_until_cancelled(run(mesh, listener, tx, places, each)).await;
        });
    }
    rx
}

async fn run(
    mesh: Arc<Inner>,
    listener: TcpListener,
    tx: mpsc::Sender<io::Result<Connection>>,
    places: Arc<Semaphore>,
    each: Arc<Places>,
) {
    while let Ok(permit) = places.clone().acquire_owned().await {
        let (tcp, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or a connection that was gone already: do not spin.
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(place) = each.take(remote.ip()) else {
            let why = "too many connections of this address without a handshake";
            mesh.refuse(&remote.ip().to_string(), "", "TOO_MANY", why);
            continue;
        };
        let (mesh, tx) = (mesh.clone(), tx.clone());
        tokio::spawn(async move {
            match tokio::time::timeout(handshake::TIMEOUT, secure(&mesh, tcp, remote)).await {
                Ok(Ok(connection)) => {
                    let _ = tx.send(Ok(connection.accepted(permit, place))).await;
                }
                // Somebody looked whether the port is open, or was gone before it was his turn.
                Ok(Err(error))
                    if matches!(
                        error.kind(),
                        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset
                    ) =>
                {
                    tracing::debug!(from = %remote, %error, "a connection ended before TLS");
                }
                Ok(Err(error)) => mesh.refuse(&remote.ip().to_string(), "", "TLS", &error.to_string()),
                Err(_) => mesh.refuse(&remote.ip().to_string(), "", "TIMEOUT", "no TLS handshake within 5 s"),
            }
        });
    }
}

async fn secure(mesh: &Inner, tcp: TcpStream, remote: SocketAddr) -> io::Result<Connection> {
    tcp.set_nodelay(true)?;
    match &mesh.tls {
        None => Ok(Connection::plain(tcp, remote)),
        Some(tls) => {
            let stream = TlsAcceptor::from(tls.server()).accept(tcp).await?;
            Connection::tls(stream.into(), remote)
        }
    }
}
