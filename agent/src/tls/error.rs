//! Why certificates cannot be used.

use std::path::PathBuf;

/// Why certificates cannot be used. Never holds anything of a private key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{name} points to {}: {why}", path.display())]
    Read {
        /// The variable.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A file does not hold what it should.
    #[error("{name} points to {}, which holds no {want} in PEM format", path.display())]
    Empty {
        /// The variable.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// What it should hold.
        want: &'static str,
    },
    /// The certificate and the key are not a pair, or not usable.
    #[error(
        "CACHE_TLS_{side}_CERT points to {} and CACHE_TLS_{side}_KEY to {}, which cannot be used together: {why}",
        cert.display(),
        key.display()
    )]
    Pair {
        /// SERVER or CLIENT, as in the names of the variables.
        side: &'static str,
        /// The chain.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
        /// Why.
        why: String,
    },
    /// The certificates of an authority cannot be used.
    #[error("{name} points to {}, which cannot be used: {why}", path.display())]
    Authority {
        /// The variable.
        name: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A host that no certificate can name.
    #[error("{0:?} is not a name that a certificate can hold")]
    Name(String),
}
