//! Counters and histograms at fixed places: to count a call costs three additions, whatever its labels are.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::labels::{Level, Operation, Outcome};
use super::names::PLACES;

/// The first limit of a histogram, in nanoseconds; each further one is twice the one before.
const FIRST: u64 = 10_000;
/// Limits of a histogram: 10 µs to 10.5 s.
const LIMITS: usize = 21;

const LEVELS: usize = Level::ALL.len();
const OUTCOMES: usize = Outcome::ALL.len();
const KINDS: usize = Operation::ALL.len() * LEVELS;

fn zeros(count: usize) -> Box<[AtomicU64]> {
    (0..count).map(|_| AtomicU64::new(0)).collect()
}

/// So many calls, by place of the cache, operation, level and outcome.
#[derive(Debug)]
pub(super) struct Counts(Box<[AtomicU64]>);

impl Default for Counts {
    fn default() -> Self {
        Self(zeros(PLACES * KINDS * OUTCOMES))
    }
}

impl Counts {
    pub(super) fn add(&self, place: usize, operation: Operation, level: Level, outcome: Outcome) {
        let at = (place * KINDS + kind(operation, level)) * OUTCOMES + outcome as usize;
        if let Some(count) = self.0.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Those that are not zero, in the order of their labels.
    pub(super) fn all(&self) -> impl Iterator<Item = (usize, Operation, Level, Outcome, u64)> + '_ {
        self.0.iter().enumerate().filter_map(|(at, count)| {
            let count = count.load(Ordering::Relaxed);
            let (kind, place) = (at / OUTCOMES % KINDS, at / OUTCOMES / KINDS);
            let (operation, level) = (*Operation::ALL.get(kind / LEVELS)?, *Level::ALL.get(kind % LEVELS)?);
            let outcome = *Outcome::ALL.get(at % OUTCOMES)?;
            (count > 0).then_some((place, operation, level, outcome, count))
        })
    }
}

fn kind(operation: Operation, level: Level) -> usize {
    operation as usize * LEVELS + level as usize
}

/// How long calls took, by operation and level.
#[derive(Debug)]
pub(super) struct Durations {
    /// For each kind its buckets; the last one has no limit.
    buckets: Box<[AtomicU64]>,
    /// Nanoseconds for each kind.
    sums: Box<[AtomicU64]>,
}

impl Default for Durations {
    fn default() -> Self {
        Self { buckets: zeros(KINDS * (LIMITS + 1)), sums: zeros(KINDS) }
    }
}

/// How long calls of one kind took.
#[derive(Clone, Debug, PartialEq)]
pub struct Latency {
    /// What was asked.
    pub operation: Operation,
    /// At which level.
    pub level: Level,
    /// All of it together, in seconds.
    pub sum: f64,
    /// Longest duration in seconds, and how many calls took so long but longer than the one before allows.
    pub buckets: Vec<(f64, u64)>,
}

impl Latency {
    /// So many calls.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

impl Durations {
    pub(super) fn add(&self, operation: Operation, level: Level, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let kind = kind(operation, level);
        if let (Some(bucket), Some(sum)) =
            (self.buckets.get(kind * (LIMITS + 1) + bucket(nanos)), self.sums.get(kind))
        {
            bucket.fetch_add(1, Ordering::Relaxed);
            sum.fetch_add(nanos, Ordering::Relaxed);
        }
    }

    /// Those that were asked at all, in the order of their labels.
    pub(super) fn all(&self) -> Vec<Latency> {
        let mut all = Vec::new();
        for operation in Operation::ALL {
            for level in Level::ALL {
                let kind = kind(*operation, *level);
                let buckets: Vec<(f64, u64)> = (0..=LIMITS)
                    .filter_map(|n| {
                        let count = self.buckets.get(kind * (LIMITS + 1) + n)?.load(Ordering::Relaxed);
                        Some((limit(n), count))
                    })
                    .collect();
                let sum = self.sums.get(kind).map_or(0, |sum| sum.load(Ordering::Relaxed));
                let latency =
                    Latency { operation: *operation, level: *level, sum: sum as f64 / 1e9, buckets };
                if latency.count() > 0 {
                    all.push(latency);
                }
            }
        }
        all
    }
}

/// Of the first limit that is not less.
fn bucket(nanos: u64) -> usize {
    let times = nanos.saturating_sub(1) / FIRST;
    ((u64::BITS - times.leading_zeros()) as usize).min(LIMITS)
}

/// In seconds.
fn limit(bucket: usize) -> f64 {
    if bucket < LIMITS { (FIRST << bucket) as f64 / 1e9 } else { f64::INFINITY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_belongs_to_its_bucket() {
        let table =
            [(0, 0), (1, 0), (10_000, 0), (10_001, 1), (20_000, 1), (20_001, 2), (40_000, 2), (40_001, 3)];
        for (nanos, wanted) in table {
            assert_eq!(bucket(nanos), wanted, "{nanos}");
        }
        for n in 0..LIMITS {
            let nanos = FIRST << n;
            assert_eq!((bucket(nanos), bucket(nanos + 1)), (n, n + 1));
        }
        assert_eq!((bucket(u64::MAX), limit(LIMITS)), (LIMITS, f64::INFINITY));
        assert!((limit(0) - 0.000_01).abs() < 1e-12 && (10.0..11.0).contains(&limit(LIMITS - 1)));
    }

    #[test]
    fn what_is_added_is_found_under_its_labels() {
        let (counts, durations) = (Counts::default(), Durations::default());
        let last =
            (PLACES - 1, Operation::ALL[Operation::ALL.len() - 1], Level::All, Outcome::UnknownOutcome);
        for (place, operation, level, outcome) in
            [(0, Operation::Get, Level::Local, Outcome::Miss), last, last]
        {
            counts.add(place, operation, level, outcome);
            durations.add(operation, level, Duration::from_millis(2));
        }
        let all: Vec<_> = counts.all().collect();
        assert_eq!(
            all,
            [(0, Operation::Get, Level::Local, Outcome::Miss, 1), (last.0, last.1, last.2, last.3, 2)]
        );
        let all = durations.all();
        assert_eq!((all.len(), all[1].count(), all[1].operation, all[1].level), (2, 2, last.1, last.2));
        assert!((all[1].sum - 0.004).abs() < 1e-9);
    }
}
