//! What waits for one stream: bounded in frames and in bytes, so that a slow peer costs little memory.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use rauthy_proto::mesh::Frame;
use tokio::sync::mpsc;
use tokio_stream::Stream;

/// Frames that wait for one stream.
const FRAMES: usize = 256;
/// Bytes that wait for one stream, beyond those of the first frame.
const BYTES: usize = 16 << 20;

/// Why a frame was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// Too much waits already.
    Full,
    /// The stream has ended.
    Ended,
}

/// The end that frames are put into.
#[derive(Clone, Debug)]
pub struct Sender {
    tx: mpsc::Sender<(Frame, usize)>,
    bytes: Arc<AtomicUsize>,
}

/// The end that a stream takes them from.
#[derive(Debug)]
pub struct Receiver {
    rx: mpsc::Receiver<(Frame, usize)>,
    bytes: Arc<AtomicUsize>,
}

/// A queue for one stream.
#[must_use]
pub fn queue() -> (Sender, Receiver) {
    let (tx, rx) = mpsc::channel(FRAMES);
    let bytes = Arc::<AtomicUsize>::default();
    (Sender { tx, bytes: bytes.clone() }, Receiver { rx, bytes })
}

impl Sender {
    /// Puts a frame of about `size` bytes into the queue; never waits.
    ///
    /// # Errors
    /// If too much waits already, or the stream has ended.
    pub fn put(&self, frame: Frame, size: usize) -> Result<(), Dropped> {
        let before = self.bytes.fetch_add(size, Ordering::Relaxed);
        let result = if before > 0 && before + size > BYTES {
            Err(Dropped::Full)
        } else {
            self.tx.try_send((frame, size)).map_err(|e| match e {
                mpsc::error::TrySendError::Full(_) => Dropped::Full,
                mpsc::error::TrySendError::Closed(_) => Dropped::Ended,
            })
        };
        if result.is_err() {
            self.bytes.fetch_sub(size, Ordering::Relaxed);
        }
        result
    }

    /// Waits for room, for the few small frames of a handshake or the operator.
    ///
    /// # Errors
    /// If the stream has ended.
    pub async fn send(&self, frame: Frame) -> Result<(), Dropped> {
        self.tx.send((frame, 0)).await.map_err(|_| Dropped::Ended)
    }
}

impl Stream for Receiver {
    type Item = Frame;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Frame>> {
        self.rx.poll_recv(context).map(|next| {
            next.map(|(frame, size)| {
                self.bytes.fetch_sub(size, Ordering::Relaxed);
                frame
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt;

    use super::*;

    #[tokio::test]
    async fn bytes_and_frames_are_bounded() {
        let (tx, mut rx) = queue();
        tx.put(Frame::default(), BYTES * 2).unwrap();
        assert_eq!(
            tx.put(Frame::default(), 1),
            Err(Dropped::Full),
            "one that is too large still gets through"
        );
        assert!(rx.next().await.is_some());
        for _ in 0..FRAMES {
            tx.put(Frame::default(), 1).unwrap();
        }
        assert_eq!(tx.put(Frame::default(), 1), Err(Dropped::Full));
        drop(rx);
        assert_eq!(tx.put(Frame::default(), 1), Err(Dropped::Ended));
    }
}
