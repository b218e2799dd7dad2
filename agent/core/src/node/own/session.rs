//! The session of a node's own writes: it is opened by the first write that needs one, and what is handed on is stamped
//! with it.

use super::Write;
use crate::message::{Body, Forward};
use crate::node::Node;
use crate::node::writes::Waiting;
use crate::request::{AckLevel, Request, Stamp};
use crate::types::{Generation, Index, Span, Time};

#[derive(Debug)]
pub(super) struct Session {
    pub(super) generation: Generation,
    pub(super) number: Index,
    pub(super) used_at: Time,
}

impl Node {
    /// Hands a write to the leader, if it has a stamp or needs none.
    pub(super) fn hand_on(&mut self, id: u64) {
        let now = self.now;
        let Some(generation) = self.bound_ref().map(|bound| bound.generation) else { return };
        let floor = self.own.first;
        let idle = Span(self.settings.session_idle.0 / 2);
        let session =
            self.own.session.as_mut().filter(|s| s.generation == generation && now.since(s.used_at) < idle);
        let number = session.as_ref().map(|s| s.number);
        let Some(write) = self.own.writes.get_mut((id - floor) as usize).and_then(Option::as_mut) else {
            return;
        };
        let needs = !matches!(write.request, Request::OpenSession);
        if needs && write.stamp.is_none() {
            let Some(session) = number else { return self.open_session() };
            write.stamp = Some(Stamp { generation, session, seq: id, floor });
        }
        if let (Some(stamp), Some(number)) = (&mut write.stamp, number)
            && stamp.session == number
        {
            stamp.floor = floor; // what it says of others may have grown since
        }
        if let Some(session) = session {
            session.used_at = now;
        }
        let (stamp, request, level) = (write.stamp, write.request.clone(), write.level);
        if self.serves() {
            let me = self.outbox.me.clone();
            if let Some(write) = self.own.get_mut(id) {
                (write.at, write.attempts) = (Some((me, now)), write.attempts.saturating_add(1));
            }
            self.accept(Waiting::Own { id }, stamp, request, level);
        } else if let Some(leader) = self.present_leader() {
            if let Some(write) = self.own.get_mut(id) {
                (write.at, write.attempts) = (Some((leader.clone(), now)), write.attempts.saturating_add(1));
            }
            self.outbox.send(&leader, Body::Forward(Forward { id, stamp, request, level }));
        }
    }

    fn open_session(&mut self) {
        if self.own.opening.is_some() {
            return;
        }
        let deadline = self.now + self.settings.lease.times(2);
        let id = self.own.add(Write::new(Request::OpenSession, AckLevel::Quorum, self.now, deadline));
        self.own.opening = Some(id);
        self.hand_on(id);
    }
}
