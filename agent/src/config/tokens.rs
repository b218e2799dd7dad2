//! The secret that the members share; more than one while it is rotated.

use rauthy_proto::credentials::token_id;
use rauthy_proto::handshake::{TOKEN_MIN, TOKENS_MAX};
use secrecy::{ExposeSecret, SecretString};

use super::ConfigError;

/// One or more tokens. Debug shows none of them.
#[derive(Clone, Debug)]
pub struct Tokens(Vec<SecretString>);

impl Tokens {
    /// Reads tokens, one a line; blanks around them and empty lines do not count.
    ///
    /// # Errors
    /// If there is none, too many, or one is too short.
    pub fn parse(name: &'static str, text: &str) -> Result<Self, ConfigError> {
        let want = |why: String| ConfigError::Secret {
            name,
            want: format!(
                "{why}; a token has {TOKEN_MIN} characters at least, for example 48 of [a-zA-Z0-9]"
            ),
        };
        let tokens: Vec<&str> = text.lines().map(str::trim).filter(|t| !t.is_empty()).collect();
        if tokens.is_empty() {
            return Err(want("it is empty".into()));
        }
        if tokens.len() > TOKENS_MAX {
            return Err(want(format!(
                "it holds {} tokens, of which {TOKENS_MAX} can be valid at a time",
                tokens.len()
            )));
        }
        if let Some(short) = tokens.iter().map(|t| t.chars().count()).find(|n| *n < TOKEN_MIN) {
            return Err(want(format!("it has {short} characters")));
        }
        Ok(Self(tokens.into_iter().map(SecretString::from).collect()))
    }

    /// All that are accepted.
    pub(crate) fn all(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|t| t.expose_secret().as_bytes())
    }

    /// Their names, which are no secret.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.all().map(token_id).collect()
    }

    /// Whether both hold the same tokens in the same order.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.all().eq(other.all())
    }
}
