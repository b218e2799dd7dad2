//! The one task that owns the consensus core.
//!
//! ```text
//! mesh ── Incoming ──┐
//! clients ─ Proposal ┼──▶ a batch of inputs ──▶ Node::step each ──▶ one Tick ──▶ outputs ──▶ mesh, replies, log
//! others ── Command ─┘
//! ```
//!
//! It never waits for anything but its inputs and the core's deadline. What a batch makes necessary is sent together,
//! grouped by peer and class, so that many writes share one append.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rauthy_core::message::Class;
use rauthy_core::{Done, Input, Message, Node, Output, Refusal, Slot, Span, Time};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::handle::{Command, Proposal};
use super::metrics::Metrics;
use super::{clock, events};
use crate::mesh::{Incoming, Mesh};

/// Inputs of one kind in a batch, at most.
const BATCH: usize = 256;
/// Gauges are refreshed this often.
const OBSERVE: Span = Span::from_millis(250);

/// Where inputs come from.
pub(super) struct Inputs {
    pub incoming: mpsc::Receiver<Incoming>,
    pub proposals: mpsc::Receiver<Proposal>,
    pub commands: mpsc::Receiver<Command>,
}

/// The core and what its outputs go to.
pub(super) struct Task {
    node: Node,
    /// `None`: a single node.
    mesh: Option<Mesh>,
    metrics: Arc<Metrics>,
    waiting: HashMap<u64, oneshot::Sender<Result<Done, Refusal>>>,
    next_ticket: u64,
    handing_over: Vec<oneshot::Sender<()>>,
    out: Vec<Output>,
    observed: Time,
}

impl Task {
    pub fn new(node: Node, mesh: Option<Mesh>, metrics: Arc<Metrics>) -> Self {
        Self {
            node,
            mesh,
            metrics,
            waiting: HashMap::new(),
            next_ticket: 1,
            handing_over: Vec::new(),
            out: Vec::new(),
            observed: Time::default(),
        }
    }

    /// Runs until `stop`, or until nobody holds a handle.
    pub async fn run(mut self, mut inputs: Inputs, stop: CancellationToken) {
        let mut incoming = Vec::with_capacity(BATCH);
        let mut proposals = Vec::with_capacity(BATCH);
        loop {
            let pause = Duration::from_micros(self.node.deadline().since(clock::now()).0);
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                command = inputs.commands.recv() => match command {
                    Some(command) => self.command(command),
                    None => return,
                },
                _ = inputs.incoming.recv_many(&mut incoming, BATCH) => {}
                _ = inputs.proposals.recv_many(&mut proposals, BATCH) => {}
                () = sleep(pause) => {}
            }
            // What else is there already shares the batch.
            while proposals.len() < BATCH
                && let Ok(proposal) = inputs.proposals.try_recv()
            {
                proposals.push(proposal);
            }
            for one in incoming.drain(..) {
                self.step(match one {
                    Incoming::Message(message) => Input::Message(message),
                    Incoming::LinkLost(slot) => Input::LinkLost(slot),
                });
            }
            for proposal in proposals.drain(..) {
                self.propose(proposal);
            }
            self.finish();
        }
    }

    fn step(&mut self, input: Input) {
        self.node.step(clock::now(), input, &mut self.out);
    }

    fn propose(&mut self, Proposal { request, level, reply }: Proposal) {
        if reply.is_closed() {
            // Its client has given up while it waited here: it was never handed to the core.
            return;
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.waiting.insert(ticket, reply);
        self.step(Input::Propose { ticket, request, level });
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Status(reply) => {
                let _ = reply.send(self.node.status(clock::now()));
            }
            Command::HandOver(reply) => {
                self.handing_over.push(reply);
                self.step(Input::HandOver);
            }
        }
    }

    /// Ends a batch: the tick that the core asks for, then everything that it wants done.
    fn finish(&mut self) {
        let now = clock::now();
        if self.node.deadline() <= now {
            self.node.step(now, Input::Tick, &mut self.out);
        }
        let mut batches: Vec<(Slot, Class, Vec<Message>)> = Vec::new();
        for output in std::mem::take(&mut self.out) {
            match output {
                Output::Send(message) => {
                    let class = message.class();
                    match batches.iter_mut().find(|(to, c, _)| *to == message.to && *c == class) {
                        Some((_, _, batch)) => batch.push(message),
                        None => batches.push((message.to.clone(), class, vec![message])),
                    }
                }
                Output::Reply { ticket, result } => {
                    if let Some(reply) = self.waiting.remove(&ticket) {
                        // A client that has given up hears nothing.
                        let _ = reply.send(result);
                    }
                }
                Output::Event(event) => {
                    events::report(&event, &self.metrics);
                    if event == rauthy_core::Event::HandedOver {
                        self.handing_over.drain(..).for_each(|reply| {
                            let _ = reply.send(());
                        });
                    }
                }
            }
        }
        if let Some(mesh) = &self.mesh {
            for (to, class, batch) in batches {
                mesh.send(&to, class, batch);
            }
        }
        if now.since(self.observed) >= OBSERVE {
            self.observed = now;
            let replica = self.node.replica();
            let store = replica.store();
            self.metrics.observe(&self.node.status(now), store.entries(), store.bytes());
        }
    }
}
