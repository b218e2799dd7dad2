//! Metrics that are looked up when somebody asks: the store, the certificate, and the process itself.

use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::registry::Unit;
use rauthy_core::Replica;

use crate::serve::operations::{OTHER, Operations};

/// What a cache holds; all that have no name in metrics are one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CacheSize {
    /// Its name.
    pub cache: String,
    /// Values.
    pub entries: u64,
    /// Bytes of keys and values, with a fixed part for each.
    pub bytes: u64,
}

/// What the store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Memory {
    /// All caches that hold something or are declared, by name; those without a name in metrics come last, together.
    pub caches: Vec<CacheSize>,
    /// Bytes that all may hold together.
    pub limit: u64,
    /// Values whose time had come, since the process began.
    pub expired: u64,
    /// Values removed to make room, since the process began.
    pub evicted: u64,
}

#[derive(Debug)]
pub(super) struct Present {
    operations: Operations,
    /// Seconds; 0: no TLS.
    certificate_expires: Gauge,
    store: OnceLock<(Arc<Replica>, u64)>,
}

impl Present {
    pub(super) fn new(operations: Operations, certificate_expires: Gauge) -> Self {
        Self { operations, certificate_expires, store: OnceLock::new() }
    }

    pub(super) fn look_at(&self, replica: Arc<Replica>, limit: u64) {
        // There is one store in a process; a second one would be ignored.
        let _ = self.store.set((replica, limit));
    }

    pub(super) fn memory(&self) -> Memory {
        let Some((replica, limit)) = self.store.get() else { return Memory::default() };
        let removals = replica.store().removals();
        let (expired, evicted) = (removals.expired, removals.evicted);
        let mut memory = Memory { caches: Vec::new(), limit: *limit, expired, evicted };
        let mut other = CacheSize { cache: OTHER.into(), ..CacheSize::default() };
        for (cache, usage, _) in replica.store().caches() {
            if &*cache != OTHER && self.operations.names(&cache) {
                let (entries, bytes) = (usage.entries, usage.bytes);
                memory.caches.push(CacheSize { cache: cache.to_string(), entries, bytes });
            } else {
                other.entries += usage.entries;
                other.bytes += usage.bytes;
            }
        }
        if other.entries > 0 {
            memory.caches.push(other);
        }
        memory
    }
}

impl Collector for Present {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let memory = self.memory();
        let mut gauge = |name: &str, help: &str, unit: Option<&Unit>, of: fn(&CacheSize) -> u64| {
            let kind = ConstGauge::new(0_u64).metric_type();
            let mut metric = encoder.encode_descriptor(name, help, unit, kind)?;
            memory.caches.iter().try_for_each(|size| {
                let labels = [("cache", size.cache.as_str())];
                ConstGauge::new(of(size)).encode(metric.encode_family(&labels)?)
            })
        };
        gauge("cache_entries", "Values in a cache", None, |size| size.entries)?;
        let charged = "Bytes of keys and values in a cache, with a fixed part for each";
        gauge("cache", charged, Some(&Unit::Bytes), |size| size.bytes)?;
        let limit = ConstGauge::new(memory.limit);
        let help = "Bytes that all caches may hold together";
        limit.encode(encoder.encode_descriptor(
            "store_limit",
            help,
            Some(&Unit::Bytes),
            limit.metric_type(),
        )?)?;
        for (name, help, count) in [
            ("expired_values", "Values removed because their time had come", memory.expired),
            ("evicted_values", "Values removed to make room for others", memory.evicted),
        ] {
            let count = ConstCounter::new(count);
            count.encode(encoder.encode_descriptor(name, help, None, count.metric_type())?)?;
        }
        let version = ConstGauge::new(1_i64);
        let help = "The version of this agent";
        let mut metric = encoder.encode_descriptor("build_info", help, None, version.metric_type())?;
        version.encode(metric.encode_family(&[("version", env!("CARGO_PKG_VERSION"))])?)?;
        let help = "When the first of the own certificates ends, in seconds since 1970; absent without TLS";
        let left = self.certificate_expires.get();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let end = ConstGauge::new(i64::try_from(now).unwrap_or(i64::MAX).saturating_add(left));
        let name = "certificate_expiry_timestamp";
        let metric = encoder.encode_descriptor(name, help, Some(&Unit::Seconds), end.metric_type())?;
        if left == 0 { Ok(()) } else { end.encode(metric) }
    }
}

/// What every exporter says of its own process.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        // A system without /proc has none of these.
        if let Some(bytes) = resident_memory() {
            let gauge = ConstGauge::new(bytes);
            let help = "Memory of this process that is in RAM";
            let name = "process_resident_memory";
            gauge.encode(encoder.encode_descriptor(
                name,
                help,
                Some(&Unit::Bytes),
                gauge.metric_type(),
            )?)?;
        }
        if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
            let gauge = ConstGauge::new(open.count() as u64);
            let help = "Open files and sockets of this process";
            gauge.encode(encoder.encode_descriptor(
                "process_open_fds",
                help,
                None,
                gauge.metric_type(),
            )?)?;
        }
        let used = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        let counter = ConstCounter::new(used.tv_sec as f64 + used.tv_nsec as f64 / 1e9);
        let help = "Processor time of this process";
        let name = "process_cpu";
        counter.encode(encoder.encode_descriptor(name, help, Some(&Unit::Seconds), counter.metric_type())?)
    }
}

/// Bytes.
fn resident_memory() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
