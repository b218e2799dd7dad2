//! Errors as gRPC statuses with a reason that a program can switch on, as `cache.proto` documents them. Pure.

use rauthy_client::{REASON, VERSION};
use rauthy_core::{Index, Limit, ReadRefusal, Refusal};
use rauthy_proto::cache as proto;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use super::operations::Outcome;

/// Why a call is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// No quorum.
    NoQuorum,
    /// Still catching up.
    Syncing,
    /// A limit is reached.
    Limit(Limit),
    /// Too many of these streams are open.
    Streams(&'static str),
    /// A field is wrong; says which, and what is allowed.
    Field(String),
    /// The ack level is not possible here.
    Level,
    /// The condition does not hold; the version that stands.
    Version(Option<Index>),
    /// No number is stored there.
    NotANumber,
    /// What the session has seen is gone.
    Gap,
    /// It may or may not stand.
    UnknownOutcome,
    /// This agent is about to stop.
    Stopping,
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
    pub(crate) fn of_read(refusal: ReadRefusal, learning: impl FnOnce() -> bool) -> Self {
        match refusal {
            ReadRefusal::NoLease if !learning() => Self::NoQuorum,
            ReadRefusal::NoLease | ReadRefusal::Syncing => Self::Syncing,
            ReadRefusal::Gap => Self::Gap,
        }
    }

    pub(crate) fn outcome(&self) -> Outcome {
        match self {
            Self::NoQuorum => Outcome::NoQuorum,
            Self::Syncing => Outcome::Syncing,
            Self::Limit(_) | Self::Streams(_) => Outcome::Limit,
            Self::Field(_) => Outcome::Field,
            Self::Level => Outcome::Level,
            Self::Version(_) => Outcome::Version,
            Self::NotANumber => Outcome::NotANumber,
            Self::Gap => Outcome::Gap,
            Self::UnknownOutcome => Outcome::UnknownOutcome,
            Self::Stopping => Outcome::Stopping,
        }
    }
}

/// Which limit is reached, and what to do.
pub(crate) fn limit(limit: Limit) -> &'static str {
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

impl Reason {
    /// gRPC code, name, and words for people.
    fn parts(self) -> (Code, &'static str, String) {
        match self {
            Self::NoQuorum => (
                Code::Unavailable,
                "NO_QUORUM",
                "this node has no quorum: nothing was written or read; try again in a moment".to_owned(),
            ),
            Self::Syncing => (
                Code::Unavailable,
                "SYNCING",
                "this member is still copying the data; ask again shortly, or another member".to_owned(),
            ),
            Self::Limit(which) => {
                (Code::ResourceExhausted, "LIMIT", format!("{}; nothing was written", limit(which)))
            }
            Self::Streams(what) => (
                Code::ResourceExhausted,
                "LIMIT",
                format!("too many {what} are open on this agent: close one, or share it"),
            ),
            Self::Field(problem) => (Code::InvalidArgument, "FIELD", problem),
            Self::Level => (
                Code::InvalidArgument,
                "LEVEL",
                "Direct is for plain writes to caches that are declared so, which have no All; what a write did is known \
                 at Quorum and All only: nothing was written"
                    .to_owned(),
            ),
            Self::Version(Some(version)) => (
                Code::FailedPrecondition,
                "VERSION",
                format!("the key's value is of version {version}: nothing was written"),
            ),
            Self::Version(None) => {
                (Code::FailedPrecondition, "VERSION", "the key is not there: nothing was written".to_owned())
            }
            Self::NotANumber => (
                Code::FailedPrecondition,
                "NOT_A_NUMBER",
                "what is stored is no decimal number of 64 bits, or the sum would not be: nothing was written"
                    .to_owned(),
            ),
            Self::Gap => (
                Code::FailedPrecondition,
                "GAP",
                "what this session has seen, or the writer of this request, is gone: the cache has begun anew; begin a \
                 new session, register anew"
                    .to_owned(),
            ),
            Self::UnknownOutcome => (
                Code::DeadlineExceeded,
                "UNKNOWN_OUTCOME",
                "the write may or may not stand; read the key, or write it again".to_owned(),
            ),
            Self::Stopping => (
                Code::Unavailable,
                "STOPPING",
                "this agent is about to stop: open the stream again in a moment; what was not answered was not begun"
                    .to_owned(),
            ),
        }
    }

    fn version(&self) -> Option<Index> {
        if let Self::Version(version) = self { *version } else { None }
    }
}

impl From<Reason> for Status {
    fn from(reason: Reason) -> Self {
        let version = reason.version();
        let (code, name, message) = reason.parts();
        let mut status = Status::new(code, message);
        status.metadata_mut().insert(REASON, MetadataValue::from_static(name));
        if let Some(version) = version {
            status.metadata_mut().insert(VERSION, MetadataValue::from(version));
        }
        status
    }
}

impl From<Reason> for proto::Failure {
    fn from(reason: Reason) -> Self {
        let version = reason.version();
        let (code, name, message) = reason.parts();
        // (A code is one of 17 small numbers.)
        let code = u32::try_from(i32::from(code)).unwrap_or_default();
        Self { code, reason: name.to_owned(), message, version }
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
