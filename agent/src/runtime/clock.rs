//! The clock of the core: it also runs while the machine sleeps, so that a lease ends in a suspended process too.

use rauthy_core::Time;
use rustix::time::{ClockId, clock_gettime};

/// CLOCK_BOOTTIME in microseconds.
#[must_use]
pub fn now() -> Time {
    let now = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(now.tv_nsec).unwrap_or(0);
    Time(seconds * 1_000_000 + nanos / 1000)
}
