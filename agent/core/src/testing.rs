//! Switches that only tests turn: each [`Mutant`] leaves one rule of the protocol out, and the simulator must notice.
//!
//! Without the cargo feature `testing` there is nothing to turn, and every question is answered "no" at compile time.

/// A rule that is left out, or bent, as named in the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(not(feature = "testing"), allow(dead_code, reason = "nobody can choose one"))]
pub enum Mutant {
    /// 1: a restarted process has the name of the one before.
    SameIncarnation,
    /// 1: a seat is given away without a joint configuration.
    OneStepSwap,
    /// 1: a quorum is counted of the seats that are held, not of the slots.
    QuorumOfPresentSeats,
    /// 2: no quarantine after birth.
    NoQuarantine,
    /// 2: the quarantine binds the founder only.
    QuarantineOfFounderOnly,
    /// 5: a leader keeps its lease after it has asked another to campaign.
    LeaseKeptOverTransfer,
    /// 6: a leader is not bound by its own lease.
    LeaderNotBoundByLease,
    /// 6: a leader holds and grants leases before an entry of its own term is committed.
    LeaseBeforeNoop,
    /// 6: an ack promises nothing to the leader.
    PromiseIgnored,
    /// 7: the clock is read before the value.
    ValueAfterLeaseCheck,
    /// 2: a promise moves although its giver is bound.
    BoundPromiseMoves,
    /// 3a: under two lists a genesis needs the first one only.
    GenesisOfOneList,
    /// 3b: the newer list keeps a node out of the founder's own term only.
    FoundingTermOnly,
    /// 3c: a change of size needs no confirmations.
    SetSizeUnconfirmed,
    /// 3d: two lists are left by a majority of the new one alone.
    LeaveByNewMajority,
    /// 3c: a change of size is known by its slots, not by its number.
    SetSizeBySlots,
    /// 9: results are remembered in another shard than the key's.
    DedupApart,
    /// 11: a voter installs a snapshot.
    VoterInstallsSnapshot,
    /// 10: a node judges expiry by its own clock.
    ExpiryByLocalClock,
    /// All: only those seated now are waited for.
    AllCountsPresentSeats,
    /// 9: a request that was stamped in an older generation is applied.
    OlderGenerationApplied,
    /// 9: a repeated request is applied again.
    NoDedup,
}

#[cfg(feature = "testing")]
impl Mutant {
    /// Every one of them.
    pub const ALL: [Self; 22] = [
        Self::SameIncarnation,
        Self::OneStepSwap,
        Self::QuorumOfPresentSeats,
        Self::NoQuarantine,
        Self::QuarantineOfFounderOnly,
        Self::LeaseKeptOverTransfer,
        Self::LeaderNotBoundByLease,
        Self::LeaseBeforeNoop,
        Self::PromiseIgnored,
        Self::ValueAfterLeaseCheck,
        Self::BoundPromiseMoves,
        Self::GenesisOfOneList,
        Self::FoundingTermOnly,
        Self::SetSizeUnconfirmed,
        Self::LeaveByNewMajority,
        Self::SetSizeBySlots,
        Self::DedupApart,
        Self::VoterInstallsSnapshot,
        Self::ExpiryByLocalClock,
        Self::AllCountsPresentSeats,
        Self::OlderGenerationApplied,
        Self::NoDedup,
    ];
}

/// What only tests change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Testing {
    /// The rule that is left out.
    #[cfg(feature = "testing")]
    pub mutant: Option<Mutant>,
    /// Entries are committed but not applied: measures the log alone.
    #[cfg(feature = "testing")]
    pub no_store: bool,
}

impl Testing {
    /// Whether this rule is left out.
    #[cfg(feature = "testing")]
    pub(crate) fn lacks(self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Whether this rule is left out: never.
    #[cfg(not(feature = "testing"))]
    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) const fn lacks(self, _: Mutant) -> bool {
        false
    }

    /// Whether entries are not applied.
    #[cfg(feature = "testing")]
    pub(crate) const fn no_store(self) -> bool {
        self.no_store
    }

    /// Whether entries are not applied: never.
    #[cfg(not(feature = "testing"))]
    #[allow(clippy::unused_self, reason = "as with the feature")]
    pub(crate) const fn no_store(self) -> bool {
        false
    }
}
