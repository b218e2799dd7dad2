//! Who takes part, and how time and positions are counted.

use std::fmt;
use std::sync::Arc;

/// One entry of HA_HOSTS, named by its `host:port`, never by its position in the list.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(Arc<str>);

impl Slot {
    /// The slot of this `host:port`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// Its `host:port`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// 128 random bits that name one process life.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boot(pub u128);

impl fmt::Display for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", (self.0 >> 96) as u32)
    }
}

impl fmt::Debug for Boot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One process life in a slot, or the part of one after a wipe. Its memory is stable storage while it lives; a
/// restart or a wipe is the birth of a new one that has never voted for anything.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Incarnation {
    /// Where it lives.
    pub slot: Slot,
    /// Which life it is.
    pub boot: Boot,
}

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.slot, self.boot)
    }
}

impl fmt::Debug for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The random name of one life of the whole log. Compared for equality only: that generations are totally
/// ordered is a proven property, not a field.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u128);

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", (self.0 >> 96) as u32)
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A point on one node's own clock that also runs while the machine sleeps (CLOCK_BOOTTIME), in microseconds.
/// Two nodes' times are never compared.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Time(pub u64);

/// A length of time in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Span(pub u64);

/// A point on the log's own time, in microseconds since the generation was founded. No machine's clock value
/// enters it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct LogTime(pub u64);

/// Bound ρ on the rate error of any clock, in percent: every rate lies in [1−ρ, 1+ρ].
pub const RHO_PERCENT: u64 = 1;

impl Span {
    /// So many milliseconds.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1000)
    }

    /// So many of it.
    #[must_use]
    pub const fn times(self, n: u64) -> Self {
        Self(self.0 * n)
    }

    /// Whole milliseconds.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0 / 1000
    }

    /// The longest this span, measured on another clock, can last on this one: × (1+ρ)/(1−ρ), rounded up.
    #[must_use]
    pub const fn stretched(self) -> Self {
        Self((self.0 * (100 + RHO_PERCENT)).div_ceil(100 - RHO_PERCENT))
    }

    /// What of this span, measured on another clock, has surely passed there: × (1−ρ)/(1+ρ), rounded down.
    #[must_use]
    pub const fn shrunk(self) -> Self {
        Self(self.0 * (100 - RHO_PERCENT) / (100 + RHO_PERCENT))
    }
}

impl Time {
    /// How long ago `earlier` was; zero if it lies ahead.
    #[must_use]
    pub const fn since(self, earlier: Time) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Span> for Time {
    type Output = Time;
    fn add(self, span: Span) -> Time {
        Time(self.0.saturating_add(span.0))
    }
}

impl std::ops::Add<Span> for LogTime {
    type Output = LogTime;
    fn add(self, span: Span) -> LogTime {
        LogTime(self.0.saturating_add(span.0))
    }
}

/// Position of an entry in the log, from 1.
pub type Index = u64;
/// Number of a leadership within a generation, from 1.
pub type Term = u64;
/// Number of a host list, counted up by whoever writes them.
pub type Epoch = u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_whole() {
        assert_eq!([0, 999, 1000, 1999, 2_500_000].map(|us| Span(us).as_millis()), [0, 0, 1, 1, 2500]);
    }
}
