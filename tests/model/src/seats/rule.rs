//! The rule, and the variants of it that must break.

/// When a leader begins a change, or goes on with one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ready {
    /// An entry of its own term is committed, and with it the configuration that is to be replaced.
    OwnTermCommitted,
    /// The configuration that is to be replaced is committed, as it heard when it followed.
    KnownCommitted,
    /// The configuration is committed or was found in the log by the time of the election.
    FoundInLog,
    /// Always.
    Always,
}

/// The switches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// A seat is swapped by way of a configuration with both maps (rule 1).
    pub joint_swap: bool,
    /// The size is changed by way of a configuration with both lists (rule 4).
    pub joint_lists: bool,
    /// Two lists are left by both majorities (3d).
    pub left_by_both: bool,
    /// When a change begins or goes on (rule 1).
    pub ready: Ready,
    /// Only entries of the leader's own term are committed by counting acks (Raft thesis, 3.6.2).
    pub counts_own_term_only: bool,
}

impl Rule {
    /// Rules 1 and 4 as the contract has them.
    #[must_use]
    pub fn as_written() -> Self {
        Self {
            joint_swap: true,
            joint_lists: true,
            left_by_both: true,
            ready: Ready::OwnTermCommitted,
            counts_own_term_only: true,
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
    /// {A1,B,C} is followed by {A2,B,C}.
    OneStepSwap,
    /// One list is followed by the other.
    OneStepLists,
    /// Two lists are left by the majority of the new one, as in plain Raft.
    NewMajorityAlone,
    /// A change waits for the configuration that it replaces, not for an entry of the leader's own term.
    KnownCommitted,
    /// A change does not wait for an entry of the leader's own term: what the leader found, it takes for committed.
    BeforeOwnTerm,
    /// A change waits for nothing.
    BeforeCommitted,
    /// Entries of earlier terms are committed by counting acks.
    CountsOldTerms,
}

impl Variant {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::OneStepSwap,
        Self::OneStepLists,
        Self::NewMajorityAlone,
        Self::KnownCommitted,
        Self::BeforeOwnTerm,
        Self::BeforeCommitted,
        Self::CountsOldTerms,
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::OneStepSwap => "one-step-swap",
            Self::OneStepLists => "one-step-lists",
            Self::NewMajorityAlone => "new-majority-alone",
            Self::KnownCommitted => "known-committed",
            Self::BeforeOwnTerm => "before-own-term",
            Self::BeforeCommitted => "before-committed",
            Self::CountsOldTerms => "counts-old-terms",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| variant.word() == word)
    }

    fn turn(self, mut rule: Rule) -> Rule {
        match self {
            Self::OneStepSwap => rule.joint_swap = false,
            Self::OneStepLists => rule.joint_lists = false,
            Self::NewMajorityAlone => rule.left_by_both = false,
            Self::KnownCommitted => rule.ready = Ready::KnownCommitted,
            Self::BeforeOwnTerm => rule.ready = Ready::FoundInLog,
            Self::BeforeCommitted => rule.ready = Ready::Always,
            Self::CountsOldTerms => rule.counts_own_term_only = false,
        }
        rule
    }
}
