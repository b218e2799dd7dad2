//! Places where the operator ends itself at once, for tests of what a crash leaves behind. The environment variable
//! `FAILPOINT` names one; nothing happens where it is not set, and a warning at the start says that it is.
//!
//! ```text
//! FAILPOINT=NAME          at the first time that the place is passed
//! FAILPOINT=NAME:FILE     the same, once: not when FILE exists, which is made before
//! ```

use std::path::PathBuf;
use std::sync::OnceLock;

/// The places, in the order in which a change passes them.
pub const ALL: [&str; 8] = [
    "scale-announced",
    "scale-committing",
    "scale-asked",
    "scale-committed",
    "roll-transferred",
    "roll-before-delete",
    "roll-deleted",
    "hosts-written",
];

/// Exit code: an abort, as by a signal, runs no destructor and flushes nothing.
static CHOSEN: OnceLock<Option<Chosen>> = OnceLock::new();

#[derive(Debug, PartialEq, Eq)]
struct Chosen {
    name: String,
    once: Option<PathBuf>,
}

impl Chosen {
    fn parse(text: &str) -> Result<Self, String> {
        let (name, once) = match text.split_once(':') {
            Some((name, file)) => (name, Some(PathBuf::from(file))),
            None => (text, None),
        };
        if !ALL.contains(&name) {
            return Err(format!("FAILPOINT `{name}` is none of {}", ALL.join(", ")));
        }
        Ok(Self { name: name.to_owned(), once })
    }
}

/// Reads the variable; call it once, at the start.
///
/// # Errors
/// It names no place.
pub fn choose(text: Option<&str>) -> Result<(), String> {
    let chosen = text.filter(|text| !text.is_empty()).map(Chosen::parse).transpose()?;
    if let Some(chosen) = &chosen {
        tracing::warn!(
            name = chosen.name,
            "FAILPOINT is set: this operator ends itself there; it is for tests only"
        );
    }
    let _ = CHOSEN.set(chosen);
    Ok(())
}

/// Ends the process if this place was chosen.
pub fn pass(name: &str) {
    debug_assert!(ALL.contains(&name), "{name} is not in the list");
    let Some(Some(chosen)) = CHOSEN.get() else { return };
    if chosen.name != name {
        return;
    }
    if let Some(file) = &chosen.once {
        match std::fs::File::create_new(file) {
            Ok(_) => {}
            // It was here before.
            Err(_) => return,
        }
    }
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_known_or_refused_by_name() {
        let chosen = |name: &str, once: Option<&str>| {
            Ok(Chosen { name: name.to_owned(), once: once.map(PathBuf::from) })
        };
        assert_eq!(Chosen::parse("roll-deleted"), chosen("roll-deleted", None));
        assert_eq!(Chosen::parse("hosts-written:/run/once"), chosen("hosts-written", Some("/run/once")));
        let error = Chosen::parse("nowhere").unwrap_err();
        assert!(error.contains("`nowhere`") && error.contains("scale-announced"), "{error}");
        // Not chosen: it returns.
        pass("hosts-written");
    }
}
