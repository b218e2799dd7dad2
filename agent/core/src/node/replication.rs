//! What a leader sends: entries as far as each peer's window allows, heartbeats, and with them leases and the commit index.

use crate::config::Configuration;
use crate::log::Log;
use crate::message::{Append, Body, Grant};
use crate::node::bound::Part;
use crate::node::leader::{Leader, Progress};
use crate::node::outbox::Outbox;
use crate::node::{Life, Node};
use crate::testing::Mutant;
use crate::types::{Epoch, Incarnation, Index, LogTime, Span, Term, Time};

/// Bytes of entries in one Append, at most (one entry may be bigger).
const APPEND_BYTES: usize = 1 << 20;
/// A new commit index waits so long for entries to go with: told by itself it costs each write two messages more for
/// each peer. Where somebody waits for it, it does not wait.
const COMMIT_LINGERS: Span = Span::from_millis(1);

/// Entries wait for those that come after them while earlier ones are on their way to the same peer, so that many writers at
/// once share an Append: no longer than this, and no more than so many. (Nagle's algorithm, RFC 896.)
pub(super) const ENTRIES_LINGER: Span = Span::from_millis(1);
pub(super) const LINGERING: Index = 256;

/// What is the same for all peers at one moment.
struct Moment<'a> {
    now: Time,
    window: usize,
    term: Term,
    commit: Index,
    founding_epoch: Epoch,
    log: &'a Log,
    log_time: LogTime,
    /// What a voter may be lent.
    lease_end: Option<Time>,
    /// A write is answered only when others have applied it.
    hurry: bool,
}

impl Node {
    /// Sends an Append to everybody, with or without entries.
    pub(super) fn heartbeat(&mut self) {
        self.recompute_leader_lease();
        self.send_appends(true);
        self.dirty = true; // its own lease is published anew
    }

    /// Sends what is new, as far as each peer's window allows.
    pub(super) fn replicate(&mut self) {
        self.recompute_leader_lease();
        self.send_appends(false);
    }

    fn send_appends(&mut self, always: bool) {
        let (now, window) = (self.now, self.settings.window_bytes);
        let early = self.settings.testing.lacks(Mutant::LeaseBeforeNoop);
        let Life::Bound(bound) = &mut self.life else { return };
        let Part::Leader(leader) = &mut bound.part else { return };
        if always {
            leader.round_at = now;
        }
        let may_grant =
            !leader.renounced() && leader.lease_end > now && (bound.commit >= leader.first_index || early);
        let moment = Moment {
            now,
            window,
            term: bound.term,
            commit: bound.commit,
            founding_epoch: bound.founding_epoch,
            log: &bound.log,
            log_time: leader.log_now(now),
            lease_end: may_grant.then_some(leader.lease_end),
            hurry: leader.acks.waits_for_all(),
        };
        let Leader { progress, acks, .. } = &mut **leader;
        for (to, progress) in progress {
            let voter = bound
                .configurations
                .iter()
                .any(|(_, c): &(Index, std::sync::Arc<Configuration>)| c.seats(to));
            let mut always = always;
            while let Some((append, more)) = moment.append(progress, voter, always) {
                if let (Some(_), Some(end), true) = (append.grant, moment.lease_end, voter) {
                    acks.lend(to, end);
                }
                send(&mut self.outbox, to, append);
                always = false;
                if !more {
                    break;
                }
            }
        }
    }
}

fn send(outbox: &mut Outbox, to: &Incarnation, append: Append) {
    outbox.send(to, Body::Append(append));
}

/// When a leader sends what lingers, at the latest: a commit index, or entries.
pub(super) fn lingering_deadline(leader: &Leader) -> Time {
    let first = |since: Option<Time>, lingers| since.map_or(Time(u64::MAX), |since| since + lingers);
    let told = first(leader.progress.values().filter_map(|p| p.untold_since).min(), COMMIT_LINGERS);
    told.min(first(leader.progress.values().filter_map(|p| p.unsent_since).min(), ENTRIES_LINGER))
}

impl Moment<'_> {
    /// Whether a commit index that is new to a peer is told by itself, now.
    fn tells_commit(&self, progress: &mut Progress, open: bool) -> bool {
        if !open || self.commit <= progress.told_commit {
            progress.untold_since = None;
            return false;
        }
        let since = *progress.untold_since.get_or_insert(self.now);
        self.hurry || progress.waits_for_commit || self.now >= since + COMMIT_LINGERS
    }

    /// Whether entries that could be sent wait for more of them.
    fn lingers(&self, progress: &mut Progress) -> bool {
        if progress.inflight_bytes() == 0 {
            return false;
        }
        let since = *progress.unsent_since.get_or_insert(self.now);
        self.now < since + ENTRIES_LINGER && self.log.last_index() + 1 < progress.next + LINGERING
    }

    /// One Append for a peer, and whether there may be more to send. Without `always`, only if it says something new.
    fn append(&self, progress: &mut Progress, voter: bool, always: bool) -> Option<(Append, bool)> {
        let log = self.log;
        let missing = progress.next <= log.base_index();
        let open = !progress.probing && !missing && progress.sending.is_none();
        let room = self.window.saturating_sub(progress.inflight_bytes());
        let news = self.tells_commit(progress, open);
        let fits = open && room > 0 && progress.next <= log.last_index();
        let lingers = fits && !always && !news && self.lingers(progress);
        if !lingers {
            progress.unsent_since = None;
        }
        let sends = fits && !lingers;
        if !sends && !news && !always {
            return None;
        }
        let entries = if sends { log.slice(progress.next, room.min(APPEND_BYTES)) } else { Vec::new() };
        let prev_index = if missing { log.base_index() } else { progress.next - 1 };
        let prev_term = log.term_at(prev_index).unwrap_or(0);
        let rest = self.lease_end.filter(|_| voter).map_or(Span(0), |end| end.since(self.now));
        let grant = progress.clock.map(|echo| Grant { echo, rest });
        if missing && progress.sending.is_none() {
            progress.asked_for_base.get_or_insert(self.now);
        }
        progress.told_commit = self.commit;
        (progress.untold_since, progress.waits_for_commit) = (None, false);
        if let Some(last) = entries.last() {
            progress.sent(last.index, entries.iter().map(|e| e.size()).sum());
        }
        let more = !entries.is_empty() && progress.next <= log.last_index();
        let append = Append {
            term: self.term,
            prev_index,
            prev_term,
            commit: self.commit,
            founding_epoch: self.founding_epoch,
            sent_at: self.now,
            log_time: self.log_time,
            grant,
            entries,
        };
        Some((append, more))
    }
}
