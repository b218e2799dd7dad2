//! What an agent counts, as the page wants it: sums since the process began. Rates are the reader's business.

use serde::Serialize;

use crate::runtime::{CacheSize, Metrics};
use crate::serve::operations::{Count, Latency, Outcome};

/// Sums since the process began.
#[derive(Debug, Serialize)]
pub struct Figures {
    /// Calls, by what was asked and at which level.
    pub operations: Vec<Kind>,
    /// What caches hold.
    pub caches: Vec<Cache>,
    /// Bytes that all caches may hold together.
    pub limit_bytes: u64,
    /// Values whose time had come.
    pub expired: u64,
    /// Values removed to make room.
    pub evicted: u64,
}

/// Calls of one kind.
#[derive(Debug, Serialize)]
pub struct Kind {
    /// What was asked.
    pub operation: &'static str,
    /// At which level.
    pub level: &'static str,
    /// All that ended.
    pub count: u64,
    /// Those that were refused, or whose outcome is unknown.
    pub failed: u64,
    /// Longest duration in seconds (absent: no limit), and so many calls that took longer than the one before allows.
    pub buckets: Vec<(Option<f64>, u64)>,
}

/// What a cache holds.
#[derive(Debug, Serialize)]
pub struct Cache {
    /// Its name, or "other" for all that have none here.
    pub cache: String,
    /// Values.
    pub entries: u64,
    /// Bytes of keys and values, with a fixed part for each.
    pub bytes: u64,
}

impl Figures {
    pub(super) fn of(metrics: &Metrics) -> Self {
        let memory = metrics.memory();
        let counts = metrics.operations.counts();
        let failed = |latency: &Latency| {
            let kind = |c: &&Count| c.operation == latency.operation && c.level == latency.level;
            let done = |c: &&Count| matches!(c.outcome, Outcome::Ok | Outcome::Miss);
            counts.iter().filter(kind).filter(|c| !done(c)).map(|c| c.count).sum()
        };
        let operations = metrics.operations.latencies().into_iter().map(|latency| Kind {
            operation: latency.operation.name(),
            level: latency.level.name(),
            count: latency.count(),
            failed: failed(&latency),
            buckets: latency
                .buckets
                .into_iter()
                .map(|(le, n)| (Some(le).filter(|l| l.is_finite()), n))
                .collect(),
        });
        let caches = memory.caches.into_iter();
        Self {
            operations: operations.collect(),
            caches: caches
                .map(|CacheSize { cache, entries, bytes }| Cache { cache, entries, bytes })
                .collect(),
            limit_bytes: memory.limit,
            expired: memory.expired,
            evicted: memory.evicted,
        }
    }
}
