//! The one task that owns the consensus core.
//!
//! ```text
//! mesh ── Incoming ─┐
//! clients ── Call ──┼──▶ a batch of inputs ──▶ Node::step each ──▶ one Tick ──▶ outputs ──▶ mesh, replies, log
//! others ─ Command ─┘
//! ```
//!
//! It never waits for anything but its inputs and the core's deadline. What a batch makes necessary is sent together,
//! grouped by peer and class, so that many writes share one append.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rauthy_core::message::Class;
use rauthy_core::replica::Position;
use rauthy_core::{
    Done, Event, Generation, HostList, Input, Message, Node, Output, ReadPoint, Refusal, SizeProgress,
    SizeRefusal, Slot, Span, Status, Time,
};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::handle::{Call, Command, UnderWay, Written};
use super::metrics::Metrics;
use super::tickets::Tickets;
use super::{clock, events};
use crate::mesh::{Incoming, Mesh};

/// Inputs of one kind in a batch, at most.
const BATCH: usize = 256;
/// Gauges are refreshed this often.
const OBSERVE: Span = Span::from_millis(250);

/// Where inputs come from.
pub(super) struct Inputs {
    pub incoming: mpsc::Receiver<Incoming>,
    pub calls: mpsc::Receiver<Call>,
    pub commands: mpsc::Receiver<Command>,
}

/// Who waits for the answer to a ticket.
enum Waiting {
    Write(oneshot::Sender<Result<Written, Refusal>>),
    /// Nobody: a write at level Direct takes up room until then.
    Direct(UnderWay),
    Read(oneshot::Sender<Option<ReadPoint>>),
    Size(oneshot::Sender<Result<SizeProgress, SizeRefusal>>),
}

/// The core and what its outputs go to.
pub(super) struct Task {
    node: Node,
    /// `None`: a single node.
    mesh: Option<Mesh>,
    metrics: Arc<Metrics>,
    /// The newest host list.
    hosts: HostList,
    /// What this life belongs to.
    generation: Option<Generation>,
    waiting: Tickets<Waiting>,
    handing_over: Vec<oneshot::Sender<()>>,
    out: Vec<Output>,
    clocks: clock::Comparison,
    observed: Time,
    applied: Arc<Notify>,
    last_applied: u64,
}

impl Task {
    pub fn new(
        node: Node,
        hosts: HostList,
        mesh: Option<Mesh>,
        metrics: Arc<Metrics>,
        applied: Arc<Notify>,
    ) -> Self {
        Self {
            node,
            mesh,
            metrics,
            hosts,
            generation: None,
            waiting: Tickets::default(),
            handing_over: Vec::new(),
            out: Vec::new(),
            clocks: clock::Comparison::default(),
            observed: Time::default(),
            applied,
            last_applied: 0,
        }
    }

    /// Runs until `stop`, or until nobody holds a handle.
    pub async fn run(mut self, mut inputs: Inputs, stop: CancellationToken) {
        let mut incoming = Vec::with_capacity(BATCH);
        let mut calls = Vec::with_capacity(BATCH);
        loop {
            let pause = Duration::from_micros(self.node.deadline().since(clock::now()).0);
            let mut command = None;
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                one = inputs.commands.recv() => match one {
                    Some(one) => command = Some(one),
                    None => return,
                },
                _ = inputs.incoming.recv_many(&mut incoming, BATCH) => {}
                _ = inputs.calls.recv_many(&mut calls, BATCH) => {}
                () = sleep(pause) => {}
            }
            // What else is there already shares the batch.
            while calls.len() < BATCH
                && let Ok(call) = inputs.calls.try_recv()
            {
                calls.push(call);
            }
            // The moment of the batch: all of it has happened before, so that no promise begins before what it answers.
            let (now, jumped) = self.clocks.look();
            // Before anything else: no lease is believed that was measured with a clock that jumped.
            if jumped {
                tracing::warn!(
                    "the clocks of this machine have jumped apart: nothing is read until they are trusted anew"
                );
                self.step(now, Input::ClockJumped);
            }
            if let Some(command) = command {
                self.command(now, command);
            }
            for one in incoming.drain(..) {
                self.step(
                    now,
                    match one {
                        Incoming::Message(message) => Input::Message(message),
                        Incoming::LinkLost(slot) => Input::LinkLost(slot),
                    },
                );
            }
            for call in calls.drain(..) {
                self.call(now, call);
            }
            self.finish(now);
        }
    }

    fn step(&mut self, now: Time, input: Input) {
        self.node.step(now, input, &mut self.out);
    }

    fn call(&mut self, now: Time, call: Call) {
        if call.is_abandoned() {
            // Its client has given up while it waited here: it was never handed to the core.
            return;
        }
        match call {
            Call::Write { request, stamp, level, deadline, reply } => {
                let ticket = self.waiting.give(Waiting::Write(reply));
                self.step(now, Input::Propose { ticket, stamp, request, level, deadline });
            }
            Call::Direct { generation, request, deadline, under_way } => {
                let ticket = self.waiting.give(Waiting::Direct(under_way));
                self.step(now, Input::Shown { ticket, generation, request, deadline });
            }
            Call::Read { deadline, reply } => {
                let ticket = self.waiting.give(Waiting::Read(reply));
                self.step(now, Input::Read { ticket, deadline });
            }
        }
    }

    fn command(&mut self, now: Time, command: Command) {
        match command {
            Command::Status(reply) => {
                let _ = reply.send(self.node.status(now));
            }
            Command::HandOver(reply) => {
                self.handing_over.push(reply);
                self.step(now, Input::HandOver);
            }
            Command::Hosts(hosts) => {
                if hosts.epoch >= self.hosts.epoch {
                    self.hosts = hosts.clone();
                    self.meet(&self.node.status(now));
                }
                self.step(now, Input::Hosts(hosts));
            }
            Command::SetSize(change, reply) => {
                let ticket = self.waiting.give(Waiting::Size(reply));
                self.step(now, Input::SetSize { ticket, change });
            }
        }
    }

    /// Peers are the slots of the host list, and those of the configuration for as long as the log names them.
    fn meet(&self, status: &Status) {
        let Some(mesh) = &self.mesh else { return };
        let configured = status.configuration.iter().flat_map(|c| c.slots());
        mesh.set_peers(&self.hosts.slots().into_iter().chain(configured).collect::<BTreeSet<_>>());
    }

    /// Ends a batch: the tick that the core asks for, then everything that it wants done.
    fn finish(&mut self, now: Time) {
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
                Output::Reply { ticket, result } => self.reply(ticket, result),
                Output::ReadReady { ticket, point } => {
                    if let Some(Waiting::Read(reply)) = self.waiting.take(ticket) {
                        let _ = reply.send(point);
                    }
                }
                Output::Size { ticket, progress } => {
                    if let Some(Waiting::Size(reply)) = self.waiting.take(ticket) {
                        let _ = reply.send(progress);
                    }
                }
                Output::Event(event) => self.event(&event),
            }
        }
        if let Some(mesh) = &self.mesh {
            for (to, class, batch) in batches {
                mesh.send(&to, class, batch);
            }
        }
        let replica = self.node.replica();
        let applied = replica.store().applied();
        if applied != self.last_applied {
            self.last_applied = applied;
            self.applied.notify_waiters();
        }
        if now.since(self.observed) >= OBSERVE {
            self.observed = now;
            let status = self.node.status(now);
            self.metrics.observe(&status, replica.store().entries(), replica.store().bytes());
            self.meet(&status);
        }
    }

    /// A client that has given up hears nothing.
    fn reply(&mut self, ticket: u64, result: Result<Done, Refusal>) {
        let reply = match self.waiting.take(ticket) {
            Some(Waiting::Write(reply)) => reply,
            Some(Waiting::Direct(under_way)) => {
                drop(under_way);
                self.metrics.direct_lost.inc_by(u64::from(result.is_err()));
                return;
            }
            _ => return,
        };
        // What is answered was written in this life's generation: messages of another one are dropped.
        let position = |index| self.generation.map(|generation| Position { generation, index });
        let _ = reply.send(result.map(|done| Written {
            position: Some(done.version).filter(|index| *index > 0).and_then(position),
            done,
        }));
    }

    fn event(&mut self, event: &Event) {
        events::report(event, &self.metrics);
        match event {
            Event::Born { .. } => {
                self.generation = None;
                self.applied.notify_waiters();
            }
            Event::Bound { generation, .. } => self.generation = Some(*generation),
            Event::HandedOver => self.handing_over.drain(..).for_each(|reply| {
                let _ = reply.send(());
            }),
            _ => {}
        }
    }
}
