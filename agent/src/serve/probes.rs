//! What is served over HTTP: probes, metrics, and the status page.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::page;
use crate::runtime::Handle;

/// The consensus task answers within microseconds; one that does not within this long is stuck. Generous, because a
/// restart costs a copy of the data.
pub(super) const STUCK: Duration = Duration::from_secs(5);

pub(super) fn router(handle: Handle) -> Router {
    Router::new()
        .route("/", get(page::document))
        .route("/status.json", get(page::status))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/startupz", get(started))
        .route("/metrics", get(metrics))
        .with_state(handle)
}

fn unavailable(why: &str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response()
}

async fn live(State(handle): State<Handle>) -> Response {
    match tokio::time::timeout(STUCK, handle.status()).await {
        // Every life has a name: without one nothing lives there any more.
        Ok(status) if status.incarnation.is_empty() => unavailable("the consensus task has ended"),
        Ok(_) => "alive\n".into_response(),
        Err(_) => unavailable("the consensus task does not answer"),
    }
}

async fn ready(State(handle): State<Handle>) -> Response {
    match tokio::time::timeout(STUCK, handle.status()).await {
        Ok(status) if status.ready => "ready\n".into_response(),
        Ok(status) => unavailable(&format!("not ready: {}", status.not_ready_reason)),
        Err(_) => unavailable("not ready: the consensus task does not answer"),
    }
}

async fn started(State(handle): State<Handle>) -> Response {
    if handle.metrics().operations.is_listening() {
        "started\n".into_response()
    } else {
        unavailable("the cache socket is not open")
    }
}

async fn metrics(State(handle): State<Handle>) -> Response {
    match handle.metrics().encode().await {
        Ok(text) => {
            ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
                .into_response()
        }
        Err(_) => unavailable("the metrics cannot be written"),
    }
}
