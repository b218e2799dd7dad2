//! What is known of the links to peers, and who was refused lately: for status, metrics and people.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rauthy_core::Slot;
use rauthy_proto::cache;

/// Most refusals that are remembered.
const REFUSALS: usize = 16;
/// A refusal is forgotten after this long.
const REMEMBERED: Duration = Duration::from_secs(600);
/// The same refusal is logged once in this long.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// The link to one peer as it was seen last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkState {
    /// An authenticated control stream stands.
    pub connected: bool,
    /// Why the last attempt failed; empty while connected.
    pub error: String,
}

#[derive(Debug)]
struct Refused {
    from: String,
    claimed: String,
    reason: &'static str,
    last: Instant,
    count: u64,
}

#[derive(Debug, Default)]
struct Inner {
    links: BTreeMap<Slot, (LinkState, Option<Instant>)>,
    refusals: Vec<Refused>,
    /// When a refusal of this claim for this reason was logged last.
    logged: BTreeMap<(String, &'static str), Instant>,
}

/// Shared by the mesh, which writes it, and by everybody who reports it.
#[derive(Debug, Default)]
pub struct Board(Mutex<Inner>);

impl Board {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A control stream to this peer stands, or stands no more.
    pub fn connected(&self, peer: &Slot, connected: bool) {
        let mut inner = self.lock();
        let (state, logged) = inner.links.entry(peer.clone()).or_default();
        if connected {
            *logged = None;
        }
        *state = LinkState {
            connected,
            error: if connected { String::new() } else { "the link was lost".into() },
        };
    }

    /// Dialling this peer failed. True: say so in the log; the same failure is said only now and then.
    #[must_use]
    pub fn failed(&self, peer: &Slot, why: &str) -> bool {
        let mut inner = self.lock();
        let (state, logged) = inner.links.entry(peer.clone()).or_default();
        let repeated = state.error == why && logged.is_some_and(|at| at.elapsed() < LOG_EVERY);
        if !state.connected {
            why.clone_into(&mut state.error);
        }
        if !repeated {
            *logged = Some(Instant::now());
        }
        !repeated
    }

    /// Somebody was refused. True: say so in the log; for one claim and reason that is said only now and then, wherever
    /// they come from. `claimed` is a slot of the host list, the operator or empty, so that strangers cannot make this
    /// grow.
    #[must_use]
    pub fn refused(&self, from: &str, claimed: &str, reason: &'static str) -> bool {
        let mut inner = self.lock();
        let now = Instant::now();
        inner.refusals.retain(|r| now.duration_since(r.last) < REMEMBERED);
        let known =
            inner.refusals.iter().position(|r| r.from == from && r.claimed == claimed && r.reason == reason);
        let mut refused = match known {
            Some(at) => inner.refusals.remove(at),
            None => {
                Refused { from: from.to_owned(), claimed: claimed.to_owned(), reason, last: now, count: 0 }
            }
        };
        refused.last = now;
        refused.count += 1;
        inner.refusals.insert(0, refused);
        inner.refusals.truncate(REFUSALS);
        inner.logged.retain(|_, at| now.duration_since(*at) < LOG_EVERY);
        let mut say = false;
        inner.logged.entry((claimed.to_owned(), reason)).or_insert_with(|| {
            say = true;
            now
        });
        say
    }

    /// This is a peer no more.
    pub fn forget(&self, peer: &Slot) {
        self.lock().links.remove(peer);
    }

    /// What is known of the link to a peer.
    #[must_use]
    pub fn link(&self, peer: &Slot) -> LinkState {
        self.lock().links.get(peer).map(|(state, _)| state.clone()).unwrap_or_default()
    }

    /// Who was refused lately, newest first.
    #[must_use]
    pub fn refusals(&self) -> Vec<cache::Refusal> {
        self.lock()
            .refusals
            .iter()
            .filter(|r| r.last.elapsed() < REMEMBERED)
            .map(|r| cache::Refusal {
                from: r.from.clone(),
                claimed: r.claimed.clone(),
                reason: r.reason.to_owned(),
                age_s: r.last.elapsed().as_secs(),
                count: r.count,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_bounded_and_said_once() {
        let board = Board::default();
        assert!(board.refused("10.0.0.9", "rauthy-1.rauthy:8000", "WRONG_TOKEN"));
        assert!(!board.refused("10.0.0.9", "rauthy-1.rauthy:8000", "WRONG_TOKEN"));
        for n in 0..50 {
            let said = board.refused(&format!("10.0.1.{n}"), "", "MALFORMED");
            assert_eq!(said, n == 0, "many addresses do not fill the log");
        }
        let refusals = board.refusals();
        assert_eq!(refusals.len(), REFUSALS);
        assert_eq!(refusals[0].from, "10.0.1.49");
    }

    #[test]
    fn a_link_error_ends_with_the_connection() {
        let (board, peer) = (Board::default(), Slot::new("a:1"));
        assert!(board.failed(&peer, "connection refused"));
        assert!(!board.failed(&peer, "connection refused"));
        assert_eq!(board.link(&peer).error, "connection refused");
        board.connected(&peer, true);
        assert_eq!(board.link(&peer), LinkState { connected: true, error: String::new() });
    }
}
