//! The token that the members share. Made once and never again.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;

use super::{BuildError, metadata};
use crate::names::TOKEN_KEY;
use crate::reconcile::validate::Validated;

/// Length of a generated token, in characters: 48 × log2(62) = 285 bits.
pub const LENGTH: usize = 48;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// A Secret with a new token, to be created only; none where there is a token.
///
/// # Errors
/// The system gives no random numbers.
pub fn build(cluster: &Validated) -> Result<Option<Secret>, BuildError> {
    if cluster.token.is_some() {
        return Ok(None);
    }
    let data = BTreeMap::from([(TOKEN_KEY.to_owned(), ByteString(token()?))]);
    Ok(Some(Secret {
        metadata: metadata(cluster, cluster.token_secret.clone()),
        type_: Some("Opaque".to_owned()),
        data: Some(data),
        ..Secret::default()
    }))
}

/// Random characters, each as likely as any other: bytes that would favour some are thrown away.
fn token() -> Result<Vec<u8>, BuildError> {
    let fair = u8::MAX - (u8::MAX % 62) - 1;
    let mut token = Vec::with_capacity(LENGTH);
    let mut random = [0_u8; 64];
    while token.len() < LENGTH {
        getrandom::fill(&mut random).map_err(|error| BuildError::Random(error.to_string()))?;
        let fitting = random.iter().filter(|byte| **byte <= fair);
        token.extend(fitting.map(|byte| ALPHABET[usize::from(byte % 62)]).take(LENGTH - token.len()));
    }
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_alphanumeric_and_differ() {
        let tokens: Vec<_> = (0..50).map(|_| token().unwrap()).collect();
        assert!(tokens.iter().all(|t| t.len() == 48 && t.iter().all(u8::is_ascii_alphanumeric)));
        assert!(tokens.iter().all(|t| tokens.iter().filter(|o| *o == t).count() == 1));
        // 248 is the first byte that would favour the letters A to H.
        assert_eq!(u8::MAX - (u8::MAX % 62) - 1, 247);
    }
}
