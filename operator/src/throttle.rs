//! An API server with too much to do says how long to stay away (`Retry-After` of 429 and 503). That is remembered, and
//! what failed is not tried again sooner.
//!
//! The library's own retries are switched off where this is used: they would send a write again below the fence
//! ([`crate::leader::fence`]), up to minutes later, when another replica may hold the Lease.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;
use http::header::RETRY_AFTER;
use http::{Request, Response, StatusCode};
use tower::{Layer, Service};

/// Longest wait that is believed.
const LONGEST: Duration = Duration::from_secs(120);

/// Until when the API server asked to be left alone.
#[derive(Debug, Default)]
pub struct Throttle(Mutex<Option<Instant>>);

impl Throttle {
    /// How long it still wants to be left alone.
    #[must_use]
    pub fn left(&self, now: Instant) -> Duration {
        let until = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now))
    }

    fn told<B>(&self, answer: &Response<B>, now: Instant) {
        if !matches!(answer.status(), StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            return;
        }
        let header = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let Some(seconds) = header.and_then(|text| text.trim().parse().ok()) else { return };
        let until = now + Duration::from_secs(seconds).min(LONGEST);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(known.map_or(until, |known| known.max(until)));
    }
}

/// Puts a [`Listening`] around a client.
#[derive(Clone, Debug)]
pub struct ThrottleLayer(pub Arc<Throttle>);

impl<S> Layer<S> for ThrottleLayer {
    type Service = Listening<S>;

    fn layer(&self, inner: S) -> Listening<S> {
        Listening { inner, throttle: self.0.clone() }
    }
}

/// A client that remembers how long it is to wait.
#[derive(Clone, Debug)]
pub struct Listening<S> {
    inner: S,
    throttle: Arc<Throttle>,
}

impl<S, B, C> Service<Request<B>> for Listening<S>
where
    S: Service<Request<B>, Response = Response<C>>,
    S::Future: Send + 'static,
    S::Error: Send,
    C: Send,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response<C>, S::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (throttle, answer) = (self.throttle.clone(), self.inner.call(request));
        async move {
            let answer = answer.await?;
            throttle.told(&answer, Instant::now());
            Ok(answer)
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_wait_counts_and_nonsense_does_not() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let answer = |code: u16, wait: &str| {
            Response::builder().status(code).header(RETRY_AFTER, wait).body(()).unwrap()
        };
        assert_eq!(throttle.left(now), Duration::ZERO);
        for (code, wait, left) in [
            (200, "9", 0),
            (500, "9", 0),
            (429, "soon", 0),
            (429, "7", 7),
            (429, "3", 7),
            (503, "20", 20),
            (429, "99999", 120),
        ] {
            throttle.told(&answer(code, wait), now);
            assert_eq!(throttle.left(now), Duration::from_secs(left), "{code} {wait}");
        }
        assert_eq!(throttle.left(now + LONGEST), Duration::ZERO);
    }
}
