//! Where peers come in: all addresses, IPv6 and IPv4, on the port of this slot.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use super::connection::Connection;
use super::room::{Place, Room};
use super::{Inner, handshake};

/// Connections without an authenticated stream at a time, beside those from the addresses of peers.
const STRANGERS: usize = 256;
/// Of these, from one address. A peer opens three.
const STRANGERS_EACH: usize = 32;
/// Waiting in the kernel.
const BACKLOG: i32 = 256;
/// Turned away in one go. Then the thread rests, so that who has work to do finds a processor: the scheduler would take it from
/// this thread only after a millisecond or more, whatever its priority.
const IN_ONE_GO: usize = 4;
/// How long it rests. Who comes meanwhile waits in the kernel.
const REST: Duration = Duration::from_millis(1);

/// Listens on `[::]` and 0.0.0.0; on a host without IPv6 on the latter alone.
///
/// # Errors
/// If neither is possible, or the port is taken.
pub fn bind(port: u16) -> io::Result<Vec<TcpListener>> {
    let six = one(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port));
    let four = one(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
    both(six, four)
}

/// What there is of both; a port that is taken in one family is taken.
fn both<T>(six: io::Result<T>, four: io::Result<T>) -> io::Result<Vec<T>> {
    match (six, four) {
        (Ok(six), Ok(four)) => Ok(vec![six, four]),
        (Err(e), _) | (_, Err(e)) if e.kind() == io::ErrorKind::AddrInUse => Err(e),
        (Ok(only), Err(_)) | (Err(_), Ok(only)) => Ok(vec![only]),
        (Err(_), Err(e)) => Err(e),
    }
}

/// Listens on one address; on an IPv6 one for IPv6 alone.
pub(crate) fn one(address: SocketAddr) -> io::Result<TcpListener> {
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
    let room = Room::new(STRANGERS, STRANGERS_EACH);
    for listener in listeners {
        let (mesh, tx, room) = (mesh.clone(), tx.clone(), room.clone());
        let listening = mesh.listening.clone();
        let strangers = mesh.strangers.clone();
        let accepting = async move {
            let stop = mesh.stop.clone();
            stop.run_until_cancelled(run(mesh, listener, tx, room)).await;
        };
        listening.spawn_on(accepting, &strangers);
    }
    rx
}

async fn run(
    mesh: Arc<Inner>,
    listener: TcpListener,
    tx: mpsc::Sender<io::Result<Connection>>,
    room: Arc<Room>,
) {
    let mut turned_away = 0_usize;
    loop {
        let (tcp, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or a connection that was gone already: do not spin.
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let known = mesh.whereabouts.knows(remote.ip());
        if !mesh.pace.allows(remote.ip(), known, Instant::now()) {
            mesh.refuse(&remote.ip().to_string(), "", "TOO_MANY", "too many connections of this address");
            // No word is left for it in the kernel either.
            let _ = tcp.set_zero_linger();
            drop(tcp);
            turned_away += 1;
            if turned_away.is_multiple_of(IN_ONE_GO) {
                tokio::time::sleep(REST).await;
            }
            continue;
        }
        let tcp = match moved(&mesh, tcp) {
            Ok(tcp) => tcp,
            Err(error) => {
                tracing::debug!(%error, "a connection was lost when it came");
                continue;
            }
        };
        let (place, _) = room.enter(remote.ip(), known);
        mesh.strangers.spawn(welcome(mesh.clone(), tcp, remote, tx.clone(), place));
    }
}

/// From where it was accepted to where its streams will be: what they bring wakes nobody else on its way.
fn moved(mesh: &Inner, tcp: TcpStream) -> io::Result<TcpStream> {
    let tcp = tcp.into_std()?;
    let _own = mesh.own.enter();
    TcpStream::from_std(tcp)
}

/// One connection until its TLS handshake is over.
async fn welcome(
    mesh: Arc<Inner>,
    tcp: TcpStream,
    remote: SocketAddr,
    tx: mpsc::Sender<io::Result<Connection>>,
    place: Place,
) {
    let from = remote.ip().to_string();
    let away = place.away().clone();
    let secured = tokio::select! {
        secured = tokio::time::timeout(handshake::TIMEOUT, secure(&mesh, tcp, remote)) => secured,
        () = away.cancelled() => {
            mesh.refuse(&from, "", "TOO_MANY", "too many connections without an authenticated stream");
            return;
        }
        () = mesh.stop.cancelled() => return,
    };
    match secured {
        Ok(Ok(connection)) => {
            let reporter = mesh.clone();
            let report = Box::new(move |reason, why| reporter.refuse(&from, "", reason, why));
            let _ = tx.send(Ok(connection.accepted(place, report))).await;
        }
        // Somebody looked whether the port is open, or was gone before it was his turn.
        Ok(Err(error))
            if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) =>
        {
            tracing::debug!(from = %remote, %error, "a connection ended before TLS");
        }
        Ok(Err(error)) => mesh.refuse(&from, "", "TLS", &error.to_string()),
        Err(_) => mesh.refuse(&from, "", "TIMEOUT", "no TLS handshake within 5 s"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_family_is_enough_but_a_taken_port_is_taken() {
        let no = |kind: io::ErrorKind| -> io::Result<u8> { Err(kind.into()) };
        let (none, taken) = (io::ErrorKind::Unsupported, io::ErrorKind::AddrInUse);
        assert_eq!(both(Ok(6), Ok(4)).unwrap(), [6, 4]);
        assert_eq!(both(no(none), Ok(4)).unwrap(), [4]);
        assert_eq!(both(Ok(6), no(none)).unwrap(), [6]);
        assert_eq!(both(no(taken), Ok(4)).unwrap_err().kind(), taken);
        assert_eq!(both(Ok(6), no(taken)).unwrap_err().kind(), taken);
        assert_eq!(both(no(none), no(taken)).unwrap_err().kind(), taken);
        assert!(both(no(none), no(none)).is_err());
    }
}
