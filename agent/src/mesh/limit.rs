//! How much a stranger may send: until a stream is authenticated its body is cut off after a few kilobytes, before
//! anything is decoded or collected, and a message that only says it is long makes nobody reserve memory for it.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame};
use tonic::Status;
use tonic::server::NamedService;
use tower::Service;

/// What a caller may send: two frames of a handshake, 4 KiB each.
pub const CALLER: usize = 8 << 10;
/// What a callee may send: as much, and what may follow its verdict in the same HTTP/2 frame.
pub const CALLEE: usize = CALLER + (16 << 10);

/// The longest message of a handshake.
const MESSAGE: usize = 4 << 10;
/// What stands before each message of gRPC: whether it is compressed, and its length, big endian.
const PREFIX: usize = 5;

/// Opened when the handshake has succeeded.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<AtomicBool>);

impl Gate {
    /// From now on the body may be of any length.
    pub fn open(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A body that ends with an error when a stranger sends too much.
#[derive(Debug)]
pub struct Limited<B> {
    body: B,
    gate: Gate,
    left: usize,
    messages: Messages,
}

/// Finds the beginnings of messages.
#[derive(Debug, Default)]
struct Messages {
    prefix: Vec<u8>,
    /// Bytes of the present message that are yet to come.
    rest: usize,
}

impl Messages {
    /// Whether all messages that begin in here are short and not compressed.
    fn all_short(&mut self, mut data: &[u8]) -> bool {
        while !data.is_empty() {
            let part = data.len().min(if self.rest > 0 { self.rest } else { PREFIX - self.prefix.len() });
            let (now, later) = data.split_at(part);
            data = later;
            if self.rest > 0 {
                self.rest -= part;
                continue;
            }
            self.prefix.extend_from_slice(now);
            if let [compressed, a, b, c, d] = *self.prefix {
                self.prefix.clear();
                self.rest = usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
                if compressed != 0 || self.rest > MESSAGE {
                    return false;
                }
            }
        }
        true
    }
}

impl<B> Limited<B> {
    /// Limits a body to so many bytes until the gate is open.
    pub fn new(body: B, gate: Gate, left: usize) -> Self {
        Self { body, gate, left, messages: Messages::default() }
    }
}

impl<B> Body for Limited<B>
where
    B: Body<Data = Bytes, Error = Status> + Unpin,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
            && !self.gate.0.load(Ordering::Acquire)
        {
            let left = self.left.checked_sub(data.remaining());
            match left.filter(|_| self.messages.all_short(data)) {
                Some(left) => self.left = left,
                None => {
                    return Poll::Ready(Some(Err(Status::resource_exhausted(
                        "too much before the handshake",
                    ))));
                }
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

/// Puts the limit before a service, whose handler finds the [`Gate`] in the extensions of the request.
#[derive(Clone, Debug)]
pub struct Guarded<S>(pub S);

impl<S: NamedService> NamedService for Guarded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S> Service<http::Request<tonic::body::Body>> for Guarded<S>
where
    S: Service<http::Request<tonic::body::Body>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<tonic::body::Body>) -> S::Future {
        let gate = Gate::default();
        request.extensions_mut().insert(gate.clone());
        self.0.call(request.map(|body| tonic::body::Body::new(Limited::new(body, gate, CALLER))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(length: usize) -> Vec<u8> {
        let mut bytes = vec![0];
        bytes.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
        bytes.resize(PREFIX + length, 7);
        bytes
    }

    #[test]
    fn long_messages_are_found_by_what_they_say_of_themselves() {
        let good: Vec<u8> = [message(0), message(300), message(MESSAGE), message(1)].concat();
        let long = [good.clone(), message(MESSAGE + 1)[..PREFIX].to_vec()].concat();
        let compressed = [good.clone(), vec![1, 0, 0, 0, 1]].concat();
        // Wherever HTTP/2 cuts.
        for size in [1, 2, 3, 4, 5, 6, 299, 4096, 1 << 20] {
            let fits = |bytes: &[u8]| {
                let mut messages = Messages::default();
                bytes.chunks(size).all(|chunk| messages.all_short(chunk))
            };
            assert!(fits(&good), "{size}");
            assert!(!fits(&long), "{size}");
            assert!(!fits(&compressed), "{size}");
            assert!(fits(&long[..long.len() - 1]), "{size}: not known yet");
        }
    }
}
