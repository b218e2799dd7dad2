//! Linearizable reads: a read index, confirmed by a round of acks (Ongaro, "Consensus", §6.4). No lease is believed for
//! them, so they stay true whatever the clocks do.

use std::collections::VecDeque;

use crate::message::ReadIndex;
use crate::node::writes::Waiting;
use crate::node::{Life, Node};
use crate::types::{Incarnation, Index, LogTime, Span, Time};

/// A question that waits for a quorum to say that this node still leads.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) waiting: Waiting,
    at: Time,
    index: Index,
    log_time: LogTime,
}

/// Questions at a leader, at most.
const ASKED: usize = 1 << 16;

impl Node {
    pub(super) fn on_read_index(&mut self, from: Incarnation, ask: ReadIndex) {
        self.accept_read(Waiting::Remote { who: from, id: ask.id });
    }

    pub(super) fn accept_read(&mut self, waiting: Waiting) {
        let now = self.now;
        let Life::Bound(bound) = &mut self.life else { return self.answer_read(waiting, None) };
        let commit = bound.commit;
        // All that is appended, not only what is committed: an entry judges expiry by the time at which it was appended, and
        // must not come after a read that judges by a later one.
        let index = bound.log.last_index();
        match bound.leader() {
            // Before an entry of its own term is committed it does not know what is.
            Some(leader)
                if commit >= leader.first_index && !leader.hands_over() && leader.reads.len() < ASKED =>
            {
                let log_time = leader.log_now(now);
                leader.reads.push_back(Asked { waiting, at: now, index, log_time });
                self.dirty = true;
            }
            _ => self.answer_read(waiting, None),
        }
    }

    /// Answers what a quorum has confirmed; asks for a round of acks if nothing else has.
    pub(super) fn tend_reads(&mut self) {
        let now = self.now;
        let me = self.outbox.me.clone();
        let Life::Bound(bound) = &mut self.life else { return };
        let Some(leader) = bound.leader_ref() else { return };
        if leader.reads.is_empty() {
            return;
        }
        let round = leader.round_at;
        let confirmed =
            bound.reached(|who| if *who == me { now } else { leader.acked_sent_at(who).unwrap_or_default() });
        let Some(leader) = bound.leader() else { return };
        let mut ready = VecDeque::new();
        // Sent after the question, and acked: nobody led in a higher term when it was asked.
        while leader.reads.front().is_some_and(|asked| asked.at < confirmed) {
            ready.extend(leader.reads.pop_front());
        }
        let newest = leader.reads.back().map(|asked| asked.at);
        for asked in ready {
            self.answer_read(asked.waiting, Some((asked.index, asked.log_time)));
        }
        if newest.is_some_and(|at| at >= round && now > at) {
            self.heartbeat();
        }
    }

    /// When a round of acks for the newest question can begin: at a later moment than the question's.
    pub(super) fn reads_deadline(&self) -> Time {
        let leader = self.bound_ref().and_then(|bound| bound.leader_ref());
        let newest = leader.and_then(|leader| Some((leader.reads.back()?.at, leader.round_at)));
        newest.filter(|(at, round)| at >= round).map_or(Time(u64::MAX), |(at, _)| at + Span(1))
    }
}
