//! What can go wrong, and what to do about it.

use std::error::Error as StdError;

use rauthy_proto::cache as proto;
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
    /// The write was sent and no answer came in time: it may or may not stand. The client has asked again under the
    /// same request id until its deadline (see [`Client::without_retries`]).
    ///
    /// [`Client::without_retries`]: crate::Client::without_retries
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
    /// What is stored is no value of this type, or this type cannot be stored.
    #[error("no value of type {of}: {what}")]
    Codec {
        /// The type.
        of: &'static str,
        /// What is wrong; never a part of the value.
        what: String,
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

/// Whether a call is worth another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// It would end the same way.
    Never,
    /// It was not done, and may be soon.
    NotDone,
    /// It was sent and not answered: it was done or not.
    Perhaps,
    /// The agent says that it does not know whether it was done.
    Unknown,
    /// The writer is not known any more.
    Register,
}

/// One try that failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub error: Error,
    pub again: Again,
}

/// Judges a failed try.
pub(crate) fn failed(target: &str, call: Call, status: &Status) -> Failed {
    let metadata = |key| status.metadata().get(key).and_then(|value| value.to_str().ok());
    let reason = metadata(REASON).unwrap_or_default();
    let version = metadata(VERSION).and_then(|version| version.parse().ok());
    if let Some(failed) = by_reason(target, call, reason, status.message(), version) {
        return failed;
    }
    let error = without_reason(target, call, status);
    let again = match (&error, call) {
        (Error::Unreachable { .. }, _) => Again::NotDone,
        (Error::UnknownOutcome, _) => Again::Perhaps,
        _ => Again::Never,
    };
    Failed { error, again }
}

/// The same for one that failed inside a stream.
pub(crate) fn refused(target: &str, call: Call, failure: proto::Failure) -> Failed {
    let proto::Failure { code, reason, message, version } = failure;
    by_reason(target, call, &reason, &message, version).unwrap_or_else(|| {
        let code = Code::from(i32::try_from(code).unwrap_or(-1));
        failed(target, call, &Status::new(code, message))
    })
}

fn by_reason(target: &str, call: Call, reason: &str, message: &str, version: Option<u64>) -> Option<Failed> {
    let words = || message.to_owned();
    let (error, again) = match (reason, call) {
        ("NO_QUORUM", _) => (Error::NoQuorum, Again::NotDone),
        ("SYNCING", _) => (Error::Syncing, Again::NotDone),
        ("STOPPING", _) => {
            let reason = "it is about to stop".to_owned();
            (Error::Unreachable { target: target.to_owned(), reason }, Again::NotDone)
        }
        ("UNKNOWN_OUTCOME", _) => (Error::UnknownOutcome, Again::Unknown),
        ("LIMIT", _) => (Error::Limit(words()), Again::Never),
        ("LEVEL", _) => (Error::Level(words()), Again::Never),
        ("VERSION", _) => (Error::Version { version }, Again::Never),
        ("NOT_A_NUMBER", _) => (Error::NotANumber, Again::Never),
        ("GAP", Call::Read) => (Error::Gap, Again::Never),
        ("GAP", Call::Write) => (Error::Gap, Again::Register),
        ("FIELD", _) => (Error::Invalid(words()), Again::Never),
        _ => return None,
    };
    Some(Failed { error, again })
}

impl Error {
    /// An answer to something else.
    pub(crate) fn unexpected() -> Self {
        let message = "an answer to another call; are client and agent of the same version?";
        Self::Other { code: "OK".into(), message: message.into() }
    }
}

/// What the transport made of it: the service itself always gives a reason.
fn without_reason(target: &str, call: Call, status: &Status) -> Error {
    let unreachable = |reason: String| Error::Unreachable { target: target.to_owned(), reason };
    if let Some(root) = never_sent(status) {
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

/// Why nothing was sent: the connection was never made, or ended while the request waited to be written.
fn never_sent(status: &Status) -> Option<String> {
    let mut source = status.source();
    while let Some(error) = source {
        if let Some(connect) = error.downcast_ref::<ConnectError>() {
            return Some(innermost(&*connect.0));
        }
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled) {
            return Some(innermost(error));
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
            assert_eq!(failed("unix:///s", Call::Write, &status).error, wanted);
            assert_eq!(failed("unix:///s", Call::Read, &status).error, wanted);
        }
    }

    #[test]
    fn a_write_without_an_answer_is_never_called_failed() {
        for code in
            [Code::Cancelled, Code::DeadlineExceeded, Code::Unavailable, Code::Internal, Code::Unknown]
        {
            let status = Status::new(code, "broken pipe");
            assert_eq!(failed("unix:///s", Call::Write, &status).error, Error::UnknownOutcome, "{code:?}");
            let read = failed("unix:///s", Call::Read, &status).error;
            assert!(matches!(read, Error::Unreachable { .. }), "{code:?}: {read:?}");
        }
    }
}
