//! The core's refusals in the words of the client.

use rauthy_client::Error;

use crate::serve::reason::{Reason, limit};

impl From<Reason> for Error {
    fn from(reason: Reason) -> Self {
        match reason {
            // Only servers say that they stop, and nothing was begun.
            Reason::NoQuorum | Reason::Stopping => Self::NoQuorum,
            Reason::Streams(what) => Self::Limit(format!("too many {what} are open")),
            Reason::Syncing => Self::Syncing,
            Reason::Limit(which) => Self::Limit(limit(which).to_owned()),
            Reason::Field(problem) => Self::Invalid(problem),
            Reason::Level => Self::Level(
                "Direct is for plain writes to caches that are declared so, which have no All; what a write did is known \
                 at Quorum and All only"
                    .to_owned(),
            ),
            Reason::Version(version) => Self::Version { version },
            Reason::NotANumber => Self::NotANumber,
            Reason::Gap => Self::Gap,
            Reason::UnknownOutcome => Self::UnknownOutcome,
        }
    }
}
