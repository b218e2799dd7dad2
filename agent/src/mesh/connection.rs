//! One connection between agents, with TLS or without, accepted or dialled.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use rauthy_proto::handshake::{EXPORTER_LABEL, EXPORTER_LEN};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Sleep;
use tokio_rustls::TlsStream;
use tonic::transport::server::Connected;

use super::places::Place;

/// An accepted connection without an authenticated stream is closed after this long.
const STRANGER: Duration = Duration::from_secs(10);

/// What the handshake must know of the connection of a stream; found in the extensions of its request.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The other end.
    pub remote: SocketAddr,
    /// Keying material of the TLS session; empty without TLS.
    pub exporter: Arc<[u8]>,
    authenticated: Arc<AtomicBool>,
}

impl Origin {
    /// A stream of this connection was authenticated: it may stay.
    pub fn authenticated(&self) {
        self.authenticated.store(true, Ordering::Relaxed);
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
    /// Until it is authenticated: how long that may take, and its place among the strangers of its address.
    stranger: Option<(Pin<Box<Sleep>>, Place)>,
    /// Its place among those that may be open at a time.
    _permit: Option<OwnedSemaphorePermit>,
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
        let origin = Origin { remote, exporter, authenticated: Arc::default() };
        Self { io, origin, stranger: None, _permit: None }
    }

    /// An accepted one: it holds its place, and loses it when nobody is authenticated soon.
    #[must_use]
    pub(super) fn accepted(mut self, permit: OwnedSemaphorePermit, place: Place) -> Self {
        self.stranger = Some((Box::pin(tokio::time::sleep(STRANGER)), place));
        self._permit = Some(permit);
        self
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
        if self.origin.authenticated.load(Ordering::Relaxed) {
            self.stranger = None;
        } else if let Some((patience, _)) = &mut self.stranger
            && patience.as_mut().poll(context).is_ready()
        {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_read(context, buffer),
            Io::Tls(io) => Pin::new(io.as_mut()).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_write(context, bytes),
            Io::Tls(io) => Pin::new(io.as_mut()).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
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
