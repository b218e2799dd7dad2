//! The rule, and the variants of it that must break.

/// Whom the quarantine binds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quarantine {
    /// Whoever founds, promises or acks a first round.
    Everybody,
    /// Whoever founds.
    Founder,
    /// Nobody.
    Nobody,
}

/// The switches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Generations that may be alive at the same moment, at most [`crate::slots::MAX_GENERATIONS`].
    pub generations: usize,
    /// Whom the quarantine binds.
    pub quarantine: Quarantine,
    /// A restarted process is somebody else than the one before (rule 1).
    pub new_identity: bool,
    /// A quorum is one of the slots, not of the seats that were given away.
    pub quorum_of_slots: bool,
    /// Whoever is bound promises nothing any more.
    pub bound_for_life: bool,
    /// A first round is acked only where the promise still is.
    pub ack_where_promised: bool,
}

impl Rule {
    /// Rule 2 as the contract has it, two generations alive at once.
    #[must_use]
    pub fn as_written() -> Self {
        Self {
            generations: 2,
            quarantine: Quarantine::Everybody,
            new_identity: true,
            quorum_of_slots: true,
            bound_for_life: true,
            ack_where_promised: true,
        }
    }

    /// The rule with these switches turned.
    #[must_use]
    pub fn with(variants: &[Variant]) -> Self {
        variants.iter().fold(Self::as_written(), |rule, variant| variant.turn(rule))
    }
}

/// One switch, turned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Variant {
    /// Three generations alive at once.
    ThreeGenerations,
    /// A restarted process takes the seat and the vote of the one before.
    SameIdentity,
    /// A quorum of the seats that were given away.
    QuorumOfPresentSeats,
    /// No quarantine.
    NoQuarantine,
    /// A quarantine that binds the founder only.
    QuarantineOfFounderOnly,
    /// A promise may move after its giver is bound.
    PromiseMovesWhenBound,
    /// A first round is acked wherever a promise once went.
    AckAnywhere,
}

impl Variant {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ThreeGenerations,
        Self::SameIdentity,
        Self::QuorumOfPresentSeats,
        Self::NoQuarantine,
        Self::QuarantineOfFounderOnly,
        Self::PromiseMovesWhenBound,
        Self::AckAnywhere,
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::ThreeGenerations => "three-generations",
            Self::SameIdentity => "same-identity",
            Self::QuorumOfPresentSeats => "quorum-of-present-seats",
            Self::NoQuarantine => "no-quarantine",
            Self::QuarantineOfFounderOnly => "quarantine-of-founder-only",
            Self::PromiseMovesWhenBound => "promise-moves-when-bound",
            Self::AckAnywhere => "ack-anywhere",
        }
    }

    fn turn(self, mut rule: Rule) -> Rule {
        match self {
            Self::ThreeGenerations => rule.generations = 3,
            Self::SameIdentity => rule.new_identity = false,
            Self::QuorumOfPresentSeats => rule.quorum_of_slots = false,
            Self::NoQuarantine => rule.quarantine = Quarantine::Nobody,
            Self::QuarantineOfFounderOnly => rule.quarantine = Quarantine::Founder,
            Self::PromiseMovesWhenBound => rule.bound_for_life = false,
            Self::AckAnywhere => rule.ack_where_promised = false,
        }
        rule
    }
}
