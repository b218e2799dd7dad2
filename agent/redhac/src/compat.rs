//! What can be switched back to redhac's behaviour, for applications that rely on it: `REDHAC_COMPAT`.

use std::env;

use crate::{CacheConfig, CacheError};

/// The variable with the switches, separated by commas.
const VARIABLE: &str = "REDHAC_COMPAT";
const NONE_ON_ERROR: &str = "none-on-error";
const OK_WITHOUT_QUORUM: &str = "ok-without-quorum";

/// Which of redhac's behaviours are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Compat {
    /// [`crate::cache_get!`] gives `Ok(None)` where the truth is not known.
    pub none_on_error: bool,
    /// [`crate::cache_del`] and [`crate::clear_caches`] give `Ok(())` where nothing could be removed.
    pub ok_without_quorum: bool,
}

impl Compat {
    /// Reads the switches; what is wrong with them, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut compat = Self::default();
        for switch in text.split(',').map(str::trim).filter(|switch| !switch.is_empty()) {
            match switch {
                NONE_ON_ERROR => compat.none_on_error = true,
                OK_WITHOUT_QUORUM => compat.ok_without_quorum = true,
                other => {
                    return Err(format!(
                        "{VARIABLE} has {other:?}: {NONE_ON_ERROR} and {OK_WITHOUT_QUORUM} are allowed, separated by \
                         commas"
                    ));
                }
            }
        }
        Ok(compat)
    }

    pub fn from_env() -> Result<Self, String> {
        Self::parse(&env::var(VARIABLE).unwrap_or_default())
    }
}

/// What [`crate::cache_get!`] answers when nothing could be read.
///
/// # Errors
/// Unless it is switched off, the error itself.
pub fn unread<T>(config: &CacheConfig, error: CacheError) -> Result<Option<T>, CacheError> {
    if config.compat().none_on_error { Ok(None) } else { Err(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_are_named() {
        assert_eq!(Compat::parse(""), Ok(Compat::default()));
        let both = Compat { none_on_error: true, ok_without_quorum: true };
        assert_eq!(Compat::parse(" ok-without-quorum, none-on-error,"), Ok(both));
        let error = Compat::parse("none-on-error,nothing").unwrap_err();
        assert!(error.contains("\"nothing\"") && error.contains(OK_WITHOUT_QUORUM), "{error}");
    }
}
