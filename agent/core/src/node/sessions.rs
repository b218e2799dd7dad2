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
    used_at: Time,
}

impl Sessions {
    /// What the store and the uncommitted end of the log say.
    pub(super) fn of(store: &Store, bound: &Bound, now: Time) -> Self {
        let mut all: BTreeMap<Index, Session> = store
            .sessions()
            .into_iter()
            .map(|(number, floor)| (number, Session { floor, used_at: now }))
            .collect();
        for index in bound.commit + 1..=bound.log.last_index() {
            let Some(entry) = bound.log.get(index) else { continue };
            match &entry.payload {
                Payload::Write { op: Op::OpenSession, .. } => {
                    all.insert(index, Session { floor: 0, used_at: now });
                }
                Payload::Write { tag: Some(tag), .. } => {
                    if let Some(session) = all.get_mut(&tag.session) {
                        session.floor = session.floor.max(tag.floor);
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

    /// A session was opened by this entry.
    pub(super) fn opened(&mut self, number: Index, now: Time) {
        self.0.insert(number, Session { floor: 0, used_at: now });
    }
}

impl Node {
    /// Whether a request may be applied if it was not before.
    pub(super) fn admit(&mut self, stamp: Stamp) -> Result<(), Refusal> {
        let (now, window) = (self.now, self.settings.session_window);
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
        session.used_at = now;
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

    /// Sessions that nobody uses any more are ended, by entries of the log.
    pub(super) fn end_idle_sessions(&mut self) {
        let (now, idle) = (self.now, self.settings.session_idle);
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
