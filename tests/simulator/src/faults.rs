//! What goes wrong, and when.

use crate::random::Random;

/// One fault.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// A process dies; what it sent is still on its way.
    Crash(usize),
    /// Whoever leads dies, for so many milliseconds.
    CrashLeader(u64),
    /// Somebody who does not lead dies, for so many milliseconds.
    CrashFollower(u64),
    /// A majority of the slots dies at once.
    CrashMajority,
    /// A process stops for so long, and goes on.
    Freeze(usize, u64),
    /// One slot is cut off, both ways.
    Isolate(usize),
    /// Two groups do not hear each other.
    Split(u64),
    /// One direction of one link is cut.
    OneWay(usize, usize),
    /// One slot is the only link between two groups.
    Bridge(usize),
    /// Loss, doubles and long delays everywhere.
    Storm,
    /// One slot's messages take this much longer.
    Slow(usize, u64),
    /// A process is told to hand over.
    HandOver(usize),
    /// A stream breaks, and is there again at once.
    LinkLost(usize, usize),
    /// Some messages are held for seconds.
    Held,
    /// Snapshots do not pass.
    NoBulk,
    /// Somebody wants this many replicas.
    Resize(usize),
    /// Nothing reaches this slot until it asks for an election; what it says is heard.
    Deaf(usize),
    /// The clocks of a process jump apart.
    ClockJump(usize),
    /// All processes restart one after the other, each when the one before is ready.
    Rolling,
}

/// Names of the kinds, for reports.
pub const KINDS: [&str; 17] = [
    "crash",
    "crash-majority",
    "freeze",
    "isolate",
    "split",
    "one-way",
    "bridge",
    "storm",
    "slow",
    "hand-over",
    "link-lost",
    "rolling",
    "held",
    "no-bulk",
    "resize",
    "clock-jump",
    "deaf",
];

impl Fault {
    /// Its place in [`KINDS`].
    #[must_use]
    pub fn kind(&self) -> usize {
        match self {
            Self::Crash(_) | Self::CrashLeader(_) | Self::CrashFollower(_) => 0,
            Self::CrashMajority => 1,
            Self::Freeze(..) => 2,
            Self::Isolate(_) => 3,
            Self::Split(_) => 4,
            Self::OneWay(..) => 5,
            Self::Bridge(_) => 6,
            Self::Storm => 7,
            Self::Slow(..) => 8,
            Self::HandOver(_) => 9,
            Self::LinkLost(..) => 10,
            Self::Rolling => 11,
            Self::Held => 12,
            Self::NoBulk => 13,
            Self::Resize(_) => 14,
            Self::ClockJump(_) => 15,
            Self::Deaf(_) => 16,
        }
    }

    /// A random one for a world of `n` slots, whose size may change.
    pub fn any(n: usize, resizes: bool, random: &mut Random) -> Self {
        if resizes && random.chance(250) {
            return Self::Resize(random.between(1, 8) as usize);
        }
        let slot = random.pick(n);
        let long = if random.chance(200) { 15_000_000 } else { 3_000_000 };
        let other = (slot + 1 + random.pick(n.max(2) - 1)) % n;
        match random.between(0, 100) {
            0..20 => Self::Crash(slot),
            20..23 => Self::CrashMajority,
            23..38 => Self::Freeze(slot, random.between(100_000, long)),
            38..48 => Self::Isolate(slot),
            48..56 => Self::Split(random.bits()),
            56..66 => Self::OneWay(slot, other),
            66..70 => Self::Bridge(slot),
            70..78 => Self::Storm,
            81..83 => Self::Deaf(slot),
            78..81 => Self::Slow(slot, random.between(20_000, 800_000)),
            83..91 => Self::HandOver(slot),
            91..92 => Self::LinkLost(slot, other),
            92 => Self::ClockJump(slot),
            93..95 => Self::Held,
            95 => Self::NoBulk,
            _ => Self::Rolling,
        }
    }
}
