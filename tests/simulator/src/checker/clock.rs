//! What the log's time can be at a moment of the world (rule 10).
//!
//! ```text
//! at least:  τ committed at w   ⇒  τ + (t − w)·(1−ρ)            whoever leads at t
//! at most:   τ appended at w by the leader of term T  ⇒  τ + (t − w)·(1+ρ)   while that leader's word counts
//! ```

use std::collections::BTreeMap;

use rauthy_core::{LogTime, Term};

/// The checker's own time lags behind the world's by no more than this: it is told at each use of the cache.
const LAG: u64 = 60_000;
/// A reader may take the log's time for later than it is by what can pass on the slowest and fastest clocks between the
/// moment that a leader's word is about and the end of a lease.
const EARLY: u64 = 1_100_000;

/// The log's time of one generation, as seen from outside.
#[derive(Debug, Default)]
pub struct LogClock {
    /// In hundredths: the greatest τ − (1−ρ)·w.
    behind: Option<i128>,
    /// By term: the last entry appended in it.
    appended: BTreeMap<Term, (LogTime, u64)>,
}

impl LogClock {
    /// An entry with this time is committed; it was appended before.
    pub fn committed(&mut self, time: LogTime, now: u64) {
        if now == 0 {
            return; // the world has not been used yet
        }
        let behind = i128::from(time.0) * 100 - i128::from(now + LAG) * 99;
        self.behind = self.behind.max(Some(behind));
    }

    /// The leader of this term appended an entry with this time.
    pub fn appended(&mut self, term: Term, time: LogTime, now: u64) {
        self.appended.insert(term, (time, now));
    }

    /// What it has surely reached at `at`.
    #[must_use]
    pub fn at_least(&self, at: u64) -> LogTime {
        let time = self.behind.map_or(0, |behind| (behind + i128::from(at) * 99) / 100);
        LogTime(u64::try_from(time).unwrap_or(0))
    }

    /// What a reader under a lease of this term cannot take it to have passed at `at`.
    #[must_use]
    pub fn at_most(&self, term: Term, at: u64) -> LogTime {
        let Some((time, since)) = self.appended.get(&term) else { return LogTime(u64::MAX) };
        let passed = at.saturating_sub(*since);
        LogTime(time.0 + passed + passed / 99 + EARLY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bounds_enclose_a_clock_that_runs_true() {
        let mut clock = LogClock::default();
        for second in 1..100 {
            let (time, now) = (LogTime(second * 1_000_000), 5_000_000 + second * 1_000_000);
            clock.appended(1, time, now);
            clock.committed(time, now);
            for later in [0, 40_000, 3_000_000] {
                let true_time = LogTime(time.0 + later);
                assert!(clock.at_least(now + later) <= true_time);
                assert!(clock.at_most(1, now + later) >= true_time);
            }
        }
        assert!(clock.at_least(104_000_000) > LogTime(98_900_000), "the bound is of no use");
        assert!(clock.at_most(1, 104_000_000) < LogTime(100_200_000), "the bound is of no use");
    }
}
