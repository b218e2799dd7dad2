//! What is known of the links to peers, and who was refused lately: for status, metrics and people.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rauthy_core::Slot;
use rauthy_proto::cache::{self, Report};

/// Most refusals that are remembered.
const REFUSALS: usize = 16;
/// A refusal is forgotten after this long.
const REMEMBERED: Duration = Duration::from_secs(600);
/// The same refusal is logged once in this long.
const LOG_EVERY: Duration = Duration::from_secs(30);
/// A report is shown for this long.
const REPORTED: Duration = Duration::from_secs(15);
/// Of a report: digests, peers, and bytes of a name, at most.
const MARKS: usize = 8;
const CONNECTED: usize = 32;
const TEXT: usize = 263;

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
    /// With it, when a failure for a reason was logged last.
    links: BTreeMap<Slot, (LinkState, BTreeMap<&'static str, Instant>)>,
    refusals: Vec<Refused>,
    /// When a refusal of this claim for this reason was logged last.
    logged: BTreeMap<(String, &'static str), Instant>,
    /// What peers said of themselves last.
    reports: BTreeMap<Slot, (Report, Instant)>,
    /// How their data compared with ours.
    compared: BTreeMap<Slot, Compared>,
}

/// How the data of a peer compared with this node's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compared {
    /// In this generation.
    pub generation: String,
    /// At this index, the last one where both are known.
    pub index: u64,
    /// They were equal.
    pub equal: bool,
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
            logged.clear();
        }
        *state = LinkState {
            connected,
            error: if connected { String::new() } else { "the link was lost".into() },
        };
    }

    /// Dialling this peer failed. True: say so in the log; for the same reason that is said only now and then, whatever
    /// words whoever answered had for it.
    #[must_use]
    pub fn failed(&self, peer: &Slot, reason: &'static str, why: &str) -> bool {
        let mut inner = self.lock();
        let (state, logged) = inner.links.entry(peer.clone()).or_default();
        if !state.connected {
            why.clone_into(&mut state.error);
        }
        let say = logged.get(reason).is_none_or(|at| at.elapsed() >= LOG_EVERY);
        if say {
            logged.insert(reason, Instant::now());
        }
        say
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
        while inner.refusals.len() > REFUSALS {
            // Many addresses of strangers do not hide a member that is refused: where most are alike, the oldest goes.
            let alike = |r: &Refused| inner.refusals.iter().filter(|o| o.claimed == r.claimed).count();
            let most = inner.refusals.iter().map(alike).max();
            let Some(at) = inner.refusals.iter().rposition(|r| Some(alike(r)) == most) else { break };
            inner.refusals.remove(at);
        }
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
        let mut inner = self.lock();
        inner.links.remove(peer);
        inner.reports.remove(peer);
        inner.compared.remove(peer);
    }

    /// A peer said how it is. Cut to what a good one says, so that a bad one costs little.
    pub fn reported(&self, peer: &Slot, mut report: Report) {
        report.marks.truncate(MARKS);
        report.connected.truncate(CONNECTED);
        for text in report.connected.iter_mut().chain([&mut report.generation, &mut report.version]) {
            if text.len() > TEXT {
                *text = text.chars().take(TEXT / 4).collect();
            }
        }
        self.lock().reports.insert(peer.clone(), (report, Instant::now()));
    }

    /// What a peer said of itself last, unless that was long ago.
    #[must_use]
    pub fn report(&self, peer: &Slot) -> Option<Report> {
        let inner = self.lock();
        let (report, at) = inner.reports.get(peer).filter(|(_, at)| at.elapsed() < REPORTED)?;
        let age_ms = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
        Some(Report { age_ms, ..report.clone() })
    }

    /// The data of a peer was compared with ours. True: it differs, and did not when it was compared before.
    #[must_use]
    pub fn compared(&self, peer: &Slot, compared: Compared) -> bool {
        let differs = !compared.equal;
        let before = self.lock().compared.insert(peer.clone(), compared);
        differs && before.is_none_or(|before| before.equal)
    }

    /// How the data of a peer compared in this generation.
    #[must_use]
    pub fn comparison(&self, peer: &Slot, generation: &str) -> Option<Compared> {
        self.lock().compared.get(peer).filter(|c| c.generation == generation).cloned()
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
        assert_eq!(refusals[15].claimed, "rauthy-1.rauthy:8000", "strangers do not hide a member");
        for n in 0..50 {
            let _ = board.refused(&format!("10.0.2.{n}"), "rauthy-1.rauthy:8000", "WRONG_TOKEN");
        }
        assert!(board.refusals().iter().any(|r| r.claimed.is_empty()), "nor the other way round");
    }

    #[test]
    fn reports_are_cut_and_a_difference_is_said_once() {
        let (board, peer) = (Board::default(), Slot::new("a:1"));
        let report = Report {
            marks: vec![Default::default(); 1000],
            connected: vec!["x".repeat(10_000); 1000],
            version: "1".into(),
            ..Report::default()
        };
        board.reported(&peer, report);
        let known = board.report(&peer).unwrap();
        assert_eq!((known.marks.len(), known.connected.len(), known.version), (MARKS, CONNECTED, "1".into()));
        assert!(known.connected[0].len() < TEXT);
        let compared = |index, equal| Compared { generation: "g".into(), index, equal };
        assert!(!board.compared(&peer, compared(1, true)));
        assert!(board.compared(&peer, compared(2, false)));
        assert!(!board.compared(&peer, compared(3, false)));
        assert_eq!(board.comparison(&peer, "g"), Some(compared(3, false)));
        assert_eq!(board.comparison(&peer, "another"), None);
        board.forget(&peer);
        assert_eq!((board.report(&peer), board.comparison(&peer, "g")), (None, None));
    }

    #[test]
    fn a_link_error_ends_with_the_connection() {
        let (board, peer) = (Board::default(), Slot::new("a:1"));
        assert!(board.failed(&peer, "CONNECT", "connection refused"));
        assert!(!board.failed(&peer, "CONNECT", "connection refused again"));
        assert!(board.failed(&peer, "TLS", "another reason"));
        assert!(!board.failed(&peer, "CONNECT", "and back"), "two in turn do not fill the log");
        assert_eq!(board.link(&peer).error, "and back");
        board.connected(&peer, true);
        assert_eq!(board.link(&peer), LinkState { connected: true, error: String::new() });
    }
}
