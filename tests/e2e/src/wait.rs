//! Waiting for a condition, with a deadline and what was seen last.

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::bail;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(150);

/// Looks until `look` gives a value; its error says what it saw instead.
///
/// # Errors
/// What was seen last, when `within` is over.
pub async fn eventually<T, E: Display>(
    what: &str,
    within: Duration,
    mut look: impl AsyncFnMut() -> Result<T, E>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        let began = start.elapsed();
        match look().await {
            Ok(value) => return Ok(value),
            Err(seen) if began >= within => {
                bail!("{what}: not within {} s; last seen: {seen:#}", within.as_secs_f32())
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Looks again and again for as long as `period`, and demands that `look` never fails.
///
/// # Errors
/// What was seen when it failed.
pub async fn lasts<E: Display>(
    what: &str,
    period: Duration,
    mut look: impl AsyncFnMut() -> Result<(), E>,
) -> anyhow::Result<()> {
    let start = Instant::now();
    while start.elapsed() < period {
        if let Err(seen) = look().await {
            bail!("{what}: no more after {:.1} s; seen: {seen:#}", start.elapsed().as_secs_f32());
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}
