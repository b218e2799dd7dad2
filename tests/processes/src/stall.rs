//! Whether the machine itself stood still: what a test says of time is then said of the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it looks.
const TICK: Duration = Duration::from_millis(10);
/// What a thread that sleeps is late by on a machine that has nothing else to do, and more.
const USUAL: Duration = Duration::from_millis(2);

/// A thread that wants to run every 10 ms and notes for how long it could not.
pub struct Stalls {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<(Duration, Duration)>,
}

impl Stalls {
    /// Begins to look.
    #[must_use]
    pub fn watch() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || {
                let (mut longest, mut lost) = (Duration::ZERO, Duration::ZERO);
                while !stop.load(Ordering::Relaxed) {
                    let asked = Instant::now();
                    std::thread::sleep(TICK);
                    let late = asked.elapsed().saturating_sub(TICK);
                    longest = longest.max(late);
                    lost += if late > USUAL { late } else { Duration::ZERO };
                }
                (longest, lost)
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
        self.end().0
    }

    /// All the time that it waited for a processor.
    ///
    /// # Panics
    /// If its thread did.
    #[must_use]
    pub fn lost(self) -> Duration {
        self.end().1
    }

    fn end(self) -> (Duration, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}
