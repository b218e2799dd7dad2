//! Errors as gRPC statuses with a reason that a program can switch on, as `cache.proto` documents them. Pure.

use rauthy_client::{REASON, VERSION};
use rauthy_core::{Index, Limit, ReadRefusal, Refusal};
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use super::operations::Outcome;

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    NoQuorum,
    Syncing,
    Limit(Limit),
    Field(String),
    Level,
    /// The condition does not hold; the version that stands.
    Version(Option<Index>),
    NotANumber,
    Gap,
    UnknownOutcome,
}

impl From<Refusal> for Reason {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            // The runtime asks again when a node turns out not to lead; what is left was never appended.
            Refusal::NoQuorum | Refusal::NotLeader => Self::NoQuorum,
            Refusal::UnknownOutcome => Self::UnknownOutcome,
            Refusal::Limit(limit) => Self::Limit(limit),
            Refusal::Level => Self::Level,
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
            ReadRefusal::Gap => Self::Gap,
        }
    }

    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::NoQuorum => Outcome::NoQuorum,
            Self::Syncing => Outcome::Syncing,
            Self::Limit(_) => Outcome::Limit,
            Self::Field(_) => Outcome::Field,
            Self::Level => Outcome::Level,
            Self::Version(_) => Outcome::Version,
            Self::NotANumber => Outcome::NotANumber,
            Self::Gap => Outcome::Gap,
            Self::UnknownOutcome => Outcome::UnknownOutcome,
        }
    }
}

/// Which limit is reached, and what to do.
fn limit(limit: Limit) -> &'static str {
    match limit {
        Limit::Store => {
            "the memory of the cache is full (CACHE_MAX_BYTES): remove something, or allow it more"
        }
        Limit::Cache => {
            "this cache holds what it was declared to: remove something, or declare that it evicts"
        }
        Limit::Pending => {
            "too much is written at a time, a quorum does not keep up: write it again in a moment"
        }
        Limit::Log => "a member is being brought up to date: write it again in a moment",
        Limit::Waiting => "too many writes of this member wait for an answer: write it again in a moment",
        Limit::Window => "an earlier write of this member waits for its answer: write it again in a moment",
        Limit::Sessions => "there are too many sessions: write it again in a minute",
        Limit::Dedup => {
            "too many answers are remembered in case they are asked again: write it again in a moment"
        }
        Limit::Size => "the value or the key is larger than any may be",
    }
}

impl From<Reason> for Status {
    fn from(reason: Reason) -> Self {
        let version = if let Reason::Version(Some(version)) = reason { Some(version) } else { None };
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
            Reason::Limit(which) => {
                (Code::ResourceExhausted, "LIMIT", format!("{}; nothing was written", limit(which)))
            }
            Reason::Field(problem) => (Code::InvalidArgument, "FIELD", problem),
            Reason::Level => (
                Code::InvalidArgument,
                "LEVEL",
                "Direct is for plain writes to caches that are declared so, which have no All; what a write did is known \
                 at Quorum and All only: nothing was written"
                    .to_owned(),
            ),
            Reason::Version(Some(version)) => (
                Code::FailedPrecondition,
                "VERSION",
                format!("the key's value is of version {version}: nothing was written"),
            ),
            Reason::Version(None) => {
                (Code::FailedPrecondition, "VERSION", "the key is not there: nothing was written".to_owned())
            }
            Reason::NotANumber => (
                Code::FailedPrecondition,
                "NOT_A_NUMBER",
                "what is stored is no decimal number of 64 bits, or the sum would not be: nothing was written"
                    .to_owned(),
            ),
            Reason::Gap => (
                Code::FailedPrecondition,
                "GAP",
                "what this session has seen is gone, the cache has begun anew: begin a new session".to_owned(),
            ),
            Reason::UnknownOutcome => (
                Code::DeadlineExceeded,
                "UNKNOWN_OUTCOME",
                "the write may or may not stand; read the key, or write it again".to_owned(),
            ),
        };
        let mut status = Status::new(code, message);
        status.metadata_mut().insert(REASON, MetadataValue::from_static(name));
        if let Some(version) = version {
            status.metadata_mut().insert(VERSION, MetadataValue::from(version));
        }
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
        assert_eq!(Reason::of_read(ReadRefusal::Gap, || false), Reason::Gap);
    }

    #[test]
    fn every_limit_has_words_of_its_own() {
        let all = [
            Limit::Store,
            Limit::Cache,
            Limit::Pending,
            Limit::Log,
            Limit::Waiting,
            Limit::Window,
            Limit::Sessions,
            Limit::Dedup,
            Limit::Size,
        ];
        let words: std::collections::BTreeSet<_> = all
            .into_iter()
            .map(|which| {
                let status = Status::from(Reason::from(Refusal::Limit(which)));
                assert_eq!(status.code(), Code::ResourceExhausted);
                assert!(status.message().ends_with("nothing was written"), "{}", status.message());
                status.message().to_owned()
            })
            .collect();
        assert_eq!(words.len(), all.len());
    }

    #[test]
    fn the_version_that_stands_is_told() {
        let status = Status::from(Reason::Version(Some(17)));
        let metadata = |key| status.metadata().get(key).unwrap().to_str().unwrap();
        assert_eq!((status.code(), metadata(REASON)), (Code::FailedPrecondition, "VERSION"));
        assert_eq!(metadata(VERSION), "17");
        assert!(!Status::from(Reason::Version(None)).metadata().contains_key(VERSION));
    }
}
