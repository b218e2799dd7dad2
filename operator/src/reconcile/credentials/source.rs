//! A certificate that somebody else made: in a user's Secret, or in cert-manager's. It is checked as the agents will, and
//! for every member that there can be, before anything is written.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;

use super::install::MOST;
use super::x509::{self, Authority, Leaf, accepted, authorities, field};
use crate::names::{Names, SLOTS};

/// A certificate that can be used, its key, and who vouches for it.
pub struct Source {
    /// Certificate and what stands between it and its authority, in PEM format.
    pub chain: String,
    /// Its key.
    pub key: String,
    /// What the certificate says.
    pub leaf: Leaf,
    /// Who vouches for it.
    pub authorities: Vec<Authority>,
}

/// Why one cannot be used; nothing of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// There is no such Secret.
    #[error("it does not exist")]
    Absent,
    /// A key of the Secret is not there.
    #[error("{0} is missing; it needs tls.crt, tls.key and ca.crt, in PEM format")]
    Missing(&'static str),
    /// A key of the Secret holds something else.
    #[error("{0} holds no {1} in PEM format")]
    Not(&'static str, &'static str),
    /// Too many authorities.
    #[error("ca.crt holds {0} certificates; {MOST} at most, and those alone that vouch for tls.crt")]
    Many(usize),
    /// Certificate and key are no pair.
    #[error("tls.crt and tls.key do not belong together")]
    Pair,
    /// It is over.
    #[error("tls.crt expired on {0}")]
    Expired(Timestamp),
    /// A member would not be accepted by this name.
    #[error(
        "tls.crt does not name {0}; it must name each of {1} as a DNS name, for a wildcard does not match them"
    )]
    Host(String, String),
    /// Agents would refuse it.
    #[error("agents would refuse tls.crt with the authorities in ca.crt: {0}")]
    Refused(String),
}

/// Hosts by which members and the operator dial.
fn needed(names: &Names) -> Vec<String> {
    (0..SLOTS).map(|ordinal| names.host(ordinal)).collect()
}

/// Reads and checks one.
///
/// # Errors
/// Why it cannot be used.
pub fn read(secret: Option<&Secret>, names: &Names, now: Timestamp) -> Result<Source, Unusable> {
    let secret = secret.ok_or(Unusable::Absent)?;
    let text = |key: &'static str| {
        field(secret, key).filter(|text| !text.trim().is_empty()).ok_or(Unusable::Missing(key))
    };
    let (chain, key, vouching) = (text("tls.crt")?, text("tls.key")?, text("ca.crt")?);
    let leaf = x509::leaf(chain).ok_or(Unusable::Not("tls.crt", "certificate"))?;
    if !key.contains("PRIVATE KEY-----") {
        return Err(Unusable::Not("tls.key", "private key"));
    }
    let vouching = authorities(vouching).filter(|all| !all.is_empty());
    let vouching = vouching.ok_or(Unusable::Not("ca.crt", "certificate"))?;
    if vouching.len() > MOST {
        return Err(Unusable::Many(vouching.len()));
    }
    if !x509::paired(chain, key) {
        return Err(Unusable::Pair);
    }
    if leaf.not_after <= now {
        return Err(Unusable::Expired(leaf.not_after));
    }
    let hosts = needed(names);
    if let Some(host) = hosts.iter().find(|host| !leaf.hosts.contains(*host)) {
        let range = format!("{} to {}", names.host(0), names.host(SLOTS - 1));
        return Err(Unusable::Host(host.clone(), range));
    }
    accepted(chain, &vouching, hosts.get(..1).unwrap_or_default(), now).map_err(Unusable::Refused)?;
    Ok(Source { chain: chain.to_owned(), key: key.to_owned(), leaf, authorities: vouching })
}
