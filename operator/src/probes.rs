//! `/livez`, `/readyz` and `/metrics`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::reconcile::Context;

/// Whether this replica can do its part: act, or take over.
#[derive(Debug, Default)]
pub struct Readiness(AtomicBool);

impl Readiness {
    /// Sets it.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Shared {
    readiness: Arc<Readiness>,
    context: Arc<Context>,
}

/// Serves the probes until the process ends.
///
/// # Errors
/// The address cannot be bound.
pub async fn serve(
    address: SocketAddr,
    readiness: Arc<Readiness>,
    context: Arc<Context>,
) -> std::io::Result<()> {
    let listener = TcpListener::bind(address).await?;
    axum::serve(listener, router(readiness, context)).await
}

fn router(readiness: Arc<Readiness>, context: Arc<Context>) -> Router {
    Router::new()
        // That the runtime answers is what it says; never tied to the API server, whose loss no restart cures.
        .route("/livez", get(async || "ok"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Shared { readiness, context })
}

async fn readyz(State(shared): State<Shared>) -> impl IntoResponse {
    if shared.readiness.get() {
        (StatusCode::OK, "ok")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the API server does not answer, or refuses the lease")
    }
}

async fn metrics(State(shared): State<Shared>) -> impl IntoResponse {
    match shared.context.metrics.text() {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
