//! Rule 11: how a learner gets what the log no longer holds.
//!
//! The leader copies one shard after the other, each in one piece together with the index it has applied, while
//! writes go on. The learner applies entry i to a shard only if i is beyond that index. The log keeps everything
//! after the snapshot's base until it is installed. The transfer is cut into chunks, one on its way at a time.

use crate::api::Event;
use crate::log::Log;
use crate::message::{Base, Body, SnapshotChunk, SnapshotReply};
use crate::node::bound::{Bound, Part};
use crate::node::{Life, Node};
use crate::store::{Frozen, Record, SHARDS};
use crate::testing::Mutant;
use crate::types::{Incarnation, Span, Term, Time};

/// Bytes of values in one chunk, about.
const CHUNK_BYTES: usize = 64 << 10;

/// A snapshot on its way to a learner.
#[derive(Debug)]
pub(super) struct Sending {
    id: u64,
    pub(super) base: Base,
    shard: u32,
    part: u32,
    /// What of the shard has not been sent.
    rest: Option<Frozen>,
    /// The chunk that waits for its answer.
    chunk: Option<SnapshotChunk>,
    sent_at: Time,
    /// When it last made progress.
    answered_at: Time,
}

/// A snapshot that is being installed.
#[derive(Debug)]
pub(super) struct Install {
    /// Which snapshot: numbers begin anew with each leadership.
    which: (Term, u64),
    shard: u32,
    part: u32,
    records: Vec<Record>,
}

impl Install {
    /// The term of the leader that sends it.
    pub(super) fn of_term(&self) -> Term {
        self.which.0
    }
}

impl Sending {
    fn new(id: u64, base: Base, now: Time) -> Self {
        Self { id, base, shard: 0, part: 0, rest: None, chunk: None, sent_at: Time(0), answered_at: now }
    }
}

impl Node {
    /// Starts snapshots for learners that need one, and repeats chunks that got lost.
    pub(super) fn tend_snapshots(&mut self) {
        let (now, lease) = (self.now, self.settings.lease);
        let voters_install = self.settings.testing.lacks(Mutant::VoterInstallsSnapshot);
        let Life::Bound(bound) = &mut self.life else { return };
        let Some((_, configuration)) = bound.configurations.front().cloned() else { return };
        let base_index = bound.log.base_index();
        let base = Base {
            index: bound.commit,
            term: bound.log.term_at(bound.commit).unwrap_or(0),
            time: bound.log.time_at(bound.commit).unwrap_or_default(),
            configuration,
            founding_epoch: bound.founding_epoch,
        };
        let Bound { configurations, part, .. } = &mut **bound;
        let Part::Leader(leader) = part else { return };
        let voter = |who: &Incarnation| !voters_install && configurations.iter().any(|(_, c)| c.seats(who));
        let mut next = Vec::new();
        let mut again = Vec::new();
        for (who, progress) in leader.progress.iter_mut().filter(|(who, _)| !voter(who)) {
            match &progress.sending {
                None if progress.next <= base_index
                    && (progress.matched == 0 || voters_install)
                    && progress.answered_at.is_some() =>
                {
                    progress.sending = Some(Sending::new(leader.next_snapshot, base.clone(), now));
                    progress.pinned = Some(base.index);
                    leader.next_snapshot += 1;
                    self.outbox.event(Event::SnapshotStarted { to: who.clone() });
                    next.push(who.clone());
                }
                // Nothing came of it for long: what the log keeps for it is needed by the others.
                Some(sending) if now.since(sending.answered_at) > Span(5 * lease.0) => {
                    (progress.sending, progress.pinned) = (None, None);
                }
                Some(sending) if now.since(sending.sent_at) > lease => again.push(who.clone()),
                _ => {}
            }
        }
        for who in next {
            self.send_next_chunk(&who);
        }
        for who in again {
            self.send_chunk(&who);
        }
    }

    fn sending(&mut self, to: &Incarnation) -> Option<&mut Sending> {
        self.bound()?.leader()?.progress.get_mut(to)?.sending.as_mut()
    }

    /// Cuts the next chunk and sends it.
    fn send_next_chunk(&mut self, to: &Incarnation) {
        let replica = self.replica.clone();
        let Some(term) = self.bound_ref().map(|b| b.term) else { return };
        let Some(sending) = self.sending(to) else { return };
        if let Some(sent) = &sending.chunk {
            if sent.shard_done {
                (sending.shard, sending.part) = (sending.shard + 1, 0);
            } else {
                sending.part += 1;
            }
        }
        let rest = match &mut sending.rest {
            Some(rest) if sending.part > 0 => rest,
            rest => rest.insert(replica.store().copy(sending.shard)),
        };
        let (mut records, mut bytes) = (Vec::new(), 0);
        while bytes < CHUNK_BYTES {
            let Some(record) = rest.next() else { break };
            bytes += record.size();
            records.push(record);
        }
        let (shard_applied, shard_done) = (rest.applied, rest.len() == 0);
        sending.chunk = Some(SnapshotChunk {
            term,
            id: sending.id,
            base: sending.base.clone(),
            shard: sending.shard,
            part: sending.part,
            shard_done,
            done: shard_done && sending.shard + 1 == SHARDS,
            shard_applied,
            records,
        });
        self.send_chunk(to);
    }

    fn send_chunk(&mut self, to: &Incarnation) {
        let now = self.now;
        let Some(sending) = self.sending(to) else { return };
        sending.sent_at = now;
        if let Some(chunk) = sending.chunk.clone() {
            self.outbox.send(to, Body::SnapshotChunk(chunk));
        }
    }

    pub(super) fn on_snapshot_reply(&mut self, from: &Incarnation, reply: &SnapshotReply) {
        let now = self.now;
        let Life::Bound(bound) = &mut self.life else { return };
        if reply.term != bound.term {
            return;
        }
        let Some(progress) = bound.leader().and_then(|l| l.progress.get_mut(from)) else { return };
        let Some(sending) = progress.sending.as_mut().filter(|s| s.id == reply.id) else { return };
        progress.answered_at = Some(now);
        sending.answered_at = now;
        self.dirty = true;
        if reply.installed {
            let base = sending.base.index;
            progress.sending = None;
            progress.matched = progress.matched.max(base);
            progress.continue_after(base, false);
        } else if reply.restart {
            (progress.sending, progress.pinned) = (None, None); // begun anew by the next tick
        } else {
            let Some(chunk) = &sending.chunk else { return };
            let wanted = if chunk.shard_done { (chunk.shard + 1, 0) } else { (chunk.shard, chunk.part + 1) };
            if (reply.shard, reply.part) == wanted {
                self.send_next_chunk(from);
            }
        }
    }

    pub(super) fn on_snapshot_chunk(&mut self, from: Incarnation, chunk: SnapshotChunk) {
        let Life::Bound(bound) = &self.life else { return };
        if chunk.term < bound.term {
            return;
        }
        self.follow(&from, chunk.term);
        let now = self.now;
        let Life::Bound(bound) = &mut self.life else { return };
        bound.active = true;
        (bound.acked_at, bound.leader_sign_at) = (Some(now), now);

        let mut reply = SnapshotReply {
            term: chunk.term,
            id: chunk.id,
            shard: 0,
            part: 0,
            installed: false,
            restart: false,
        };
        // Only an incarnation that has acked nothing of the log may begin: what it once held must never be gone
        // while a leader counts on it. A repeated first chunk of an older snapshot begins nothing.
        let which = (chunk.term, chunk.id);
        let voters_install = self.settings.testing.lacks(Mutant::VoterInstallsSnapshot);
        let empty = (bound.commit == 0 && bound.log.last_index() == 0) || voters_install;
        let newer = bound.install.as_ref().is_none_or(|i| i.which < which);
        if empty && newer && (chunk.shard, chunk.part) == (0, 0) {
            self.replica.store().clear();
            bound.install = Some(Install { which, shard: 0, part: 0, records: Vec::new() });
        }
        let Some(install) = bound.install.as_mut().filter(|i| i.which == which) else {
            // What is committed is the same everywhere: who has committed the base needs no snapshot of it.
            reply.installed = bound.install.is_none() && bound.commit >= chunk.base.index;
            reply.restart = !reply.installed;
            if !empty && reply.restart && bound.install.is_none() {
                // Only learners install snapshots. The seat that its own log may give it was never committed.
                return self.wipe("it fell behind what the leader's log still holds");
            }
            return self.outbox.send(&from, Body::SnapshotReply(reply));
        };
        if (chunk.shard, chunk.part) == (install.shard, install.part) {
            install.records.extend(chunk.records);
            if chunk.shard_done {
                let records = std::mem::take(&mut install.records);
                self.replica.store().install(chunk.shard, chunk.shard_applied, records);
                (install.shard, install.part) = (install.shard + 1, 0);
            } else {
                install.part += 1;
            }
        }
        (reply.shard, reply.part) = (install.shard, install.part);
        if install.shard == SHARDS {
            let base = &chunk.base;
            bound.install = None;
            bound.log = Log::after(base.index, base.term, base.time);
            bound.commit = base.index;
            bound.founding_epoch = base.founding_epoch;
            bound.configurations.push_back((base.index, base.configuration.clone()));
            self.replica.store().begin_at(base.index);
            reply.installed = true;
            self.outbox.event(Event::SnapshotInstalled { index: base.index });
        }
        self.outbox.send(&from, Body::SnapshotReply(reply));
    }
}
