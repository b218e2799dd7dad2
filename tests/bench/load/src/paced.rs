//! Fixed rate: operations begin when they are due, whatever became of those before, and each is timed from when it was
//! due. A cache that stands still for a moment pays for every operation that it made wait (no coordinated omission).
//!
//! A thread of its own keeps the time: a runtime's timer counts milliseconds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};

use crate::protocol::Load;
use crate::{KEYS, Measured, Recorder, Target};

/// Runs a load.
///
/// # Errors
/// If a task ends by a fault, or the rate is none.
pub(crate) async fn run<T: Target>(target: &T, load: Load) -> Result<Measured, String> {
    let begin = Instant::now() + Duration::from_millis(load.warm);
    let end = begin + Duration::from_millis(load.millis);
    let (due, mut dues) = mpsc::unbounded_channel();
    let pacer = std::thread::spawn(move || pace(load.rate, end, &due));
    let room = Arc::new(Semaphore::new(load.tasks));
    let (seen, mut all_seen) = mpsc::unbounded_channel();
    let mut key = 0;
    while let Some(due) = dues.recv().await {
        // Without room an operation waits, and its time runs.
        let place = room.clone().acquire_owned().await.map_err(|e| e.to_string())?;
        let (target, seen) = (target.clone(), seen.clone());
        key = (key + 7919) % KEYS;
        tokio::spawn(async move {
            let outcome = target.call(load.what, key).await;
            let _ = seen.send((due, Instant::now(), outcome));
            drop(place);
        });
    }
    drop(seen);
    let mut all = Recorder::new()?;
    while let Some((due, ended, outcome)) = all_seen.recv().await {
        if due >= begin {
            all.record(ended - due, outcome);
        }
    }
    pacer.join().map_err(|_| "the pacing thread panicked".to_owned())?;
    Ok(all.measured((end - begin).as_secs_f64()))
}

/// Says when each operation is due, at that time.
fn pace(rate: u64, end: Instant, due: &mpsc::UnboundedSender<Instant>) {
    // Else a sleep may end 50 µs late. Only Linux has it, and where it cannot be had all caches wait alike.
    let _ = std::fs::write("/proc/thread-self/timerslack_ns", "1");
    let start = Instant::now();
    for number in 0_u64.. {
        let next = start + Duration::from_nanos(number.saturating_mul(1_000_000_000 / rate.max(1)));
        if next >= end {
            return;
        }
        let now = Instant::now();
        if next > now {
            std::thread::sleep(next - now);
        }
        if due.send(next).is_err() {
            return;
        }
    }
}
