//! `rauthy-probe`: serves on `PROBE_LISTEN` (default `[::]:8080`) until it is told to end. Where there is no agent
//! (`RAUTHY_CACHE_SOCKET` is not set), the cache is inside this process, by the variables of the agent, and is asked by a
//! socket of its own.

use std::time::Duration;

use anyhow::Context as _;
use rauthy_agent::embedded::{Cache, Config};
use tokio::signal::unix::{SignalKind, signal};

/// Where the cache inside is asked.
const SOCKET: &str = "unix:///tmp/cache.sock";
/// Members may come one after another.
const READY: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut end = signal(SignalKind::terminate())?;
    let inside = match std::env::var_os("RAUTHY_CACHE_SOCKET") {
        Some(_) => None,
        None => tokio::select! {
            cache = embed() => Some(cache?),
            _ = end.recv() => return Ok(()),
        },
    };
    // Its histories tell what each single call did.
    let client = match inside {
        Some(_) => rauthy_client::Client::new(SOCKET)?,
        None => rauthy_client::Client::from_env()?,
    }
    .without_retries();
    let listen = std::env::var("PROBE_LISTEN").unwrap_or_else(|_| "[::]:8080".to_owned());
    let listener =
        tokio::net::TcpListener::bind(&listen).await.with_context(|| format!("cannot listen on {listen}"))?;
    println!("probe: {} on {listen}", client.target());
    let target = client.target().to_owned();
    let port = rauthy_probe::tunnel::PORT;
    let tunnel = tokio::net::TcpListener::bind(("::", port))
        .await
        .with_context(|| format!("cannot listen on {port}"))?;
    // Not graceful: who is connected would hold the pod for its whole grace period.
    let served = tokio::select! {
        result = axum::serve(listener, rauthy_probe::serve::router(client)) => Ok(result?),
        () = rauthy_probe::tunnel::serve(tunnel, target) => Ok(()),
        _ = end.recv() => Ok(()),
    };
    if let Some(cache) = inside {
        cache.shutdown().await;
    }
    served
}

/// A node of the cache in this process. It is ready when this returns, so that whoever asks this application is told the
/// truth, and a roll goes on only then.
async fn embed() -> anyhow::Result<Cache> {
    let config = Config::builder().or_environment().listen(SOCKET).build()?;
    let cache = Cache::start(config).await?;
    println!("probe: the cache is inside, as {}", cache.slot());
    cache.ready(READY).await?;
    Ok(cache)
}
