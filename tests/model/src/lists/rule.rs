//! The rule, and the variants of it that must break.
//!
//! A [`Rule`] is a set of switches; the rule as written is [`Rule::as_written`]. A [`Variant`] turns one of them.

/// How a command of the operator finds the configuration that it is meant for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Matching {
    /// By the same lists and exactly the number before its own.
    Number,
    /// By the same lists and any lower number.
    LowerNumber,
    /// By the same lists.
    Slots,
}

/// What an incarnation asks before it acks in a generation that was founded under an older list than its own (3b).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EpochCheck {
    /// Nothing may be acked before it is known that something was committed.
    UntilCommitted,
    /// Nothing may be acked in the founder's term; later terms are not looked at.
    FirstTerm,
    /// Nothing is asked.
    Never,
}

/// The switches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Generations that may be alive at the same moment, at most [`crate::slots::MAX_GENERATIONS`].
    pub generations: usize,
    /// A promise is given to one founder at a time and moves to later ones only. Without it a promise binds nothing,
    /// which allows more: what binds is the ack.
    pub exclusive_promises: bool,
    /// A promise-giver refuses a founder with an older list.
    pub promise_check: bool,
    /// Rule 3b.
    pub epoch_check: EpochCheck,
    /// `SetSize` needs a majority of the present slots that confirm its number (3c).
    pub confirmations: bool,
    /// The same for the `SetSize` that ends a change taken back.
    pub take_back_confirmations: bool,
    /// Genesis under two lists founds a configuration of both (3a).
    pub joint_genesis: bool,
    /// Its promises and its first round need a majority of the second list too.
    pub joint_first_round: bool,
    /// Two lists are left by both majorities (3d), not by that of the list that remains.
    pub left_by_both: bool,
    /// The list after a change is written only after `SetSize` was seen committed (3e).
    pub waits_for_set_size: bool,
    /// A change is announced only after the one before it, if taken back, was seen taken back by a generation.
    pub waits_for_take_back: bool,
    /// A generation that never saw the change taken back is given the number of the new list by an entry.
    pub renumbering: bool,
    /// The same from any lower number, not only from the one before the change taken back.
    pub renumbers_from_any: bool,
    /// A generation takes the number of a change taken back from any lower one with the same first list, whatever
    /// changes it missed, also one of two lists.
    pub catches_up: bool,
    /// How commands find their configuration (3c).
    pub matching: Matching,
    /// A change may be taken back although its `SetSize` was sent.
    pub takes_back_what_commits: bool,
    /// A configuration of two lists made by genesis is left for the second without any `SetSize`, as one made by
    /// `SetSize` may be.
    pub completes_by_itself: bool,
}

impl Rule {
    /// Rule 3 as the contract has it, two generations alive at once.
    #[must_use]
    pub fn as_written() -> Self {
        Self {
            generations: 2,
            exclusive_promises: false,
            promise_check: true,
            epoch_check: EpochCheck::UntilCommitted,
            confirmations: true,
            take_back_confirmations: true,
            joint_genesis: true,
            joint_first_round: true,
            left_by_both: true,
            waits_for_set_size: true,
            waits_for_take_back: true,
            renumbering: true,
            renumbers_from_any: false,
            catches_up: false,
            matching: Matching::Number,
            takes_back_what_commits: false,
            completes_by_itself: false,
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
    /// Promises are exclusive.
    ExclusivePromises,
    /// Promise-givers do not compare epochs.
    NoPromiseCheck,
    /// 3b in the founding term only.
    FoundingTermOnly,
    /// No 3b at all.
    NoEpochCheck,
    /// `SetSize` without confirmations.
    Unconfirmed,
    /// The `SetSize` that ends a change taken back, without confirmations.
    TakeBackUnconfirmed,
    /// Under two lists a generation of one list is founded.
    GenesisOfOneList,
    /// A generation of two lists is founded with promises and first acks of the first list only.
    FirstRoundOfOneList,
    /// Two lists are left by the majority of the one that remains.
    NewMajorityAlone,
    /// The list after a change is written without waiting for `SetSize`.
    WrittenTooEarly,
    /// After a change taken back, the next is announced without waiting.
    NoWaitAfterTakeBack,
    /// No generation is given a new number without a change of lists.
    NoRenumbering,
    /// A generation of one list is given the number of a change taken back from any lower one. So does the core.
    RenumbersFromAny,
    /// A generation may take the number of a change taken back from any lower one, also by leaving two lists.
    CatchesUp,
    /// Commands look at lists, and at numbers only not to go back.
    LowerNumber,
    /// Commands look at lists only.
    SlotsOnly,
    /// A change is taken back although its `SetSize` was sent.
    TakesBackWhatCommits,
    /// Two lists made by genesis are left for the second without a `SetSize`.
    CompletesByItself,
}

impl Variant {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::ThreeGenerations,
        Self::ExclusivePromises,
        Self::NoPromiseCheck,
        Self::FoundingTermOnly,
        Self::NoEpochCheck,
        Self::Unconfirmed,
        Self::TakeBackUnconfirmed,
        Self::GenesisOfOneList,
        Self::FirstRoundOfOneList,
        Self::NewMajorityAlone,
        Self::WrittenTooEarly,
        Self::NoWaitAfterTakeBack,
        Self::NoRenumbering,
        Self::RenumbersFromAny,
        Self::CatchesUp,
        Self::LowerNumber,
        Self::SlotsOnly,
        Self::TakesBackWhatCommits,
        Self::CompletesByItself,
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::ThreeGenerations => "three-generations",
            Self::ExclusivePromises => "exclusive-promises",
            Self::NoPromiseCheck => "no-promise-check",
            Self::FoundingTermOnly => "founding-term-only",
            Self::NoEpochCheck => "no-epoch-check",
            Self::Unconfirmed => "unconfirmed",
            Self::TakeBackUnconfirmed => "take-back-unconfirmed",
            Self::GenesisOfOneList => "genesis-of-one-list",
            Self::FirstRoundOfOneList => "first-round-of-one-list",
            Self::NewMajorityAlone => "new-majority-alone",
            Self::WrittenTooEarly => "written-too-early",
            Self::NoWaitAfterTakeBack => "no-wait-after-take-back",
            Self::NoRenumbering => "no-renumbering",
            Self::RenumbersFromAny => "renumbers-from-any",
            Self::CatchesUp => "catches-up",
            Self::LowerNumber => "lower-number",
            Self::SlotsOnly => "slots-only",
            Self::TakesBackWhatCommits => "takes-back-what-commits",
            Self::CompletesByItself => "completes-by-itself",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variant| variant.word() == word)
    }

    fn turn(self, mut rule: Rule) -> Rule {
        match self {
            Self::ThreeGenerations => rule.generations = 3,
            Self::ExclusivePromises => rule.exclusive_promises = true,
            Self::NoPromiseCheck => rule.promise_check = false,
            Self::FoundingTermOnly => rule.epoch_check = EpochCheck::FirstTerm,
            Self::NoEpochCheck => rule.epoch_check = EpochCheck::Never,
            Self::Unconfirmed => rule.confirmations = false,
            Self::TakeBackUnconfirmed => rule.take_back_confirmations = false,
            Self::GenesisOfOneList => rule.joint_genesis = false,
            Self::FirstRoundOfOneList => rule.joint_first_round = false,
            Self::NewMajorityAlone => rule.left_by_both = false,
            Self::WrittenTooEarly => rule.waits_for_set_size = false,
            Self::NoWaitAfterTakeBack => rule.waits_for_take_back = false,
            Self::NoRenumbering => rule.renumbering = false,
            Self::RenumbersFromAny => rule.renumbers_from_any = true,
            Self::CatchesUp => rule.catches_up = true,
            Self::LowerNumber => rule.matching = Matching::LowerNumber,
            Self::SlotsOnly => rule.matching = Matching::Slots,
            Self::TakesBackWhatCommits => rule.takes_back_what_commits = true,
            Self::CompletesByItself => rule.completes_by_itself = true,
        }
        rule
    }
}
