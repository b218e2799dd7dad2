//! A replica that lost the Lease writes nothing any more, also when it did not notice: one that hung for a minute goes on
//! where it was, before it looks at the Lease again. So each write asks the clock first, which went on meanwhile.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::future::{Either, Ready, ready};
use http::{Method, Request};
use tower::{BoxError, Layer, Service};

/// Until when this replica may write.
#[derive(Debug, Default)]
pub struct Tenure(Mutex<Option<Instant>>);

impl Tenure {
    /// The Lease was renewed by a request that was sent at `asked`; it is good for `time` from then.
    pub fn renewed(&self, asked: Instant, time: Duration) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(asked + time);
    }

    /// The Lease was given back.
    pub fn ended(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether this replica may write at this moment.
    #[must_use]
    pub fn holds(&self, now: Instant) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some_and(|until| now < until)
    }
}

/// Why a write was not sent.
#[derive(Debug, thiserror::Error)]
#[error("this replica does not hold the Lease any more, so it writes nothing")]
pub struct Deposed;

/// Puts a [`Fence`] around a client.
#[derive(Clone, Debug)]
pub struct FenceLayer(pub Arc<Tenure>);

impl<S> Layer<S> for FenceLayer {
    type Service = Fence<S>;

    fn layer(&self, inner: S) -> Fence<S> {
        Fence { inner, tenure: self.0.clone() }
    }
}

/// A client that only reads once the tenure is over.
#[derive(Clone, Debug)]
pub struct Fence<S> {
    inner: S,
    tenure: Arc<Tenure>,
}

impl<S, B> Service<Request<B>> for Fence<S>
where
    S: Service<Request<B>, Error = BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Either<S::Future, Ready<Result<S::Response, BoxError>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if *request.method() == Method::GET || self.tenure.holds(Instant::now()) {
            return Either::Left(self.inner.call(request));
        }
        tracing::error!(method = %request.method(), path = request.uri().path(), "not sent: {Deposed}");
        Either::Right(ready(Err(Deposed.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn writes_end_with_the_tenure_and_reads_do_not() {
        let tenure = Arc::new(Tenure::default());
        let inner = tower::service_fn(|_: Request<()>| async { Ok::<_, BoxError>(()) });
        let mut fenced = FenceLayer(tenure.clone()).layer(inner);
        let mut sends = async |method: Method| {
            let request = Request::builder().method(method).uri("/x").body(()).unwrap();
            fenced.call(request).await.is_ok()
        };
        assert!(sends(Method::GET).await && !sends(Method::PATCH).await, "it never held the Lease");
        tenure.renewed(Instant::now(), Duration::from_secs(60));
        assert!(sends(Method::PATCH).await && sends(Method::DELETE).await);
        // Frozen for a minute.
        tenure.renewed(Instant::now() - Duration::from_secs(60), Duration::from_secs(10));
        assert!(!sends(Method::DELETE).await && !sends(Method::POST).await && sends(Method::GET).await);
        tenure.renewed(Instant::now(), Duration::from_secs(60));
        tenure.ended();
        assert!(!sends(Method::PUT).await);
    }
}
