//! How much a stranger may send: until a stream is authenticated its body is cut off after a few kilobytes, before
//! anything is decoded or collected.

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
}

impl<B> Limited<B> {
    /// Limits a body to so many bytes until the gate is open.
    pub fn new(body: B, gate: Gate, left: usize) -> Self {
        Self { body, gate, left }
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
            match self.left.checked_sub(data.remaining()) {
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
