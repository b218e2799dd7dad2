//! One connection between agents, with TLS or without, accepted or dialled.
//!
//! Until a stream of it is authenticated it is worth little: it ends after a few seconds, or earlier when its place is
//! needed, and of what it brings only the first kilobytes are read. So whatever HTTP/2 has for floods (resets, pings,
//! settings, headers without end, windows full of data) is bounded below HTTP/2, for all of them at once.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::AtomicWaker;
use rauthy_proto::handshake::{EXPORTER_LABEL, EXPORTER_LEN};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use tokio_rustls::TlsStream;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::transport::server::Connected;

use super::room::Place;

/// A connection without an authenticated stream is closed after this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// What is read of it. A handshake takes less than 1 KiB; a proxy may bring those of all peers at once.
const BYTES: usize = 64 << 10;

/// What the handshake must know of the connection of a stream; found in the extensions of its request.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The other end.
    pub remote: SocketAddr,
    /// Keying material of the TLS session; empty without TLS.
    pub exporter: Arc<[u8]>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    authenticated: AtomicBool,
    /// Its place among those that are authenticated.
    permit: Mutex<Option<OwnedSemaphorePermit>>,
    reader: AtomicWaker,
}

impl Origin {
    /// A stream of this connection was authenticated: it may stay. `permit` is asked for its place among those that
    /// are; false: there is none.
    pub fn authenticated(&self, permit: impl FnOnce() -> Option<OwnedSemaphorePermit>) -> bool {
        let mut held = self.state.permit.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            *held = permit();
        }
        let has = held.is_some();
        drop(held);
        if has {
            self.dialled_well();
        }
        has
    }

    /// The same for a connection that was dialled, which needs no place.
    pub fn dialled_well(&self) {
        self.state.authenticated.store(true, Ordering::Release);
        self.state.reader.wake();
    }
}

#[derive(Debug)]
enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// A connection that can carry HTTP/2.
#[derive(Debug)]
pub struct Connection {
    io: Io,
    origin: Origin,
    /// What it has until it is authenticated.
    unproven: Option<Unproven>,
}

/// Told why a connection ends unauthenticated: a reason in one word, and one for people.
type Report = Box<dyn FnOnce(&'static str, &'static str) + Send + Sync>;

struct Unproven {
    patience: Pin<Box<Sleep>>,
    bytes: usize,
    /// Only of an accepted one.
    place: Option<(Pin<Box<WaitForCancellationFutureOwned>>, Place, Option<Report>)>,
}

impl std::fmt::Debug for Unproven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unproven").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Unproven {
    fn new() -> Self {
        Self { patience: Box::pin(tokio::time::sleep(PATIENCE)), bytes: BYTES, place: None }
    }

    /// Ready: its time is over, or somebody else needs its place.
    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let late = self.patience.as_mut().poll(context).is_ready();
        let Some((away, _, report)) = &mut self.place else {
            return if late { Poll::Ready(()) } else { Poll::Pending };
        };
        let sent_away = away.as_mut().poll(context).is_ready();
        if !late && !sent_away {
            return Poll::Pending;
        }
        if let Some(report) = report.take() {
            match late {
                true => report("TIMEOUT", "no authenticated stream within 10 s"),
                false => report("TOO_MANY", "too many connections without an authenticated stream"),
            }
        }
        Poll::Ready(())
    }
}

impl Connection {
    /// Without TLS.
    #[must_use]
    pub fn plain(tcp: TcpStream, remote: SocketAddr) -> Self {
        Self::new(Io::Plain(tcp), remote, Arc::new([]))
    }

    /// With TLS, whose handshake is over.
    ///
    /// # Errors
    /// If the session has no keying material to export.
    pub fn tls(tls: TlsStream<TcpStream>, remote: SocketAddr) -> io::Result<Self> {
        let material = [0; EXPORTER_LEN];
        let exported = match &tls {
            TlsStream::Client(c) => c.get_ref().1.export_keying_material(material, EXPORTER_LABEL, None),
            TlsStream::Server(s) => s.get_ref().1.export_keying_material(material, EXPORTER_LABEL, None),
        };
        let exporter = Arc::from(exported.map_err(io::Error::other)?);
        Ok(Self::new(Io::Tls(Box::new(tls)), remote, exporter))
    }

    fn new(io: Io, remote: SocketAddr, exporter: Arc<[u8]>) -> Self {
        let origin = Origin { remote, exporter, state: Arc::default() };
        Self { io, origin, unproven: Some(Unproven::new()) }
    }

    /// An accepted one: it holds its place, and loses it when nobody is authenticated soon.
    #[must_use]
    pub(super) fn accepted(mut self, place: Place, report: Report) -> Self {
        let away = Box::pin(place.away().clone().cancelled_owned());
        if let Some(unproven) = &mut self.unproven {
            unproven.place = Some((away, place, Some(report)));
        }
        self
    }

    /// An error when its time is over. Asked whatever is done with it: who does not read what it is sent must not stay
    /// for that.
    fn look(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        let Some(unproven) = &mut self.unproven else { return Ok(()) };
        if self.origin.state.authenticated.load(Ordering::Acquire) {
            self.unproven = None;
        } else if unproven.poll_over(context).is_ready() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        Ok(())
    }

    /// What the handshake must know of it.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.origin.clone()
    }
}

impl Connected for Connection {
    type ConnectInfo = Origin;

    fn connect_info(&self) -> Origin {
        self.origin.clone()
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.look(context)?;
        if self.unproven.as_ref().is_some_and(|unproven| unproven.bytes == 0) {
            // What more it brings waits in the kernel. It may be authenticated already, by a task that has not said so yet.
            self.origin.state.reader.register(context.waker());
            if !self.origin.state.authenticated.load(Ordering::Acquire) {
                return Poll::Pending;
            }
        }
        let before = buffer.filled().len();
        let result = match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_read(context, buffer),
            Io::Tls(io) => Pin::new(io.as_mut()).poll_read(context, buffer),
        };
        if let Some(unproven) = &mut self.unproven {
            unproven.bytes = unproven.bytes.saturating_sub(buffer.filled().len() - before);
        }
        result
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.look(context)?;
        match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_write(context, bytes),
            Io::Tls(io) => Pin::new(io.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look(context)?;
        match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_flush(context),
            Io::Tls(io) => Pin::new(io.as_mut()).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_shutdown(context),
            Io::Tls(io) => Pin::new(io.as_mut()).poll_shutdown(context),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.look(context)?;
        match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_write_vectored(context, bytes),
            Io::Tls(io) => Pin::new(io.as_mut()).poll_write_vectored(context, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(io) => io.is_write_vectored(),
            Io::Tls(io) => io.is_write_vectored(),
        }
    }
}
