//! `rauthy-probe`: serves on `PROBE_LISTEN` (default `[::]:8080`) until it is told to end.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Its histories tell what each single call did.
    let client = rauthy_client::Client::from_env()?.without_retries();
    let listen = std::env::var("PROBE_LISTEN").unwrap_or_else(|_| "[::]:8080".to_owned());
    let listener =
        tokio::net::TcpListener::bind(&listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    println!("probe: {} on {listen}", client.target());
    let mut end = signal(SignalKind::terminate())?;
    let target = client.target().to_owned();
    let port = rauthy_probe::tunnel::PORT;
    let tunnel = tokio::net::TcpListener::bind(("::", port))
        .await
        .with_context(|| format!("cannot listen on {port}"))?;
    // Not graceful: who is connected would hold the pod for its whole grace period.
    tokio::select! {
        result = axum::serve(listener, rauthy_probe::serve::router(client)) => Ok(result?),
        () = rauthy_probe::tunnel::serve(tunnel, target) => Ok(()),
        _ = end.recv() => Ok(()),
    }
}
