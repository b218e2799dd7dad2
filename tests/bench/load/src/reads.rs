//! Reads, as fast as so many threads can.
//!
//! A read takes about as long as looking at the clock a few times, so that most are counted and only each [`EACH`]th is
//! timed. Where a cache reads on its caller's thread, threads read; else tasks do, on the runtime of the node, which is
//! how its users read.

use std::time::{Duration, Instant};

use crate::protocol::Load;
use crate::{KEYS, Measured, Recorder, Target};

/// One of so many is timed.
const EACH: u32 = 32;

/// The keys in an order without any: xorshift.
struct Order(u64);

impl Order {
    fn of(reader: usize) -> Self {
        Self(0x9E37_79B9_7F4A_7C15 ^ ((reader as u64 + 1) << 7))
    }

    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % KEYS as u64) as usize
    }
}

/// Runs a load.
///
/// # Errors
/// If a reader ends by a fault.
pub(crate) async fn run<T: Target>(target: &T, load: Load) -> Result<Measured, String> {
    let begin = Instant::now() + Duration::from_millis(load.warm);
    let end = begin + Duration::from_millis(load.millis);
    let here = target.read_here(load.what, 0).is_some();
    let mut readers = Vec::new();
    for reader in 0..load.tasks {
        let (target, seen, order) = (target.clone(), Recorder::new()?, Order::of(reader));
        readers.push(if here {
            tokio::task::spawn_blocking(move || on_thread(&target, load, (begin, end), seen, order))
        } else {
            tokio::spawn(in_task(target, load, (begin, end), seen, order))
        });
    }
    let mut all = Recorder::new()?;
    for reader in readers {
        all.add(&reader.await.map_err(|e| e.to_string())?);
    }
    Ok(all.measured((end - begin).as_secs_f64()))
}

fn on_thread<T: Target>(
    target: &T,
    load: Load,
    (begin, end): (Instant, Instant),
    mut seen: Recorder,
    mut order: Order,
) -> Recorder {
    let read = |key| target.read_here(load.what, key).unwrap_or_else(|| Err("no such read".into()));
    loop {
        let started = Instant::now();
        let outcome = read(order.next());
        let ended = Instant::now();
        if ended >= end {
            return seen;
        }
        let counts = started >= begin;
        if counts {
            seen.record(ended - started, outcome);
        }
        for _ in 1..EACH {
            match read(order.next()) {
                Ok(()) if counts => seen.count(1),
                Ok(()) => {}
                Err(why) => seen.record(Duration::ZERO, Err(why)),
            }
        }
    }
}

async fn in_task<T: Target>(
    target: T,
    load: Load,
    (begin, end): (Instant, Instant),
    mut seen: Recorder,
    mut order: Order,
) -> Recorder {
    loop {
        let started = Instant::now();
        let outcome = target.call(load.what, order.next()).await;
        let ended = Instant::now();
        if ended >= end {
            return seen;
        }
        let counts = started >= begin;
        if counts {
            seen.record(ended - started, outcome);
        }
        for _ in 1..EACH {
            match target.call(load.what, order.next()).await {
                Ok(()) if counts => seen.count(1),
                Ok(()) => {}
                Err(why) => seen.record(Duration::ZERO, Err(why)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_keys_come_early_and_in_no_order() {
        let mut order = Order::of(1);
        let keys: Vec<_> = (0..KEYS).map(|_| order.next()).collect();
        let different = keys.iter().collect::<std::collections::BTreeSet<_>>().len();
        assert!(different > KEYS / 2, "{different}");
        assert!(keys.windows(2).filter(|w| w[1] == w[0] + 1).count() < 100);
    }
}
