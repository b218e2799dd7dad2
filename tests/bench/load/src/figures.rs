//! Counting operations and their latencies.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest latency that is told apart from longer ones.
const LONGEST: u64 = 60_000_000_000;

/// What one task saw. Histograms of several are added, so that the points are those of all operations.
#[derive(Clone, Debug)]
pub struct Recorder {
    latencies: Histogram<u64>,
    done: u64,
    failed: u64,
    why: Option<String>,
}

impl Recorder {
    /// Nothing yet.
    ///
    /// # Errors
    /// Never with the bounds above; the histogram's own check is handed on.
    pub fn new() -> Result<Self, String> {
        let latencies = Histogram::new_with_bounds(1, LONGEST, 3).map_err(|e| e.to_string())?;
        Ok(Self { latencies, done: 0, failed: 0, why: None })
    }

    /// An operation that took this long.
    pub fn record(&mut self, took: Duration, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => {
                self.done += 1;
                let nanos = u64::try_from(took.as_nanos()).unwrap_or(LONGEST);
                self.latencies.saturating_record(nanos.clamp(1, LONGEST));
            }
            Err(why) => {
                self.failed += 1;
                self.why.get_or_insert(why);
            }
        }
    }

    /// Operations whose latency nobody measured.
    pub fn count(&mut self, done: u64) {
        self.done += done;
    }

    /// All that another task saw.
    pub fn add(&mut self, other: &Self) {
        self.done += other.done;
        self.failed += other.failed;
        // The bounds are the same, so that nothing is lost.
        let _ = self.latencies.add(&other.latencies);
        if self.why.is_none() {
            self.why.clone_from(&other.why);
        }
    }

    /// The result, of a load that counted for this long.
    #[must_use]
    pub fn measured(&self, seconds: f64) -> Measured {
        let micros = |quantile| self.latencies.value_at_quantile(quantile) as f64 / 1e3;
        Measured {
            done: self.done,
            failed: self.failed,
            why: self.why.clone(),
            seconds,
            p50: micros(0.5),
            p90: micros(0.9),
            p99: micros(0.99),
            p999: micros(0.999),
            max: self.latencies.max() as f64 / 1e3,
        }
    }
}

/// The result of a load. Latencies are in microseconds, and of what succeeded.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Measured {
    /// Operations that succeeded.
    pub done: u64,
    /// Operations that failed.
    pub failed: u64,
    /// Why the first of them did.
    pub why: Option<String>,
    /// How long it counted.
    pub seconds: f64,
    /// Median.
    pub p50: f64,
    /// 90 of 100 took no longer.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl Measured {
    /// Operations a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        if self.seconds > 0.0 { self.done as f64 / self.seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_those_of_all_tasks() {
        let (mut a, mut b) = (Recorder::new().unwrap(), Recorder::new().unwrap());
        for n in 1..=50 {
            a.record(Duration::from_micros(n), Ok(()));
            b.record(Duration::from_micros(50 + n), Ok(()));
        }
        b.record(Duration::from_secs(1), Err("refused".into()));
        a.add(&b);
        let all = a.measured(2.0);
        assert_eq!((all.done, all.failed, all.why.as_deref()), (100, 1, Some("refused")));
        assert!((all.p50 - 50.0).abs() < 1.0 && (all.p99 - 99.0).abs() < 1.0, "{all:?}");
        assert!(all.max < 101.0, "what failed has no latency: {all:?}");
        assert!((all.rate() - 50.0).abs() < f64::EPSILON);
    }
}
