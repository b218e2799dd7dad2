//! Errors as gRPC statuses with a reason that a program can switch on, as `cache.proto` documents them. Pure.

use rauthy_client::REASON;
use rauthy_core::{ReadRefusal, Refusal};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use super::operations::Outcome;

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    NoQuorum,
    Syncing,
    Limit,
    Field(String),
    UnknownOutcome,
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            // The runtime asks again when a node turns out not to lead; what is left was never appended.
            Refusal::NoQuorum | Refusal::NotLeader => Self::NoQuorum,
            Refusal::UnknownOutcome => Self::UnknownOutcome,
            Refusal::Limit => Self::Limit,
        }
    }
}

impl Reason {
    /// Why a read is not answered. A member that is being brought up to date has no lease either, but not for want of a
    /// quorum.
    pub(super) fn of_read(refusal: ReadRefusal, learning: impl FnOnce() -> bool) -> Self {
        match refusal {
            ReadRefusal::NoLease if !learning() => Self::NoQuorum,
            ReadRefusal::NoLease | ReadRefusal::Syncing => Self::Syncing,
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::NoQuorum => Outcome::NoQuorum,
            Self::Syncing => Outcome::Syncing,
            Self::Limit => Outcome::Limit,
            Self::Field(_) => Outcome::Field,
            Self::UnknownOutcome => Outcome::UnknownOutcome,
        }
    }
}

impl From<Reason> for Status {
    fn from(reason: Reason) -> Self {
        let (code, name, message) = match reason {
            Reason::NoQuorum => (
                Code::Unavailable,
                "NO_QUORUM",
                "this node has no quorum: nothing was written or read; try again in a moment".to_owned(),
            ),
            Reason::Syncing => (
                Code::Unavailable,
                "SYNCING",
                "this member is still copying the data; ask again shortly, or another member".to_owned(),
            ),
            Reason::Limit => (
                Code::ResourceExhausted,
                "LIMIT",
                "the cache is full or too many writes are under way: nothing was written".to_owned(),
            ),
            Reason::Field(problem) => (Code::InvalidArgument, "FIELD", problem),
            Reason::UnknownOutcome => (
                Code::DeadlineExceeded,
                "UNKNOWN_OUTCOME",
                "the write may or may not stand; read the key, or write it again".to_owned(),
            ),
        };
        let mut status = Status::new(code, message);
        status.metadata_mut().insert(REASON, MetadataValue::from_static(name));
        status
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_without_a_lease_is_told_why() {
        assert_eq!(Reason::of_read(ReadRefusal::NoLease, || false), Reason::NoQuorum);
        assert_eq!(Reason::of_read(ReadRefusal::NoLease, || true), Reason::Syncing);
        assert_eq!(Reason::of_read(ReadRefusal::Syncing, || false), Reason::Syncing);
    }
}
