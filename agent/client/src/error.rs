//! What can go wrong, and what to do about it.

use std::error::Error as StdError;

use tonic::{Code, ConnectError, Status};

/// Metadata key of the machine-readable reason of an error.
pub const REASON: &str = "rauthy-reason";

/// Metadata key of the version that stands where a condition does not hold.
pub const VERSION: &str = "rauthy-version";

/// Why a call has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The node has no quorum. A write with this answer was never appended: it does not stand.
    #[error("the node has no quorum, nothing was written or read; try again in a moment")]
    NoQuorum,
    /// The node is about to catch up.
    #[error("the node is still copying the data; try again in a moment, or ask another node")]
    Syncing,
    /// The write was sent and no answer came: it may or may not stand.
    #[error("the write may or may not stand; read the key before you decide, or write it again")]
    UnknownOutcome,
    /// A limit is reached, the message says which; nothing was written.
    #[error("a limit is reached, nothing was written: {0}")]
    Limit(String),
    /// The ack level is not possible: the cache is not declared for it, or it cannot say what is asked ([`Client::take`],
    /// [`Client::increment`] and conditions need Quorum or All). Nothing was written.
    ///
    /// [`Client::take`]: crate::Client::take
    /// [`Client::increment`]: crate::Client::increment
    #[error("the ack level is not possible here, nothing was written: {0}")]
    Level(String),
    /// The condition of a write does not hold; nothing was written.
    #[error("the condition does not hold, nothing was written; the version there is {version:?}")]
    Version {
        /// Version of the value that is there; `None`: there is none.
        version: Option<u64>,
    },
    /// What is stored is no decimal number of 64 bits, or the sum would not be; nothing was written.
    #[error("what is stored there is no number of 64 bits, or the sum would not be; nothing was written")]
    NotANumber,
    /// What this session has written or read is gone: the cache lost its quorum and began anew, empty. The session begins
    /// anew, too: the next read is answered.
    #[error("what this session has seen is gone, the cache has begun anew")]
    Gap,
    /// The request itself is wrong; the same request will never succeed.
    #[error("the request is not valid: {0}")]
    Invalid(String),
    /// The agent was not reached, or it did not answer a read in time. Nothing was written.
    #[error("the agent at {target} is not reached ({reason}); does it run, and is this its socket?")]
    Unreachable {
        /// Where it was looked for.
        target: String,
        /// What happened.
        reason: String,
    },
    /// Something that this version of the client does not know.
    #[error("the agent answered {code}: {message}")]
    Other {
        /// The gRPC code.
        code: String,
        /// What the agent said.
        message: String,
    },
}

/// What kind of call failed: it decides what a missing answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Read,
    Write,
}

/// Judges a failed call.
pub(crate) fn judge(target: &str, call: Call, status: &Status) -> Error {
    let unreachable = |reason: String| Error::Unreachable { target: target.to_owned(), reason };
    let reason = status.metadata().get(REASON).and_then(|r| r.to_str().ok());
    match reason {
        Some("NO_QUORUM") => return Error::NoQuorum,
        Some("SYNCING") => return Error::Syncing,
        Some("UNKNOWN_OUTCOME") => return Error::UnknownOutcome,
        Some("LIMIT") => return Error::Limit(status.message().to_owned()),
        Some("LEVEL") => return Error::Level(status.message().to_owned()),
        Some("VERSION") => {
            let version = status.metadata().get(VERSION).and_then(|v| v.to_str().ok()?.parse().ok());
            return Error::Version { version };
        }
        Some("NOT_A_NUMBER") => return Error::NotANumber,
        Some("GAP") => return Error::Gap,
        Some("FIELD") => return Error::Invalid(status.message().to_owned()),
        _ => {}
    }
    // The connection was never made: nothing was sent.
    if let Some(root) = connect_error(status) {
        return unreachable(root);
    }
    match (status.code(), call) {
        // Refused by the transport before the service saw it.
        (Code::OutOfRange, _) => Error::Invalid(status.message().to_owned()),
        (Code::Unimplemented, _) => Error::Other {
            code: "UNIMPLEMENTED".into(),
            message: format!("{target} does not serve the cache; is this the agent's socket?"),
        },
        (code @ (Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument), _) => {
            Error::Other { code: format!("{code:?}"), message: status.message().to_owned() }
        }
        // Sent, or perhaps sent, and no answer of the service itself.
        (_, Call::Write) => Error::UnknownOutcome,
        (Code::Cancelled | Code::DeadlineExceeded, Call::Read) => unreachable("no answer in time".into()),
        (Code::Unavailable | Code::Unknown | Code::Internal, Call::Read) => {
            unreachable(root_cause(status).unwrap_or_else(|| status.message().to_owned()))
        }
        (code, Call::Read) => {
            Error::Other { code: format!("{code:?}"), message: status.message().to_owned() }
        }
    }
}

fn connect_error(status: &Status) -> Option<String> {
    let mut source = status.source();
    while let Some(error) = source {
        if let Some(connect) = error.downcast_ref::<ConnectError>() {
            return Some(innermost(&*connect.0));
        }
        source = error.source();
    }
    None
}

fn root_cause(status: &Status) -> Option<String> {
    status.source().map(innermost)
}

fn innermost(error: &(dyn StdError + 'static)) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_reason(code: Code, reason: &'static str) -> Status {
        let mut status = Status::new(code, "words");
        status.metadata_mut().insert(REASON, tonic::metadata::MetadataValue::from_static(reason));
        status
    }

    #[test]
    fn the_reason_decides_before_the_code() {
        let mut version = with_reason(Code::FailedPrecondition, "VERSION");
        version.metadata_mut().insert(VERSION, tonic::metadata::MetadataValue::from_static("17"));
        let cases = [
            (with_reason(Code::Unavailable, "NO_QUORUM"), Error::NoQuorum),
            (with_reason(Code::Unavailable, "SYNCING"), Error::Syncing),
            (with_reason(Code::DeadlineExceeded, "UNKNOWN_OUTCOME"), Error::UnknownOutcome),
            (with_reason(Code::ResourceExhausted, "LIMIT"), Error::Limit("words".into())),
            (with_reason(Code::InvalidArgument, "FIELD"), Error::Invalid("words".into())),
            (with_reason(Code::InvalidArgument, "LEVEL"), Error::Level("words".into())),
            (with_reason(Code::FailedPrecondition, "NOT_A_NUMBER"), Error::NotANumber),
            (with_reason(Code::FailedPrecondition, "GAP"), Error::Gap),
            (with_reason(Code::FailedPrecondition, "VERSION"), Error::Version { version: None }),
            (version, Error::Version { version: Some(17) }),
        ];
        for (status, wanted) in cases {
            assert_eq!(judge("unix:///s", Call::Write, &status), wanted);
            assert_eq!(judge("unix:///s", Call::Read, &status), wanted);
        }
    }

    #[test]
    fn a_write_without_an_answer_is_never_called_failed() {
        for code in
            [Code::Cancelled, Code::DeadlineExceeded, Code::Unavailable, Code::Internal, Code::Unknown]
        {
            let status = Status::new(code, "broken pipe");
            assert_eq!(judge("unix:///s", Call::Write, &status), Error::UnknownOutcome, "{code:?}");
            let read = judge("unix:///s", Call::Read, &status);
            assert!(matches!(read, Error::Unreachable { .. }), "{code:?}: {read:?}");
        }
    }
}
