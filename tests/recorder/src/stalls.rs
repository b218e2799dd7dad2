//! When this process itself did not run: nobody measured anything meanwhile.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::micros;

/// How often it looks.
const TICK: Duration = Duration::from_millis(20);
/// Less than this is nothing.
const LATE: Duration = Duration::from_millis(60);

/// A task beside the clients that wants to run every 20 ms, and notes when it could not.
pub(crate) struct Stalls {
    seen: Arc<Mutex<Vec<(u64, u64)>>>,
    task: JoinHandle<()>,
}

impl Stalls {
    pub(crate) fn watch(began: Instant) -> Self {
        let seen = Arc::<Mutex<Vec<_>>>::default();
        let task = tokio::spawn({
            let seen = seen.clone();
            async move {
                loop {
                    let asked = Instant::now();
                    tokio::time::sleep(TICK).await;
                    if asked.elapsed() > TICK + LATE {
                        let due = u64::try_from((asked + TICK - began).as_micros()).unwrap_or(u64::MAX);
                        seen.lock().unwrap().push((due, micros(began)));
                    }
                }
            }
        });
        Self { seen, task }
    }

    /// From when to when, so far.
    pub(crate) fn seen(&self) -> Vec<(u64, u64)> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Stalls {
    fn drop(&mut self) {
        self.task.abort();
    }
}
