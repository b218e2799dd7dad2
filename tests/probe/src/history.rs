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

/// One write of the writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// When it was sent, in microseconds of this process.
    pub start_us: u64,
    /// When the answer came.
    pub end_us: u64,
    /// The key.
    pub key: String,
    /// The value: a number that grows with every write of this writer.
    pub value: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// The least value of each key that may be read once `history` is over: that of its last acknowledged write.
/// A write with an unknown outcome may stand or not, so a later value may be read as well.
#[must_use]
pub fn acknowledged(history: &[Operation]) -> std::collections::BTreeMap<String, u64> {
    let mut least = std::collections::BTreeMap::new();
    for op in history.iter().filter(|op| op.outcome == Outcome::Ok) {
        let value = least.entry(op.key.clone()).or_insert(op.value);
        *value = op.value.max(*value);
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(key: &str, value: u64, outcome: Outcome) -> Operation {
        Operation { start_us: 0, end_us: 0, key: key.into(), value, outcome }
    }

    #[test]
    fn only_acknowledged_writes_bind() {
        let history = [
            op("a", 1, Outcome::Ok),
            op("b", 2, Outcome::NoQuorum),
            op("a", 3, Outcome::Ok),
            op("a", 4, Outcome::Unknown),
        ];
        assert_eq!(acknowledged(&history).into_iter().collect::<Vec<_>>(), [("a".to_owned(), 3)]);
    }
}
