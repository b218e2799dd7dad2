//! What applications asked, how it ended and how long it took.
//!
//! ```text
//! Operations ─ names:     cache ─▶ place, the first 32; all others share one
//!            ├ counts:    place, operation, level, outcome ─▶ so many calls
//!            └ durations: operation, level ─▶ histogram
//! ```
//!
//! No key is ever a label, and of the names of caches no more than a fixed number: whoever writes chooses both.

mod labels;
mod names;
mod tables;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};

pub use labels::{Level, Operation, Outcome};
use names::Names;
pub use names::{NAMED, OTHER};
pub use tables::Latency;
use tables::{Counts, Durations};

/// Counters and histograms of the cache service. Clones share their values.
#[derive(Clone, Debug, Default)]
pub struct Operations(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    names: Names,
    counts: Counts,
    durations: Durations,
    listening: AtomicBool,
}

/// So many calls of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// Name of the cache, or [`OTHER`].
    pub cache: Box<str>,
    /// What was asked.
    pub operation: Operation,
    /// At which level.
    pub level: Level,
    /// How it ended.
    pub outcome: Outcome,
    /// So often.
    pub count: u64,
}

impl Operations {
    /// Makes them part of a registry.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let all = Self::default();
        registry.register_collector(Box::new(all.clone()));
        all
    }

    /// A call ended; of no cache, where the name is empty. A name that no cache can have is not remembered.
    pub fn ended(&self, cache: &str, operation: Operation, level: Level, outcome: Outcome, took: Duration) {
        self.counted(cache, operation, level, outcome);
        self.0.durations.add(operation, level, took);
    }

    /// As [`Self::ended`], of a call that is not timed: it took less than the histograms can tell, and to look at a clock
    /// would be a good part of it.
    pub fn counted(&self, cache: &str, operation: Operation, level: Level, outcome: Outcome) {
        let unnamed = outcome == Outcome::Field || cache.is_empty();
        let place = if unnamed { Names::none() } else { self.0.names.place(cache) };
        self.0.counts.add(place, operation, level, outcome);
    }

    /// The socket of the cache is open, or no longer.
    pub fn listening(&self, open: bool) {
        self.0.listening.store(open, Ordering::Relaxed);
    }

    /// Whether it is open.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.0.listening.load(Ordering::Relaxed)
    }

    /// All calls so far; kinds that never came are left out.
    #[must_use]
    pub fn counts(&self) -> Vec<Count> {
        // Names after counts: whatever is counted has its name by then.
        let counts: Vec<_> = self.0.counts.all().collect();
        let names = self.0.names.all();
        let named = |place: usize| names.get(place).cloned().unwrap_or_else(|| OTHER.into());
        counts
            .into_iter()
            .map(|(place, operation, level, outcome, count)| Count {
                cache: named(place),
                operation,
                level,
                outcome,
                count,
            })
            .collect()
    }

    /// How long they took.
    #[must_use]
    pub fn latencies(&self) -> Vec<Latency> {
        self.0.durations.all()
    }

    /// Whether metrics call this cache by its name; gives it one of the names that are left.
    #[must_use]
    pub fn names(&self, cache: &str) -> bool {
        self.0.names.place(cache) != Names::none()
    }
}

impl Collector for Operations {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let help = "Calls of the cache service that ended";
        let mut metric = encoder.encode_descriptor("operations", help, None, MetricType::Counter)?;
        for Count { cache, operation, level, outcome, count } in self.counts() {
            let labels = [
                ("cache", &*cache),
                ("operation", operation.name()),
                ("level", level.name()),
                ("outcome", outcome.name()),
            ];
            ConstCounter::new(count).encode(metric.encode_family(&labels)?)?;
        }
        let help = "How long calls of the cache service took; reads of the replica by the application that embeds it are not timed";
        let mut metric = encoder.encode_descriptor(
            "operation_duration",
            help,
            Some(&Unit::Seconds),
            MetricType::Histogram,
        )?;
        for latency in self.latencies() {
            let labels = [("operation", latency.operation.name()), ("level", latency.level.name())];
            metric.encode_family(&labels)?.encode_histogram::<NoLabelSet>(
                latency.sum,
                latency.count(),
                &latency.buckets,
                None,
            )?;
        }
        let listening = ConstGauge::new(i64::from(self.is_listening()));
        let help = "1 while the cache is served";
        let metric = encoder.encode_descriptor("cache_listening", help, None, MetricType::Gauge)?;
        listening.encode(metric)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_prometheus_reads_it() {
        let mut registry = Registry::with_prefix("rauthy");
        let operations = Operations::register(&mut registry);
        let took = Duration::from_millis(3);
        operations.ended("a \"cache\"", Operation::Put, Level::Quorum, Outcome::UnknownOutcome, took);
        operations.ended("wrong", Operation::Put, Level::Quorum, Outcome::Field, took);
        operations.ended("", Operation::Get, Level::Local, Outcome::NoQuorum, took);
        operations.listening(true);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"rauthy_operations_total{cache="a \"cache\"",operation="put",level="quorum",outcome="unknown_outcome"} 1"#,
            r#"rauthy_operations_total{cache="other",operation="put",level="quorum",outcome="field"} 1"#,
            r#"rauthy_operations_total{cache="other",operation="get",level="local",outcome="no_quorum"} 1"#,
            r#"rauthy_operation_duration_seconds_count{operation="put",level="quorum"} 2"#,
            r#"rauthy_operation_duration_seconds_bucket{le="0.00256",operation="put",level="quorum"} 0"#,
            r#"rauthy_operation_duration_seconds_bucket{le="+Inf",operation="put",level="quorum"} 2"#,
            "rauthy_cache_listening 1",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }
}
