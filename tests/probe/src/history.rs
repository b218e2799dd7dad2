//! What the probe was told, in a form that a test can judge.

use rauthy_client::Error;
use serde::{Deserialize, Serialize};

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It was answered.
    Ok,
    /// `NO_QUORUM`: nothing was written or read.
    NoQuorum,
    /// `SYNCING`: the node is still catching up.
    Syncing,
    /// `UNKNOWN_OUTCOME`: the write may or may not stand.
    Unknown,
    /// The agent was not reached.
    Unreachable,
    /// Anything else.
    Other,
}

impl From<&Error> for Outcome {
    fn from(error: &Error) -> Self {
        match error {
            Error::NoQuorum => Self::NoQuorum,
            Error::Syncing => Self::Syncing,
            Error::UnknownOutcome => Self::Unknown,
            Error::Unreachable { .. } => Self::Unreachable,
            _ => Self::Other,
        }
    }
}

/// The answer to one call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// How it ended.
    pub outcome: Outcome,
    /// The value that a read found; `None` with [`Outcome::Ok`] is a truthful miss.
    #[serde(default)]
    pub value: Option<String>,
    /// The version that was read or written.
    #[serde(default)]
    pub version: Option<u64>,
    /// The client's message.
    #[serde(default)]
    pub error: String,
}

impl Answer {
    /// The answer to a call that worked.
    #[must_use]
    pub fn ok(value: Option<String>, version: Option<u64>) -> Self {
        Self { outcome: Outcome::Ok, value, version, error: String::new() }
    }
}

impl From<Error> for Answer {
    fn from(error: Error) -> Self {
        Self { outcome: Outcome::from(&error), value: None, version: None, error: error.to_string() }
    }
}
