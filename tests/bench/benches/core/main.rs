//! The core on one thread: entries committed by three nodes in one process, and reads of one of them.
//!
//! One round proposes a batch at the leader, ticks it once, and ends when all three nodes have appended, committed
//! and applied the batch and every proposal is answered: all the work of a cluster but encoding and the network. "Log
//! only" leaves out what the store does. Times are the thread's own processor time.

#![allow(missing_docs, clippy::panic)]

mod cpu_time;
#[path = "../../../../agent/core/tests/trio/mod.rs"]
mod trio;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cpu_time::CpuTime;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rauthy_core::{Condition, Request, Settings, Span, Time};
use trio::Trio;

/// Proposals in a round.
const BATCH: usize = 512;
/// Keys that are written in turn: more than the processor's caches hold, fewer than the store's limit.
const KEYS: usize = 100_000;
/// Between two rounds, so that heartbeats and leases are part of what is measured.
const PACE: Span = Span(500);
/// A prime: neighbours in the log are no neighbours in memory.
const STRIDE: usize = 7919;
const CACHE: &str = "sessions";

struct Load {
    trio: Trio,
    leader: usize,
    cache: Arc<str>,
    keys: Vec<Bytes>,
    /// As many as are in a round: a request's bytes have just come over the network and are near.
    values: Vec<Bytes>,
    next: usize,
}

impl Load {
    fn new(no_store: bool) -> Self {
        let mut trio = Trio::new(|slot| {
            let mut settings = Settings::new(slot);
            settings.testing.no_store = no_store;
            settings
        });
        let leader = trio.ready();
        // What the store does with distant keys is its own cost; the log does not look at them.
        let keys = (0..if no_store { BATCH } else { KEYS }).map(key).collect();
        let values = (0..BATCH).map(|i| Bytes::from(vec![i as u8; 100])).collect();
        let mut load = Self { trio, leader, cache: CACHE.into(), keys, values, next: 0 };
        // Every key is there, and the ring has reached its size: what follows is the steady state.
        (0..4 * KEYS / BATCH).for_each(|_| load.round(BATCH));
        load
    }

    fn round(&mut self, batch: usize) {
        let before = self.trio.done;
        for ticket in 0..batch {
            self.next = (self.next + STRIDE) % self.keys.len();
            let request = Request::Put {
                cache: self.cache.clone(),
                key: self.keys[self.next].clone(),
                value: self.values[ticket % BATCH].clone(),
                ttl: None,
                condition: Condition::Always,
            };
            self.trio.propose(self.leader, ticket as u64, request);
        }
        self.trio.settle();
        assert_eq!(self.trio.done - before, batch as u64, "{} refused", self.trio.refused);
        self.trio.run_for(PACE);
    }
}

fn key(i: usize) -> Bytes {
    Bytes::from(format!("{i:016x}"))
}

/// Committed entries of 100 bytes, in rounds of one, 32 and 512.
fn commit(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("commit");
    for (name, no_store) in [("log only", true), ("store and dedup", false)] {
        let mut load = None;
        for batch in [1, 32, BATCH] {
            group.throughput(Throughput::Elements(batch as u64));
            group.bench_function(BenchmarkId::new(name, batch), |b| {
                // This closure is called for each sample.
                let load = load.get_or_insert_with(|| Load::new(no_store));
                b.iter(|| load.round(batch));
            });
        }
    }
    group.finish();
}

/// A read under a lease, of keys in no order.
fn get(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("get");
    group.throughput(Throughput::Elements(1));
    let keys: Vec<Bytes> = (0..KEYS).map(key).collect();
    let mut load = None;
    let mut next = 0;
    group.bench_function("lease read", |b| {
        let load = load.get_or_insert_with(|| Load::new(false));
        let replica = load.trio.nodes[(load.leader + 1) % 3].replica();
        let now = Time(load.trio.now);
        b.iter(|| {
            next = (next + STRIDE) % KEYS;
            let found = replica.get(CACHE, &keys[next], || now).map(|found| found.value);
            assert!(matches!(found, Ok(Some(_))), "{found:?}");
        });
    });
    group.finish();
}

criterion_group! {
    name = core;
    config = Criterion::default()
        .with_measurement(CpuTime)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(5));
    targets = commit, get
}
criterion_main!(core);
