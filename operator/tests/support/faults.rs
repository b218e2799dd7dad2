//! What goes wrong on the way to the API server: an answer that fails, and an operator that stands still.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

/// One answer that fails.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// Requests that are answered before.
    pub after: usize,
    /// The answer.
    pub code: u16,
    /// Seconds that it asks to be left alone.
    pub retry_after: Option<u64>,
}

/// Holds up one write, as if the operator that sends it were frozen at this moment: what it decided is decided.
#[derive(Clone, Default)]
pub struct Gate(Arc<Held>);

#[derive(Default)]
struct Held {
    /// Writes that pass before.
    left: Mutex<Option<usize>>,
    /// The write, as `VERB path`; none: whichever it is.
    which: Mutex<Option<String>>,
    frozen: Notify,
    thawed: Notify,
}

impl Gate {
    /// Holds the write after this many.
    pub fn after(writes: usize) -> Self {
        let gate = Self::default();
        *gate.0.left.lock().unwrap() = Some(writes);
        gate
    }

    /// Holds this write, as `VERB path`, the first time.
    pub fn at(write: String) -> Self {
        let gate = Self::after(0);
        *gate.0.which.lock().unwrap() = Some(write);
        gate
    }

    /// A write is about to be sent.
    pub async fn pass(&self, write: &str) {
        if self.0.which.lock().unwrap().as_ref().is_some_and(|which| which != write) {
            return;
        }
        let held = {
            let mut left = self.0.left.lock().unwrap();
            let held = *left == Some(0);
            *left = left.and_then(|left| left.checked_sub(1));
            held
        };
        if held {
            self.0.frozen.notify_one();
            self.0.thawed.notified().await;
        }
    }

    /// Returns when one is held.
    pub async fn frozen(&self) {
        self.0.frozen.notified().await;
    }

    /// Lets it go.
    pub fn thaw(&self) {
        self.0.thawed.notify_one();
    }
}
