//! Whether the machine itself stood still: what a test says of time is then said of the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it looks.
const TICK: Duration = Duration::from_millis(10);

/// A thread that wants to run every 10 ms and notes for how long it could not.
pub struct Stalls {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Duration>,
}

impl Stalls {
    /// Begins to look.
    #[must_use]
    pub fn watch() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || {
                let mut longest = Duration::ZERO;
                while !stop.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    std::thread::sleep(TICK);
                    longest = longest.max(asked.elapsed().saturating_sub(TICK));
                }
                longest
            }
        });
        Self { stop, thread }
    }

    /// The longest time that it waited for a processor.
    ///
    /// # Panics
    /// If its thread did.
    #[must_use]
    pub fn longest(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
