//! A connection that listens a little longer than it speaks.
//!
//! Whoever closes a socket to which the other side is just writing breaks it, and the other side may never read what it
//! was told last: here, that calls without an answer were not begun ([`Reason::Stopping`](super::reason::Reason)). So the
//! end is said first, and what comes then is read and thrown away until the other side has ended as well, or for
//! [`LAST`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tonic::transport::server::Connected;

/// A client that has been told the end closes its side at once; one that does not is not waited for.
const LAST: Duration = Duration::from_millis(500);

/// The connection.
pub(super) struct Lingering<T> {
    io: T,
    /// This side has ended; how long it still listens.
    ended: Option<Pin<Box<Sleep>>>,
}

impl<T> Lingering<T> {
    pub(super) fn new(io: T) -> Self {
        Self { io, ended: None }
    }
}

impl<T: Connected> Connected for Lingering<T> {
    type ConnectInfo = T::ConnectInfo;

    fn connect_info(&self) -> Self::ConnectInfo {
        self.io.connect_info()
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Lingering<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { io, ended } = &mut *self;
        let last = match ended {
            Some(last) => last,
            None => {
                ready!(Pin::new(&mut *io).poll_shutdown(context))?;
                ended.insert(Box::pin(sleep(LAST)))
            }
        };
        let mut nowhere = [0; 4096];
        while last.as_mut().poll(context).is_pending() {
            let mut buffer = ReadBuf::new(&mut nowhere);
            match ready!(Pin::new(&mut *io).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                // It has ended as well, or is gone: there is nobody left to wait for.
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;
    use tokio::time::{Instant, timeout};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Somebody who writes until he is told the end, and reads only then.
    #[tokio::test]
    async fn the_last_words_reach_a_client_that_is_writing() {
        let (server, mut client) = UnixStream::pair().unwrap();
        let mut server = Lingering::new(server);
        client.write_all(&[7; 10_000]).await.unwrap();
        server.write_all(b"the end").await.unwrap();
        let closing = tokio::spawn(async move {
            let began = Instant::now();
            server.shutdown().await.unwrap();
            drop(server);
            began.elapsed()
        });
        // It does not break under what is still written.
        for _ in 0..10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
            client.write_all(&[7; 10_000]).await.unwrap();
        }
        let mut told = Vec::new();
        timeout(PATIENCE, client.read_to_end(&mut told)).await.unwrap().unwrap();
        assert_eq!(told, b"the end");
        drop(client);
        timeout(PATIENCE, closing).await.unwrap().unwrap();
    }

    /// Whoever goes on and on is not waited for.
    #[tokio::test]
    async fn nobody_is_listened_to_for_long() {
        let (server, client) = UnixStream::pair().unwrap();
        let began = Instant::now();
        timeout(PATIENCE, Lingering::new(server).shutdown()).await.unwrap().unwrap();
        assert!(began.elapsed() >= LAST, "{:?}", began.elapsed());
        drop(client);
    }
}
