//! Places where the operator ends itself at once, for tests of what a crash leaves behind. The environment variable
//! `FAILPOINT` names one or more; nothing happens where it is not set, and a warning at the start says that it is.
//!
//! ```text
//! FAILPOINT=NAME,NAME            whenever one of these places is passed
//! FAILPOINT=NAME,NAME:FOLDER     the same, once at each: not where FOLDER has a file of its name, which is made before
//! ```
//!
//! So a process that is started again each time passes the places one after the other, and the folder tells at which it
//! has ended.
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

static CHOSEN: OnceLock<Option<Chosen>> = OnceLock::new();

#[derive(Debug, PartialEq, Eq)]
struct Chosen {
    names: Vec<String>,
    /// Remembers at which of them a process has ended.
    once: Option<PathBuf>,
}

impl Chosen {
    fn parse(text: &str) -> Result<Self, String> {
        let (names, once) = match text.split_once(':') {
            Some((names, folder)) => (names, Some(PathBuf::from(folder))),
            None => (text, None),
        };
        let names: Vec<_> = names.split(',').map(|name| name.trim().to_owned()).collect();
        match names.iter().find(|name| !ALL.contains(&name.as_str())) {
            Some(unknown) => Err(format!("FAILPOINT `{unknown}` is none of {}", ALL.join(", "))),
            None => Ok(Self { names, once }),
        }
    }

    /// Whether the process is to end at this place; that is remembered from now on.
    fn strikes(&self, name: &str) -> bool {
        if !self.names.iter().any(|chosen| chosen == name) {
            return false;
        }
        let Some(folder) = &self.once else { return true };
        match std::fs::File::create_new(folder.join(name)) {
            Ok(_) => true,
            // It has ended here before.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => false,
            // It would end here again and again.
            Err(error) => {
                tracing::error!(name, %error, "FAILPOINT: its folder cannot be written; this operator goes on");
                false
            }
        }
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
            names = chosen.names.join(" "),
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
    if let Some(Some(chosen)) = CHOSEN.get()
        && chosen.strikes(name)
    {
        // As by a signal: no destructor runs, nothing is flushed or given back.
        std::process::abort();
    }
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
        let chosen = |names: &[&str], once: Option<&str>| {
            let names = names.iter().map(|name| (*name).to_owned()).collect();
            Ok(Chosen { names, once: once.map(PathBuf::from) })
        };
        assert_eq!(Chosen::parse("roll-deleted"), chosen(&["roll-deleted"], None));
        let two = Chosen::parse("ca-added, ca-dropped:/run/once");
        assert_eq!(two, chosen(&["ca-added", "ca-dropped"], Some("/run/once")));
        for wrong in ["nowhere", "ca-added,nowhere:/run/once"] {
            let error = Chosen::parse(wrong).unwrap_err();
            assert!(error.contains("`nowhere`") && error.contains("scale-announced"), "{error}");
        }
        // Not chosen: it returns.
        pass("hosts-written").await;
    }

    #[test]
    fn each_place_strikes_once_where_a_folder_remembers_it() {
        let always = Chosen::parse("ca-added").unwrap();
        assert!(always.strikes("ca-added") && always.strikes("ca-added") && !always.strikes("ca-dropped"));
        let folder = std::env::temp_dir().join(format!("rauthy-failpoints-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let chosen = Chosen::parse(&format!("ca-added,ca-dropped:{}", folder.display())).unwrap();
        let struck =
            ["ca-added", "ca-added", "ca-dropped", "ca-made", "ca-dropped"].map(|n| chosen.strikes(n));
        assert_eq!(struck, [true, false, true, false, false]);
        assert!(folder.join("ca-added").exists() && folder.join("ca-dropped").exists());
        std::fs::remove_dir_all(&folder).unwrap();
        assert!(!chosen.strikes("ca-added"), "nobody would remember it");
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
