//! The token that the members share, and how it is replaced.
//!
//! ```text
//! `<name>-cache-auth`:   old ──▶ new, old ──all members accept the new one──▶ new
//! ```
//!
//! Of the tokens that both ends of a stream know, the first in the caller's order is used: so with the new one in front,
//! whoever has it sends it, and who has not yet is let in by the old one.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use rauthy_proto::credentials::token_id;
use rauthy_proto::handshake::{TOKEN_MIN, TOKENS_MAX};
use secrecy::{ExposeSecret, SecretString};

use super::members::Members;
use super::x509::field;
use crate::names::TOKEN_KEY;
use crate::reconcile::build::BuildError;

/// Length of a generated token, in characters: 48 × log2(62) = 285 bits.
pub const LENGTH: usize = 48;
const ALPHABET: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/// What to do with the Secret.
#[derive(Debug)]
pub enum Move {
    /// Nothing.
    Rest,
    /// To write these, the one to be used first.
    Write(Vec<SecretString>),
    /// To wait until these members accept the first.
    Wait(Vec<String>),
}

/// The tokens in the Secret that the pods mount, one a line; none if they cannot be used.
#[must_use]
pub fn read(secret: &Secret) -> Option<Vec<SecretString>> {
    let lines = field(secret, TOKEN_KEY)?.lines().filter(|line| !line.trim().is_empty());
    let tokens: Vec<_> = lines.map(token).collect::<Option<_>>()?;
    (1..=TOKENS_MAX).contains(&tokens.len()).then_some(tokens)
}

/// The one token in a user's Secret; none if it cannot be used.
#[must_use]
pub fn given(secret: &Secret) -> Option<SecretString> {
    token(field(secret, TOKEN_KEY)?.trim_end_matches('\n'))
}

fn token(text: &str) -> Option<SecretString> {
    let good = text.chars().count() >= TOKEN_MIN && !text.contains(char::is_whitespace);
    good.then(|| SecretString::from(text.to_owned()))
}

/// What the Secret holds for these tokens.
#[must_use]
pub fn data(tokens: &[SecretString]) -> BTreeMap<String, ByteString> {
    let lines: Vec<&str> = tokens.iter().map(|token| token.expose_secret()).collect();
    BTreeMap::from([(TOKEN_KEY.to_owned(), ByteString(lines.join("\n").into_bytes()))])
}

/// Names of tokens, which are no secret.
#[must_use]
pub fn ids(tokens: &[SecretString]) -> Vec<String> {
    tokens.iter().map(|token| token_id(token.expose_secret().as_bytes())).collect()
}

/// The next move. `given` is the user's token; without one, `renew` asks for a new one to be made.
///
/// # Errors
/// The system gives no random numbers.
pub fn next(
    present: &[SecretString],
    given: Option<&SecretString>,
    renew: bool,
    members: &Members,
) -> Result<Move, BuildError> {
    let Some(first) = present.first() else { return Ok(Move::Rest) };
    let given = given.filter(|given| given.expose_secret() != first.expose_secret());
    let wanted = match given {
        Some(given) => Some(given.clone()),
        None if renew && present.len() == 1 => Some(generate()?),
        None => None,
    };
    let accept = |token: &SecretString| {
        let id = token_id(token.expose_secret().as_bytes());
        members.missing(|said| said.tokens.contains(&id))
    };
    if let Some(wanted) = wanted {
        let mut tokens = vec![wanted];
        let others = present.iter().filter(|one| one.expose_secret() != tokens[0].expose_secret());
        tokens.extend(others.cloned().collect::<Vec<_>>());
        return Ok(if tokens.len() > TOKENS_MAX { Move::Wait(accept(first)) } else { Move::Write(tokens) });
    }
    if present.len() == 1 {
        return Ok(Move::Rest);
    }
    let missing = accept(first);
    Ok(if missing.is_empty() { Move::Write(vec![first.clone()]) } else { Move::Wait(missing) })
}

/// Random characters, each as likely as any other: bytes that would favour some are thrown away.
///
/// # Errors
/// The system gives no random numbers.
pub fn generate() -> Result<SecretString, BuildError> {
    let fair = u8::MAX - (u8::MAX % 62) - 1;
    let mut token = String::with_capacity(LENGTH);
    let mut random = [0_u8; 64];
    while token.len() < LENGTH {
        getrandom::fill(&mut random).map_err(|error| BuildError::Random(error.to_string()))?;
        let fitting = random.iter().filter(|byte| **byte <= fair);
        let letters = fitting.map(|byte| char::from(ALPHABET[usize::from(byte % 62)]));
        token.extend(letters.take(LENGTH - token.len()));
    }
    Ok(SecretString::from(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_long_alphanumeric_and_differ() {
        let tokens: Vec<String> = (0..50).map(|_| generate().unwrap().expose_secret().to_owned()).collect();
        assert!(tokens.iter().all(|t| t.len() == 48 && t.bytes().all(|b| b.is_ascii_alphanumeric())));
        assert!(tokens.iter().all(|t| tokens.iter().filter(|o| *o == t).count() == 1));
        // 248 is the first byte that would favour the letters A to H.
        assert_eq!(u8::MAX - (u8::MAX % 62) - 1, 247);
    }

    #[test]
    fn what_is_no_token_is_not_read() {
        let secret =
            |text: &str| Secret { data: Some(data(&[SecretString::from(text)])), ..Secret::default() };
        let one = "0123456789abcdef";
        assert_eq!(read(&secret(one)).unwrap().len(), 1);
        assert_eq!(read(&secret(&format!("{one}\n{one}x\n"))).unwrap().len(), 2);
        for wrong in ["", "short", "0123456789 abcdef", &format!("{one}\n").repeat(5)] {
            assert!(read(&secret(wrong)).is_none(), "{wrong:?}");
        }
        assert!(given(&secret(&format!("{one}\n"))).is_some());
        assert!(given(&secret(&format!("{one}\n{one}\n"))).is_none(), "a user gives one");
    }
}
