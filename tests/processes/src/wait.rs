//! Waiting for conditions: no test sleeps for a fixed time.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(40);

/// Looks until the condition holds and returns what it gave. `look` says with `Err` what it saw instead.
///
/// # Panics
/// If it does not hold within `limit`; the message names `what` and what was last seen.
pub async fn eventually<T, F>(what: &str, limit: Duration, mut look: F) -> T
where
    F: AsyncFnMut() -> Result<T, String>,
{
    let deadline = Instant::now() + limit;
    let mut last = "nothing yet".to_owned();
    loop {
        match timeout(deadline.saturating_duration_since(Instant::now()), look()).await {
            Ok(Ok(found)) => return found,
            Ok(Err(seen)) => last = seen,
            Err(_) => panic!("{what}: not within {limit:?}, the last look did not end; before it: {last}"),
        }
        assert!(Instant::now() < deadline, "{what}: not within {limit:?}; last seen: {last}");
        sleep(INTERVAL).await;
    }
}

/// Waits for one thing to end.
///
/// # Panics
/// If it does not end within `limit`.
pub async fn within<T>(what: &str, limit: Duration, future: impl Future<Output = T>) -> T {
    match timeout(limit, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {limit:?}"),
    }
}

/// Looks at a condition for so long, again and again.
///
/// # Panics
/// As soon as it does not hold; `look` says with `Err` what it saw.
pub async fn always<F>(what: &str, long: Duration, mut look: F)
where
    F: AsyncFnMut() -> Result<(), String>,
{
    let began = Instant::now();
    loop {
        if let Err(seen) = look().await {
            panic!("{what}: no longer after {:?}: {seen}", began.elapsed());
        }
        if began.elapsed() >= long {
            return;
        }
        sleep(INTERVAL).await;
    }
}

/// `short`, or `long` where the tests may take their time: with LONG=1.
#[must_use]
pub fn span(short: Duration, long: Duration) -> Duration {
    if std::env::var_os("LONG").is_some_and(|v| v == "1") { long } else { short }
}
