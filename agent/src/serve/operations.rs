//! What applications asked, how it ended and how long it took. Every label has a handful of values: no key and no
//! name of a cache is ever one, since whoever writes chooses those.

use std::fmt::Write;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

/// What was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// A read.
    Get,
    /// A value was stored.
    Put,
    /// A key was removed.
    Delete,
    /// A value was got and removed.
    Take,
    /// A number was changed.
    Increment,
    /// A cache was emptied.
    Clear,
    /// A cache's limits were declared.
    Declare,
}

/// At which level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// A read from this node's replica, under its lease.
    Local,
    /// The same, but not before what the session has seen is there.
    Session,
    /// A read of what stands at this moment.
    Linearizable,
    /// A write answered at once.
    Direct,
    /// A write answered when the leader has it.
    Leader,
    /// A write answered when one more member has it.
    Once,
    /// A write answered when it is committed.
    Quorum,
    /// A write answered when nobody serves what was before.
    All,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Done; a read found a value.
    Ok,
    /// A read found, truthfully, nothing.
    Miss,
    /// See `cache.proto`.
    NoQuorum,
    /// See `cache.proto`.
    Syncing,
    /// See `cache.proto`.
    Limit,
    /// See `cache.proto`.
    Field,
    /// See `cache.proto`.
    Level,
    /// See `cache.proto`.
    Version,
    /// See `cache.proto`.
    NotANumber,
    /// See `cache.proto`.
    Gap,
    /// See `cache.proto`.
    UnknownOutcome,
}

/// Gives a label its values, as they are written everywhere else.
macro_rules! label {
    ($type:ty { $($variant:ident => $text:literal),+ $(,)? }) => {
        impl EncodeLabelValue for $type {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
                encoder.write_str(match self { $(Self::$variant => $text),+ })
            }
        }
    };
}

label!(Operation {
    Get => "get",
    Put => "put",
    Delete => "delete",
    Take => "take",
    Increment => "increment",
    Clear => "clear",
    Declare => "declare",
});
label!(Level {
    Local => "local",
    Session => "session",
    Linearizable => "linearizable",
    Direct => "direct",
    Leader => "leader",
    Once => "once",
    Quorum => "quorum",
    All => "all",
});
label!(Outcome {
    Ok => "ok",
    Miss => "miss",
    NoQuorum => "no_quorum",
    Syncing => "syncing",
    Limit => "limit",
    Field => "field",
    Level => "level",
    Version => "version",
    NotANumber => "not_a_number",
    Gap => "gap",
    UnknownOutcome => "unknown_outcome",
});

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    operation: Operation,
    level: Level,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Kind {
    operation: Operation,
    level: Level,
}

/// Counters and histograms of the cache service. Clones share their values.
#[derive(Clone, Debug)]
pub struct Operations {
    ended: Family<Ended, Counter>,
    took: Family<Kind, Histogram, fn() -> Histogram>,
    listening: Gauge,
}

/// 10 µs to 10.5 s, each twice the one before.
fn buckets() -> Histogram {
    Histogram::new(exponential_buckets(0.000_01, 2.0, 21))
}

impl Operations {
    /// Makes them part of a registry.
    #[must_use]
    pub fn register(registry: &mut Registry) -> Self {
        let all = Self {
            ended: Family::default(),
            took: Family::new_with_constructor(buckets as fn() -> Histogram),
            listening: Gauge::default(),
        };
        registry.register("operations", "Calls of the cache service by level and outcome", all.ended.clone());
        registry.register_with_unit(
            "operation",
            "How long calls of the cache service took",
            Unit::Seconds,
            all.took.clone(),
        );
        registry.register("cache_listening", "1 while the cache is served", all.listening.clone());
        all
    }

    /// A call ended.
    pub fn ended(&self, operation: Operation, level: Level, outcome: Outcome, took: Duration) {
        self.ended.get_or_create(&Ended { operation, level, outcome }).inc();
        self.took.get_or_create(&Kind { operation, level }).observe(took.as_secs_f64());
    }

    /// The socket of the cache is open, or no longer.
    pub fn listening(&self, open: bool) {
        self.listening.set(i64::from(open));
    }

    /// Whether it is open.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.listening.get() == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_prometheus_reads_it() {
        let mut registry = Registry::with_prefix("rauthy");
        let operations = Operations::register(&mut registry);
        operations.ended(Operation::Put, Level::Quorum, Outcome::UnknownOutcome, Duration::from_millis(3));
        operations.listening(true);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"rauthy_operations_total{operation="put",level="quorum",outcome="unknown_outcome"} 1"#,
            r#"rauthy_operation_seconds_count{operation="put",level="quorum"} 1"#,
            "rauthy_cache_listening 1",
        ] {
            assert!(text.contains(line), "{line} is missing in:\n{text}");
        }
    }
}
