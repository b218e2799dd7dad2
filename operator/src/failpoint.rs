//! Places where the operator ends itself at once, for tests of what a crash leaves behind. The environment variable
//! `FAILPOINT` names one; nothing happens where it is not set, and a warning at the start says that it is.
//!
//! ```text
//! FAILPOINT=NAME          at the first time that the place is passed
//! FAILPOINT=NAME:FILE     the same, once: not when FILE exists, which is made before
//! ```
//!
//! [`stopping_at`] does the same to a single round within a test: what comes after the place never happens.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

/// The places, in the order in which a change passes them. A test compares them with the code, and ends an operator at each.
pub const ALL: [&str; 17] = [
    // The first objects of a cluster.
    "token-made",
    "ca-made",
    "certificate-made",
    "hosts-written",
    // Another size.
    "scale-announced",
    "scale-committing",
    "scale-asked",
    "scale-committed",
    // Another template.
    "roll-transferred",
    "roll-before-delete",
    "roll-deleted",
    // Another token: both are accepted, the old one is dropped.
    "token-added",
    "token-dropped",
    // Another authority: made, accepted beside the old one, the certificate is of it, the old one is dropped.
    "ca-renewed",
    "ca-added",
    // Also a certificate alone.
    "certificate-replaced",
    "ca-dropped",
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

tokio::task_local! {
    static STOP: Stop;
}

#[derive(Clone)]
struct Stop {
    name: &'static str,
    reached: Arc<Notify>,
}

/// Ends the process, or the round of a test, if this place was chosen.
pub async fn pass(name: &str) {
    debug_assert!(ALL.contains(&name), "{name} is not in the list");
    if let Ok(stop) = STOP.try_with(Stop::clone)
        && stop.name == name
    {
        stop.reached.notify_one();
        // Until it is dropped.
        std::future::pending::<()>().await;
    }
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

/// For tests: runs `round` until it passes the place `name`, and drops it there. None if that happened.
pub async fn stopping_at<F: Future>(name: &'static str, round: F) -> Option<F::Output> {
    let stop = Stop { name, reached: Arc::default() };
    tokio::select! {
        biased;
        () = stop.reached.notified() => None,
        output = STOP.scope(stop.clone(), round) => Some(output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_place_is_known_or_refused_by_name() {
        let chosen = |name: &str, once: Option<&str>| {
            Ok(Chosen { name: name.to_owned(), once: once.map(PathBuf::from) })
        };
        assert_eq!(Chosen::parse("roll-deleted"), chosen("roll-deleted", None));
        assert_eq!(Chosen::parse("hosts-written:/run/once"), chosen("hosts-written", Some("/run/once")));
        let error = Chosen::parse("nowhere").unwrap_err();
        assert!(error.contains("`nowhere`") && error.contains("scale-announced"), "{error}");
        // Not chosen: it returns.
        pass("hosts-written").await;
    }

    #[tokio::test]
    async fn a_round_ends_at_its_place_and_at_no_other() {
        let round = async || {
            pass("roll-before-delete").await;
            pass("roll-deleted").await;
            7
        };
        assert_eq!(stopping_at("hosts-written", round()).await, Some(7));
        assert_eq!(stopping_at("roll-deleted", round()).await, None);
        assert_eq!(round().await, 7);
    }
}
