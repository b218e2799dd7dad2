//! The clock of the core: it also runs while the machine sleeps, so that a lease ends in a suspended process too.

use rauthy_core::{Span, Time};
use rustix::time::{ClockId, clock_gettime};

/// Wall clock and boot clock that differ by so much more than before have jumped apart: a suspended or migrated
/// machine, or somebody who set the time.
const JUMP: Span = Span::from_millis(100);
/// Two clocks that were not read within this time cannot be compared.
const AT_ONCE: Span = Span::from_millis(10);

/// CLOCK_BOOTTIME in microseconds.
#[must_use]
pub fn now() -> Time {
    Time(micros(ClockId::Boottime))
}

fn micros(clock: ClockId) -> u64 {
    let now = clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    seconds * 1_000_000 + nanos / 1000
}

/// Compares the wall clock with the boot clock (rule 7).
#[derive(Debug, Default)]
pub(super) struct Comparison(Option<i128>);

impl Comparison {
    /// What the boot clock says, and whether they have jumped apart since the last call.
    pub fn look(&mut self) -> (Time, bool) {
        let before = now();
        let wall = micros(ClockId::Realtime);
        let after = now();
        (after, after.since(before) < AT_ONCE && self.differs(wall, after))
    }

    fn differs(&mut self, wall: u64, boot: Time) -> bool {
        let difference = i128::from(wall) - i128::from(boot.0);
        let last = self.0.replace(difference).unwrap_or(difference);
        last.abs_diff(difference) > u128::from(JUMP.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_is_seen_once_and_in_both_directions() {
        let mut clocks = Comparison::default();
        let steps = [
            (5_000_000, 1_000_000, false), // the first one says nothing
            (6_050_000, 2_000_000, false), // 50 ms: adjusted
            (7_110_000, 3_000_000, false), // 60 ms more
            (8_211_000, 4_000_000, true),  // 101 ms: set
            (9_211_000, 5_000_000, false),
            (9_211_000, 6_000_000, true), // back
            (0, 7_000_000, true),
            (1_000_000, 8_000_000, false),
        ];
        for (wall, boot, jumped) in steps {
            assert_eq!(clocks.differs(wall, Time(boot)), jumped, "wall {wall}, boot {boot}");
        }
    }
}
