//! Closed loop: so many tasks, each of which begins its next operation when its last one ended.
//!
//! It shows what a cache can carry. Its latencies are those of a cache that is never asked for more than it does, see
//! [`crate::paced`] for the others.

use std::time::{Duration, Instant};

use crate::protocol::Load;
use crate::{KEYS, Measured, Recorder, Target};

/// Runs a load.
///
/// # Errors
/// If a task ends by a fault.
pub(crate) async fn run<T: Target>(target: &T, load: Load) -> Result<Measured, String> {
    let begin = Instant::now() + Duration::from_millis(load.warm);
    let end = begin + Duration::from_millis(load.millis);
    let mut tasks = Vec::with_capacity(load.tasks);
    for task in 0..load.tasks {
        let target = target.clone();
        let mut seen = Recorder::new()?;
        tasks.push(tokio::spawn(async move {
            // Each task begins elsewhere, and steps by a prime: no two write the same keys in step.
            let mut key = task * (KEYS / load.tasks.max(1));
            loop {
                let started = Instant::now();
                if started >= end {
                    return seen;
                }
                let outcome = target.call(load.what, key % KEYS).await;
                let ended = Instant::now();
                if started >= begin && ended <= end {
                    seen.record(ended - started, outcome);
                }
                key += 7919;
            }
        }));
    }
    let mut all = Recorder::new()?;
    for task in tasks {
        all.add(&task.await.map_err(|e| e.to_string())?);
    }
    Ok(all.measured((end - begin).as_secs_f64()))
}
