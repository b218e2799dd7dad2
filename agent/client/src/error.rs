//! What can go wrong, and what to do about it.

use std::error::Error as StdError;

use tonic::{Code, ConnectError, Status};

/// Metadata key of the machine-readable reason of an error.
pub const REASON: &str = "rauthy-reason";

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
    /// A limit of the node is reached; nothing was written.
    #[error("a limit is reached, nothing was written: {0}")]
    Limit(String),
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
        let cases = [
            (with_reason(Code::Unavailable, "NO_QUORUM"), Error::NoQuorum),
            (with_reason(Code::Unavailable, "SYNCING"), Error::Syncing),
            (with_reason(Code::DeadlineExceeded, "UNKNOWN_OUTCOME"), Error::UnknownOutcome),
            (with_reason(Code::ResourceExhausted, "LIMIT"), Error::Limit("words".into())),
            (with_reason(Code::InvalidArgument, "FIELD"), Error::Invalid("words".into())),
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
