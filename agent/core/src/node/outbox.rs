//! What a step wants done, in order.

use crate::api::{Event, Output};
use crate::message::{Body, Message};
use crate::request::{Done, Refusal};
use crate::types::{Generation, Incarnation, Slot};

#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) me: Incarnation,
    /// Written on every message; `None` while free.
    pub(super) generation: Option<Generation>,
    pub(super) out: Vec<Output>,
}

impl Outbox {
    pub(super) fn new(me: Incarnation) -> Self {
        Self { me, generation: None, out: Vec::new() }
    }

    pub(super) fn send(&mut self, to: &Incarnation, body: Body) {
        self.out.push(Output::Send(Message {
            from: self.me.clone(),
            to: to.slot.clone(),
            to_boot: Some(to.boot),
            generation: self.generation,
            body,
        }));
    }

    /// To whichever incarnation lives there.
    pub(super) fn send_slot(&mut self, to: &Slot, body: Body) {
        self.out.push(Output::Send(Message {
            from: self.me.clone(),
            to: to.clone(),
            to_boot: None,
            generation: self.generation,
            body,
        }));
    }

    pub(super) fn reply(&mut self, ticket: u64, result: Result<Done, Refusal>) {
        self.out.push(Output::Reply { ticket, result });
    }

    pub(super) fn event(&mut self, event: Event) {
        self.out.push(Output::Event(event));
    }
}
