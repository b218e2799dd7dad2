//! What can be wrong with the environment. Each message names the variable, what was read and what is allowed, in
//! one line; what a secret holds is never part of it.

use std::path::PathBuf;

/// A value that this agent cannot start with; the process ends with exit code 78 (EX_CONFIG).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Something is needed and was not given.
    #[error("{name} is not set: {want}")]
    Missing {
        /// The variable.
        name: &'static str,
        /// What to set it to.
        want: &'static str,
    },
    /// A value that means nothing.
    #[error("{name} is {read:?}: {want}")]
    Invalid {
        /// The variable.
        name: &'static str,
        /// What it holds.
        read: String,
        /// What is allowed.
        want: String,
    },
    /// A secret that will not do; it is not repeated here.
    #[error("{name} holds a value that cannot be used (not shown, it is secret): {want}")]
    Secret {
        /// The variable.
        name: &'static str,
        /// What is allowed.
        want: String,
    },
    /// A file that cannot be read, or makes no sense.
    #[error("{name} points to {:?}: {why}", excerpt(&path.to_string_lossy()))]
    File {
        /// The variable.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// This host is not in the list.
    #[error(
        "this host is {:?}, which is none of the members in {name} ({}): set HOSTNAME_OVERWRITE to the first label, \
         the host or the host:port of one of them",
        excerpt(me),
        seen.join(", ")
    )]
    NotAMember {
        /// The variable with the list.
        name: &'static str,
        /// Who this host thinks it is.
        me: String,
        /// The members.
        seen: Vec<String>,
    },
    /// This host is more than one entry of the list.
    #[error(
        "this host is {:?}, which fits more than one member in {name} ({}): set HOSTNAME_OVERWRITE to the host:port \
         of one of them",
        excerpt(me),
        seen.join(", ")
    )]
    Ambiguous {
        /// The variable with the list.
        name: &'static str,
        /// Who this host thinks it is.
        me: String,
        /// The members that fit.
        seen: Vec<String>,
    },
}

/// Enough of a wrong value to recognise it; a message stays short, whatever was set.
pub(super) fn excerpt(text: &str) -> String {
    const MOST: usize = 120;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
