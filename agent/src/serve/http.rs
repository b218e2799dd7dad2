//! The port of probes and metrics. Anybody who reaches it may ask, so nobody may hold it: connections have a cap, each
//! origin has its share of it, and a connection does not last. What peers and the application need of the process (its
//! file descriptors above all) is not for strangers to use up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::mesh::room::{Place, Room};

/// Connections at a time. Whoever asks is answered within milliseconds.
const MOST: usize = 128;
/// Of these, from one address.
const EACH: usize = 32;
/// How long a connection lasts.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// A request comes within this time, or the connection is closed; also the next one on a connection that stays open.
    head: Duration,
    /// A connection is closed in order after this long: who reads its answer slowly ends as well.
    life: Duration,
    /// In order means within this time.
    order: Duration,
}
const TIMES: Times =
    Times { head: Duration::from_secs(10), life: Duration::from_secs(60), order: Duration::from_secs(5) };
/// Of the head of a request.
const HEAD_BYTES: usize = 16 << 10;
/// Header lines of a request.
const HEADERS: usize = 64;

/// Serves `router` on all of these until `stop`; then requests under way are answered.
pub(super) async fn serve(listeners: Vec<TcpListener>, router: Router, stop: CancellationToken) {
    serve_for(listeners, router, stop, TIMES).await;
}

async fn serve_for(listeners: Vec<TcpListener>, router: Router, stop: CancellationToken, times: Times) {
    let (room, connections) = (Room::new(MOST, EACH), TaskTracker::new());
    for listener in listeners {
        let (router, room, stop, each) = (router.clone(), room.clone(), stop.clone(), connections.clone());
        connections.spawn(async move {
            stop.clone().run_until_cancelled(accept(&listener, &router, &room, &stop, &each, times)).await;
        });
    }
    connections.close();
    connections.wait().await;
}

async fn accept(
    listener: &TcpListener,
    router: &Router,
    room: &Arc<Room>,
    stop: &CancellationToken,
    connections: &TaskTracker,
    times: Times,
) {
    loop {
        match listener.accept().await {
            Ok((tcp, remote)) => {
                let (place, _) = room.enter(remote.ip(), false);
                connections.spawn(answer(tcp, remote, router.clone(), place, stop.clone(), times));
            }
            Err(error) => {
                // Out of file descriptors, or a connection that was gone already: do not spin.
                tracing::debug!(%error, "a connection could not be accepted");
                sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

/// One connection, until it ends or its place is needed.
async fn answer(
    tcp: TcpStream,
    remote: SocketAddr,
    router: Router,
    place: Place,
    stop: CancellationToken,
    times: Times,
) {
    let _ = tcp.set_nodelay(true);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(times.head)
        .max_buf_size(HEAD_BYTES)
        .max_headers(HEADERS)
        .serve_connection(TokioIo::new(tcp), TowerToHyperService::new(router));
    tokio::pin!(connection);
    let ended = tokio::select! {
        result = &mut connection => Some(result),
        () = place.away().cancelled() => {
            tracing::debug!(from = %remote, "too many HTTP connections: this one makes room");
            return;
        }
        () = sleep(times.life) => None,
        () = stop.cancelled() => None,
    };
    let result = match ended {
        Some(result) => result,
        None => {
            connection.as_mut().graceful_shutdown();
            timeout(times.order, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        tracing::debug!(from = %remote, %error, "an HTTP connection ended badly");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// More than the kernel keeps for a reader that does not read.
    const LARGE: usize = 64 << 20;
    const PATIENCE: Duration = Duration::from_secs(30);
    const SHORT: Duration = Duration::from_millis(150);
    const LONG: Duration = Duration::from_secs(3600);

    async fn served(times: Times) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/", get(async || "hello"))
            .route("/large", get(async || vec![b'x'; LARGE]))
            .route("/never", get(async || std::future::pending::<()>().await));
        let stop = CancellationToken::new();
        let server = tokio::spawn(serve_for(vec![listener], router, stop.clone(), times));
        (address, stop, server)
    }

    async fn asks(address: SocketAddr, path: &str) -> TcpStream {
        let mut tcp = TcpStream::connect(address).await.unwrap();
        tcp.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        tcp
    }

    /// What there is until the other side closes, which it must.
    async fn rest(mut tcp: TcpStream) -> usize {
        let (mut all, mut buffer) = (0, vec![0; 1 << 16]);
        let read = async {
            while let Ok(n @ 1..) = tcp.read(&mut buffer).await {
                all += n;
            }
        };
        timeout(PATIENCE, read).await.expect("the connection is closed");
        all
    }

    #[tokio::test]
    async fn who_asks_nothing_is_closed_and_so_is_who_asked_once() {
        let (address, ..) = served(Times { head: SHORT, life: LONG, order: LONG }).await;
        let mut half = TcpStream::connect(address).await.unwrap();
        half.write_all(b"GET / HT").await.unwrap();
        assert_eq!(rest(half).await, 0);
        assert!(rest(asks(address, "/").await).await > 0);
    }

    #[tokio::test]
    async fn who_does_not_read_its_answer_is_closed() {
        let (address, ..) = served(Times { head: LONG, life: SHORT, order: SHORT }).await;
        let mut slow = asks(address, "/large").await;
        // The answer is on its way, and the server is done with it before it is read.
        slow.read_exact(&mut [0; 100]).await.unwrap();
        // In steps: where the machine stands still, only one of them passes without the server.
        for _ in 0..6 {
            sleep(SHORT).await;
        }
        let got = rest(slow).await;
        assert!(got < LARGE, "{got} bytes");
        // So is who waits for an answer that never comes.
        assert_eq!(rest(asks(address, "/never").await).await, 0);
    }

    #[tokio::test]
    async fn the_oldest_makes_room_and_a_stop_ends_all() {
        let (address, stop, server) = served(Times { head: LONG, life: LONG, order: SHORT }).await;
        let mut all = Vec::new();
        // This host has more than another address has, see `Room`; in any case less than this.
        for _ in 0..MOST {
            all.push(TcpStream::connect(address).await.unwrap());
        }
        assert_eq!(rest(all.remove(0)).await, 0);
        // There is always room for one more.
        let mut last = asks(address, "/").await;
        last.read_exact(&mut [0; 15]).await.unwrap();
        stop.cancel();
        timeout(PATIENCE, server).await.expect("it ends").unwrap();
    }
}
