//! Rule 9, at the leader: which sessions are open, and what may still come of them.
//!
//! ```text
//! OpenSession entry (its index is the number) ─▶ requests: floor ≤ seq < floor + window ─▶ unused for long: EndSession
//! ```
//!
//! The leader judges before it appends. What it judges by, it has from the store and the log when it begins to lead,
//! and from what it appends itself afterwards; so an entry of a session that has ended is never appended.

use std::collections::BTreeMap;

use crate::log::{Op, Payload};
use crate::node::bound::Bound;
use crate::node::{Life, Node};
use crate::request::{Limit, Refusal, Stamp};
use crate::store::Store;
use crate::testing::Mutant;
use crate::types::{Index, Time};

/// Sessions ended in one go, at most.
const ENDED_PER_TICK: usize = 16;

/// The sessions that a leader knows.
#[derive(Debug, Default)]
pub(super) struct Sessions(BTreeMap<Index, Session>);

#[derive(Debug)]
struct Session {
    floor: u64,
    /// The greatest floor that stands in the log as an entry of its own.
    logged_floor: u64,
    /// The greatest number that was appended.
    highest: u64,
    used_at: Time,
}

impl Session {
    fn new(floor: u64, now: Time) -> Self {
        Self { floor, logged_floor: floor, highest: 0, used_at: now }
    }
}

impl Sessions {
    /// What the store and the uncommitted end of the log say.
    pub(super) fn of(store: &Store, bound: &Bound, now: Time) -> Self {
        let mut all: BTreeMap<Index, Session> =
            store.sessions().into_iter().map(|(number, floor)| (number, Session::new(floor, now))).collect();
        for index in bound.commit + 1..=bound.log.last_index() {
            let Some(entry) = bound.log.get(index) else { continue };
            match &entry.payload {
                Payload::Write { op: Op::OpenSession, .. } => {
                    all.insert(index, Session::new(0, now));
                }
                Payload::Write { tag: Some(tag), .. } => {
                    if let Some(session) = all.get_mut(&tag.session) {
                        session.floor = session.floor.max(tag.floor);
                        session.highest = session.highest.max(tag.seq);
                    }
                }
                Payload::EndSession { session } => {
                    all.remove(session);
                }
                _ => {}
            }
        }
        Self(all)
    }

    /// A request was appended, or answered from what is remembered: its session is in use.
    pub(super) fn used(&mut self, stamp: Stamp, now: Time) {
        if let Some(session) = self.0.get_mut(&stamp.session) {
            session.used_at = now;
            session.highest = session.highest.max(stamp.seq);
        }
    }

    /// It may be in the log already: whoever asks must not be told that it was never appended.
    pub(super) fn may_stand(&self, stamp: Stamp) -> bool {
        self.0.get(&stamp.session).is_some_and(|session| stamp.seq <= session.highest)
    }

    /// A session was opened by this entry.
    pub(super) fn opened(&mut self, number: Index, now: Time) {
        self.0.insert(number, Session::new(0, now));
    }
}

impl Node {
    /// Whether a request may be applied if it was not before.
    pub(super) fn admit(&mut self, stamp: Stamp) -> Result<(), Refusal> {
        let window = self.settings.session_window;
        let older = self.settings.testing.lacks(Mutant::OlderGenerationApplied);
        let Life::Bound(bound) = &mut self.life else { return Err(Refusal::NotLeader) };
        if stamp.generation != bound.generation {
            // It may have been applied there; what came of that died with it.
            return if older { Ok(()) } else { Err(Refusal::UnknownOutcome) };
        }
        let leader = bound.leader().ok_or(Refusal::NotLeader)?;
        let Some(session) = leader.sessions.0.get_mut(&stamp.session) else {
            return Err(Refusal::UnknownOutcome);
        };
        if stamp.seq < session.floor {
            return Err(Refusal::UnknownOutcome);
        }
        if stamp.seq >= stamp.floor.max(session.floor).saturating_add(window) {
            return Err(Refusal::Limit(Limit::Window));
        }
        session.floor = session.floor.max(stamp.floor);
        Ok(())
    }

    /// There is room to remember what will come of it.
    pub(super) fn may_remember(&self) -> Result<(), Refusal> {
        let full = self.replica.store().dedup_bytes() >= self.settings.dedup_bytes;
        if full { Err(Refusal::Limit(Limit::Dedup)) } else { Ok(()) }
    }

    pub(super) fn may_open_session(&mut self) -> Result<(), Refusal> {
        let most = self.settings.sessions;
        let open = self.bound().and_then(Bound::leader).map_or(0, |leader| leader.sessions.0.len());
        if open >= most { Err(Refusal::Limit(Limit::Sessions)) } else { Ok(()) }
    }

    /// Results that nobody will ask for lie in shards that no request has touched since: where they take half of what they
    /// may, entries of their own say so in all shards.
    pub(super) fn forget_results(&mut self) {
        let most = self.settings.dedup_bytes;
        if self.replica.store().dedup_bytes() <= most / 2 || !self.serves() {
            return;
        }
        let Some(leader) = self.bound().and_then(Bound::leader) else { return };
        let behind: Vec<(Index, u64)> = leader
            .sessions
            .0
            .iter_mut()
            .filter(|(_, session)| session.floor > session.logged_floor)
            .take(ENDED_PER_TICK)
            .map(|(number, session)| {
                session.logged_floor = session.floor;
                (*number, session.floor)
            })
            .collect();
        for (session, floor) in behind {
            self.append(Payload::Floor { session, floor });
        }
    }

    /// Sessions that nobody uses any more are ended, by entries of the log.
    pub(super) fn end_idle_sessions(&mut self) {
        let now = self.now;
        let mut idle = self.settings.session_idle;
        if self.replica.store().dedup_bytes() > self.settings.dedup_bytes / 2 {
            // Whoever died leaves results that nobody will ask for; where room is short, they are not kept for long.
            idle = idle.min(self.settings.lease.times(5));
        }
        if !self.serves() {
            return;
        }
        let Some(leader) = self.bound().and_then(Bound::leader) else { return };
        let unused = |session: &Session| now.since(session.used_at) > idle;
        let ended: Vec<Index> = leader
            .sessions
            .0
            .iter()
            .filter(|(_, session)| unused(session))
            .map(|(number, _)| *number)
            .take(ENDED_PER_TICK)
            .collect();
        for session in ended {
            if let Some(leader) = self.bound().and_then(Bound::leader) {
                leader.sessions.0.remove(&session);
            }
            self.append(Payload::EndSession { session });
        }
    }
}
