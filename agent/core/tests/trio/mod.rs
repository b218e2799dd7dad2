//! Three nodes in one process: no network, no thread, one virtual clock for all. What one sends arrives at once and
//! in order.
//!
//! ```text
//! Trio ─┬─ nodes    rauthy_core::Node, three
//!       ├─ flying   messages on their way, with the node that they go to
//!       ├─ out      what the last step wanted done; reused, so that driving the nodes allocates nothing
//!       └─ now      microseconds, moved on to the next deadline when nothing flies
//! ```

use std::collections::VecDeque;

use rauthy_core::{
    AckLevel, HostList, Input, Message, Node, Output, Request, Role, Settings, Slot, Span, Time,
};

/// Every write is answered long before.
const PATIENCE: Span = Span::from_millis(10_000);

/// Three nodes and what flies between them.
pub struct Trio {
    /// The nodes.
    pub nodes: Vec<Node>,
    /// The moment, in microseconds.
    pub now: u64,
    /// Proposals answered with a result so far.
    pub done: u64,
    /// Proposals refused so far.
    pub refused: u64,
    /// Messages sent so far.
    pub sent: u64,
    slots: Vec<Slot>,
    flying: VecDeque<(usize, Message)>,
    out: Vec<Output>,
}

impl Trio {
    /// Three nodes that have just begun, each with these settings for its slot.
    pub fn new(settings: impl Fn(Slot) -> Settings) -> Self {
        let slots: Vec<Slot> = (0..3).map(|i| Slot::new(&format!("n{i}:1"))).collect();
        let hosts = HostList::fixed(slots.clone());
        let nodes = (1..)
            .zip(&slots)
            .map(|(i, slot)| Node::new(settings(slot.clone()), hosts.clone(), [i, i, i, i], Time(0)))
            .collect();
        let (flying, out) = (VecDeque::with_capacity(64), Vec::with_capacity(64));
        Self { nodes, now: 0, done: 0, refused: 0, sent: 0, slots, flying, out }
    }

    /// Gives a node an input; what it sends flies, what it answers is counted.
    pub fn step(&mut self, node: usize, input: Input) {
        self.nodes[node].step(Time(self.now), input, &mut self.out);
        for output in self.out.drain(..) {
            match output {
                Output::Send(message) => {
                    if let Some(to) = self.slots.iter().position(|slot| *slot == message.to) {
                        self.sent += 1;
                        self.flying.push_back((to, message));
                    }
                }
                Output::Reply { result: Ok(_), .. } => self.done += 1,
                Output::Reply { result: Err(_), .. } => self.refused += 1,
                Output::Event(_) | Output::ReadReady { .. } | Output::Size { .. } => {}
            }
        }
    }

    /// A client of this node wants something committed; the node stamps it.
    pub fn propose(&mut self, node: usize, ticket: u64, request: Request) {
        let deadline = Time(self.now) + PATIENCE;
        self.step(node, Input::Propose { ticket, stamp: None, request, level: AckLevel::Quorum, deadline });
    }

    /// Delivers what flies, and lets every node do what that made necessary, until nothing is left to do at this
    /// moment.
    pub fn settle(&mut self) {
        loop {
            while let Some((to, message)) = self.flying.pop_front() {
                self.step(to, Input::Message(message));
            }
            let Some(due) = self.nodes.iter().position(|node| node.deadline() <= Time(self.now)) else {
                return;
            };
            self.step(due, Input::Tick);
        }
    }

    /// Lets this much time go by, from deadline to deadline.
    pub fn run_for(&mut self, span: Span) {
        let end = self.now + span.0;
        loop {
            self.settle();
            let next = self.nodes.iter().map(|node| node.deadline().0).min().unwrap_or(end);
            if next > end {
                break;
            }
            self.now = next.max(self.now);
        }
        self.now = end;
    }

    /// Runs until one leads and all are ready; says which one leads.
    ///
    /// # Panics
    /// If that has not come after a minute.
    pub fn ready(&mut self) -> usize {
        for _ in 0..600 {
            self.run_for(Span::from_millis(100));
            let all: Vec<_> = self.nodes.iter().map(|node| node.status(Time(self.now))).collect();
            let leader = all.iter().position(|status| status.role == Role::Leader);
            if let Some(leader) = leader.filter(|_| all.iter().all(|status| status.ready)) {
                return leader;
            }
        }
        panic!("three nodes without a fault did not become ready");
    }
}
