//! Which life of the node readers see, and the lease that they read under.
//!
//! ```text
//! Gate ─ version (odd while it is written) ─ words: flags, life, generation, begun, lease
//!      └ the same behind a lock, for writers and for readers that find it being written
//! ```
//!
//! Readers look at it twice for each read; a lock would make them write to memory that they share. It is a sequence lock
//! out of atomics alone (Boehm, "Can Seqlocks Get Along With Programming Language Memory Models?", 2012, §4).

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::sync::{Mutex, PoisonError};

use crate::replica::Lease;
use crate::types::{Generation, LogTime, Time};

/// How often a reader tries before it waits for the writer.
const TRIES: u32 = 32;
const WORDS: usize = 12;
const BOUND: u64 = 1;
const LEASED: u64 = 2;

/// What readers must know before and after they read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct View {
    /// Counted up whenever what was there before is gone or about to go, also when the next generation has the same
    /// name: what was read between two different lives is nothing.
    pub(super) life: u64,
    pub(super) generation: Option<Generation>,
    /// When this life was bound to its generation.
    pub(super) begun: Time,
    pub(super) lease: Option<Lease>,
}

#[derive(Debug, Default)]
pub(super) struct Gate {
    version: AtomicU64,
    words: [AtomicU64; WORDS],
    view: Mutex<View>,
}

impl Gate {
    pub(super) fn load(&self) -> View {
        self.look().0
    }

    /// What is to be seen, and a version by which [`Self::same_life`] knows whether it still is.
    pub(super) fn look(&self) -> (View, u64) {
        for _ in 0..TRIES {
            if let Some(seen) = self.attempt(|| ()) {
                return seen;
            }
            std::hint::spin_loop();
        }
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        (*view, self.version.load(Ordering::Relaxed))
    }

    /// It is still the life that [`Self::look`] gave with this version: in most cases one word says so instead of all.
    pub(super) fn same_life(&self, life: u64, version: u64) -> bool {
        self.unchanged_since(version) || self.load().life == life
    }

    /// Nothing has changed since [`Self::look`] gave this version.
    pub(super) fn unchanged_since(&self, version: u64) -> bool {
        fence(Ordering::Acquire);
        self.version.load(Ordering::Relaxed) == version
    }

    /// `None`: it was being written. `meanwhile` happens before that is judged; tests write then.
    fn attempt(&self, meanwhile: impl FnOnce()) -> Option<(View, u64)> {
        let before = self.version.load(Ordering::Acquire);
        let words = std::array::from_fn(|i| self.words[i].load(Ordering::Relaxed));
        meanwhile();
        let same = before.is_multiple_of(2) && self.unchanged_since(before);
        same.then(|| (View::from_words(&words), before))
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut View)) {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut view);
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        for (word, value) in self.words.iter().zip(view.to_words()) {
            word.store(value, Ordering::Relaxed);
        }
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }
}

impl View {
    fn to_words(self) -> [u64; WORDS] {
        let halves = |g: Generation| [(g.0 >> 64) as u64, g.0 as u64];
        let [high, low] = self.generation.map_or([0; 2], halves);
        let flags = if self.generation.is_some() { BOUND } else { 0 };
        let Some(lease) = self.lease else {
            return [flags, self.life, high, low, self.begun.0, 0, 0, 0, 0, 0, 0, 0];
        };
        let [lease_high, lease_low] = halves(lease.generation);
        let (end, log_time, log_time_at) = (lease.end.0, lease.log_time.0, lease.log_time_at.0);
        [
            flags | LEASED,
            self.life,
            high,
            low,
            self.begun.0,
            lease_high,
            lease_low,
            lease.term,
            lease.commit,
            end,
            log_time,
            log_time_at,
        ]
    }

    fn from_words(words: &[u64; WORDS]) -> Self {
        let [flags, life, high, low, begun, lease_high, lease_low, term, commit, end, log_time, log_time_at] =
            *words;
        let name = |high: u64, low: u64| Generation((u128::from(high) << 64) | u128::from(low));
        Self {
            life,
            generation: (flags & BOUND != 0).then(|| name(high, low)),
            begun: Time(begun),
            lease: (flags & LEASED != 0).then(|| Lease {
                generation: name(lease_high, lease_low),
                term,
                commit,
                end: Time(end),
                log_time: LogTime(log_time),
                log_time_at: Time(log_time_at),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn view(n: u64) -> View {
        let name = Generation(u128::from(n) << 64 | u128::from(n));
        let lease = Lease {
            generation: name,
            term: n,
            commit: n,
            end: Time(n),
            log_time: LogTime(n),
            log_time_at: Time(n),
        };
        View {
            life: n,
            generation: (!n.is_multiple_of(3)).then_some(name),
            begun: Time(n),
            lease: (!n.is_multiple_of(5)).then_some(lease),
        }
    }

    #[test]
    fn what_is_written_while_it_is_loaded_is_noticed() {
        let gate = Gate::default();
        gate.change(|v| *v = view(1));
        let (seen, version) = gate.look();
        assert_eq!((seen, gate.attempt(|| ())), (view(1), Some((view(1), version))));
        assert!(gate.unchanged_since(version));
        assert_eq!(gate.attempt(|| gate.change(|v| *v = view(2))), None);
        assert!(!gate.unchanged_since(version));
        assert!(!gate.same_life(1, version) && gate.same_life(2, version), "version or life");
        // A writer is in the middle of it.
        let (_, version) = gate.look();
        gate.version.fetch_add(1, Ordering::Relaxed);
        assert!(!gate.unchanged_since(version));
        assert_eq!(gate.attempt(|| ()), None);
        assert_eq!(gate.load(), view(2), "from behind the lock");
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "readers are on other threads")]
    fn a_reader_never_sees_half_of_a_change() {
        // Until the reader has seen so many changes; on a busy machine it hardly runs at the same time.
        const ENOUGH: u64 = 20_000;
        const MOST: u64 = 10_000_000;
        let (gate, stop, changes) = (Gate::default(), AtomicBool::new(false), AtomicU64::new(0));
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut last = 0;
                while !stop.load(Ordering::Relaxed) {
                    let seen = gate.load();
                    assert!(seen.life >= last, "it went back");
                    assert!(seen == view(seen.life) || seen == View::default(), "torn: {seen:?}");
                    changes.fetch_add(u64::from(seen.life != last), Ordering::Relaxed);
                    last = seen.life;
                }
            });
            let writing =
                |n: &u64| *n <= MOST && changes.load(Ordering::Relaxed) < ENOUGH && !reader.is_finished();
            let last = (1..).take_while(writing).inspect(|n| gate.change(|v| *v = view(*n))).last();
            stop.store(true, Ordering::Relaxed);
            assert!(reader.join().is_ok());
            assert_eq!(Some(gate.load()), last.map(view));
        });
    }
}
