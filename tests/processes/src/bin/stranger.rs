//! Somebody who knows no token and opens bad connections and streams: `stranger KIND TARGET COUNT SECONDS SOURCES [CA]`.
//!
//! KIND is `mesh`, for the port of the members: most say something bad and go, as fast as they can; every eighth stays
//! until it is thrown out. Or `http`, for that of the probes: each begins a request, says a byte now and then, and stays.
//!
//! They come from the addresses `SOURCES` (a network and the first and last of its hosts, `10.77.0.:100-199`), in turn.
//! They end after `COUNT` connections, or when the time is over, and say in one line what they did.

// A harness that fails is a test that fails, and has nobody to return an error to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../../agent/tests/mesh/http2.rs"]
mod http2;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http2::*;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, interval, sleep_until, timeout};
use tokio_rustls::TlsConnector;

/// Of the first kind, at the same time.
const HANDS: usize = 256;
/// How long one of them stays where it is not thrown out; a connection takes no longer either.
const STAYS: Duration = Duration::from_secs(1);
/// One in so many stays.
const PATIENT: usize = 8;
/// Streams of one flood.
const STREAMS: u32 = 50;

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Mesh,
    Http,
}

#[derive(Default)]
struct Done {
    connections: AtomicUsize,
    /// Of these, or before: closed before anything could be said.
    failed: AtomicUsize,
    streams: AtomicUsize,
    stayed: AtomicUsize,
    thrown_out: AtomicUsize,
}

struct Plan {
    kind: Kind,
    target: SocketAddr,
    network: String,
    hosts: (usize, usize),
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// Everything that is said, and how many streams it opens.
    speeches: Vec<(Vec<u8>, usize)>,
    done: Done,
}

fn speeches() -> Vec<(Vec<u8>, usize)> {
    let id = |n: u32| 1 + 2 * n;
    let floods: [Vec<u8>; 4] = [
        (0..STREAMS).flat_map(|n| [open(id(n)), frame(RST_STREAM, 0, id(n), &[0; 4])].concat()).collect(),
        (0..STREAMS)
            .flat_map(|n| [open(id(n)), frame(DATA, 0, id(n), &message(200, &[8; 50]))].concat())
            .collect(),
        [open(1), frame(DATA, 0, 1, &message(16 << 20, &[7; 16_000]))].concat(),
        (0..64).flat_map(|_| frame(PING, 0, 0, &[1; 8])).collect(),
    ];
    let mut all: Vec<(Vec<u8>, usize)> = half_sentences().into_iter().map(|(_, said)| (said, 1)).collect();
    all.extend(nonsense().into_iter().map(|(_, said)| (said, 1)));
    for (flood, streams) in floods.into_iter().zip([STREAMS as usize, STREAMS as usize, 1, 0]) {
        all.push(([hello(), flood].concat(), streams));
    }
    all
}

/// Waits until the other side has had enough of it, no longer than [`STAYS`].
async fn stay(io: &mut (impl AsyncRead + Unpin), done: &Done) {
    done.stayed.fetch_add(1, Ordering::Relaxed);
    let mut answers = [0; 4096];
    let listens = async { while matches!(io.read(&mut answers).await, Ok(1..)) {} };
    if timeout(STAYS, listens).await.is_ok() {
        done.thrown_out.fetch_add(1, Ordering::Relaxed);
    }
}

/// Connection number `n` to a member's port.
async fn talk(mut io: impl AsyncRead + AsyncWrite + Unpin, n: usize, plan: &Plan) {
    let (said, streams) = &plan.speeches[n % plan.speeches.len()];
    if io.write_all(said).await.is_ok() {
        plan.done.streams.fetch_add(*streams, Ordering::Relaxed);
    }
    let _ = io.flush().await;
    if (n / plan.speeches.len()).is_multiple_of(PATIENT) {
        stay(&mut io, &plan.done).await;
    }
}

/// A request that never ends, until the other side closes.
async fn dawdle(mut io: TcpStream, done: &Done) {
    done.stayed.fetch_add(1, Ordering::Relaxed);
    let mut pause = interval(Duration::from_millis(500));
    let mut said = io.write_all(b"GET /metrics HTTP/1.1\r\nHost: agent\r\nX-Slow: ").await;
    let mut answers = [0; 1024];
    while said.is_ok() {
        tokio::select! {
            _ = pause.tick() => said = io.write_all(b"a").await,
            read = io.read(&mut answers) => if !matches!(read, Ok(1..)) { break },
        }
    }
    done.thrown_out.fetch_add(1, Ordering::Relaxed);
}

async fn once(plan: &Plan, n: usize) -> std::io::Result<()> {
    let socket = if plan.target.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    let (first, last) = plan.hosts;
    let source = format!("{}{}", plan.network, first + n % (last - first + 1));
    let source: IpAddr = source.parse().map_err(std::io::Error::other)?;
    socket.bind(SocketAddr::new(source, 0))?;
    let tcp = timeout(STAYS, socket.connect(plan.target)).await?;
    // Thrown out before this side has seen that it was let in.
    let reset = tcp.as_ref().is_err_and(|e| e.kind() == ErrorKind::ConnectionReset);
    if tcp.is_ok() || reset {
        plan.done.connections.fetch_add(1, Ordering::Relaxed);
    }
    let tcp: TcpStream = tcp?;
    tcp.set_nodelay(true)?;
    match &plan.tls {
        _ if plan.kind == Kind::Http => dawdle(tcp, &plan.done).await,
        // Two of three begin TLS with the same nonsense.
        Some((tls, name)) if !n.is_multiple_of(3) => {
            let tls = timeout(STAYS, tls.connect(name.clone(), tcp)).await??;
            talk(tls, n / 3, plan).await;
        }
        _ => talk(tcp, n, plan).await,
    }
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, target, count, seconds, sources, rest @ ..] = &arguments[..] else {
        panic!("stranger KIND TARGET COUNT SECONDS SOURCES [CA]");
    };
    let kind = match kind.as_str() {
        "mesh" => Kind::Mesh,
        "http" => Kind::Http,
        other => panic!("{other}: mesh and http are allowed"),
    };
    let target: SocketAddr = target.parse().unwrap();
    let (network, hosts) = sources.rsplit_once(':').unwrap();
    let (first, last) = hosts.split_once('-').unwrap();
    let tls = rest.first().map(|ca| {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        (TlsConnector::from(Arc::new(config)), ServerName::from(target.ip()))
    });
    let plan = Arc::new(Plan {
        kind,
        target,
        network: network.to_owned(),
        hosts: (first.parse().unwrap(), last.parse().unwrap()),
        tls,
        speeches: speeches(),
        done: Done::default(),
    });
    let count: usize = count.parse().unwrap();
    let end = Instant::now() + Duration::from_secs(seconds.parse().unwrap());
    let next = Arc::new(AtomicUsize::new(0));
    let mut hands = tokio::task::JoinSet::new();
    for _ in 0..if kind == Kind::Http { count } else { HANDS } {
        let (plan, next) = (plan.clone(), next.clone());
        hands.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return;
                }
                if once(&plan, n).await.is_err() {
                    plan.done.failed.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }
    tokio::select! {
        () = async { while hands.join_next().await.is_some() {} } => {}
        () = sleep_until(end) => {}
    }
    let done = &plan.done;
    let of = |n: &AtomicUsize| n.load(Ordering::Relaxed);
    println!(
        "connections {} streams {} failed {} stayed {} thrown-out {}",
        of(&done.connections),
        of(&done.streams),
        of(&done.failed),
        of(&done.stayed),
        of(&done.thrown_out)
    );
}
