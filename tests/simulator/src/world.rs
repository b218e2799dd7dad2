//! The world: runs everything in the order of its time.

use rauthy_core::{AckLevel, Event, HostList, Input, Message, Output, Refusal, Settings, Slot};

use crate::checker::Checker;
use crate::clients::{CACHE, Clients, KEYS, Op};
use crate::faults::Fault;
use crate::network::Network;
use crate::node::{Clock, SimNode};
use crate::random::Random;
use crate::report::{Failure, Mix, Options, Report};
use crate::trace::Trace;

/// Microseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000;
/// After the faults stop, everything must be well within this.
const HEALING: u64 = 60 * SECOND;
/// A write has its answer within this, one way or the other.
const PATIENCE: u64 = 8 * SECOND;
/// The ring is small, so that snapshots happen.
const RING: usize = 24 << 10;
const PENDING: usize = 256 << 10;

/// A world.
#[derive(Debug)]
pub struct World {
    pub(crate) now: u64,
    pub(crate) random: Random,
    pub(crate) nodes: Vec<SimNode>,
    pub(crate) slots: Vec<Slot>,
    pub(crate) network: Network,
    pub(crate) clients: Clients,
    pub(crate) checker: Checker,
    pub(crate) trace: Trace,
    pub(crate) report: Report,
    pub(crate) next_write: u64,
    pub(crate) next_fault: u64,
    pub(crate) heal_at: u64,
    pub(crate) restarts: Vec<(u64, usize)>,
    pub(crate) rolling: Option<usize>,
    pub(crate) faults_until: u64,
    pub(crate) mix: Mix,
    /// Faults that follow an event at once.
    pub(crate) aimed: Vec<(u64, Fault)>,
}

/// Runs one history.
///
/// # Errors
/// If an invariant does not hold or the world does not heal.
pub fn run(options: &Options) -> Result<Report, Box<Failure>> {
    let mut world = World::new(options);
    world.run().map_err(|message| {
        world.trace.line(world.now, &format!("FAILED: {message}"));
        Box::new(Failure {
            message,
            trace: world.trace.tail(60),
            replay: format!(
                "cargo run -p rauthy-simulator -- replay --seed {} --nodes {} --seconds {}{}",
                options.seed,
                options.nodes,
                options.seconds,
                if options.mix == Mix::Rolling { " --rolling" } else { "" }
            ),
        })
    })
}

impl World {
    /// A world in which nothing has happened.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let mut random = Random::new(options.seed ^ (options.nodes as u64) << 56);
        let slots: Vec<Slot> = (0..options.nodes).map(|i| Slot::new(&format!("n{i}:8000"))).collect();
        let hosts = HostList::fixed(slots.clone());
        let nodes = slots
            .iter()
            .map(|slot| {
                let mut settings = Settings::new(slot.clone());
                settings.ring_bytes = RING;
                settings.pending_bytes = PENDING;
                let clock = Clock {
                    offset: random.between(0, 1 << 50),
                    ppm: random.between(0, 20_001) as i64 - 10_000,
                };
                SimNode::new(settings, hosts.clone(), clock)
            })
            .collect();
        let faults_until = options.seconds * SECOND;
        let mut trace = Trace::default();
        trace.live = options.live;
        Self {
            now: 0,
            random,
            nodes,
            slots,
            network: Network::default(),
            clients: Clients::default(),
            checker: Checker::default(),
            trace,
            report: Report::default(),
            next_write: SECOND,
            next_fault: 4 * SECOND,
            heal_at: u64::MAX,
            restarts: Vec::new(),
            rolling: None,
            faults_until,
            mix: options.mix,
            aimed: Vec::new(),
        }
    }

    fn run(&mut self) -> Result<Report, String> {
        for slot in 0..self.nodes.len() {
            self.restarts.push((self.random.between(0, SECOND), slot));
        }
        while self.now < self.faults_until {
            self.advance(self.faults_until)?;
        }
        self.heal_everything();
        let end = self.now + HEALING;
        while !self.converged() {
            if self.now >= end {
                return Err(format!("17: not healed after {} s: {}", HEALING / SECOND, self.describe()));
            }
            self.advance(end)?;
        }
        for node in &self.nodes {
            if let Some(node) = &node.node {
                self.checker.nothing_lost(node)?;
            }
        }
        self.writes_succeed()?;
        self.report.hash = self.trace.hash();
        self.report.time = self.now;
        self.report.generations = self.checker.generations() as u64;
        self.report.entries = self.checker.committed() as u64;
        self.report.writes = self.clients.answers;
        self.report.reads = self.clients.reads;
        self.report.messages = self.network.sent;
        Ok(self.report.clone())
    }

    /// The next thing that happens, no later than `until`.
    fn advance(&mut self, until: u64) -> Result<(), String> {
        let timers = self.nodes.iter().map(|n| n.frozen_until.unwrap_or(n.timer)).min().unwrap_or(u64::MAX);
        let restart = self.restarts.iter().map(|(at, _)| *at).min().unwrap_or(u64::MAX);
        let faulty = self.now < self.faults_until;
        let aimed = self.aimed.iter().map(|(at, _)| *at).min().unwrap_or(u64::MAX);
        let next = [timers, restart, aimed, self.network.next_arrival(), self.next_write, self.heal_at]
            .into_iter()
            .chain(faulty.then_some(self.next_fault))
            .min()
            .unwrap_or(until);
        self.now = self.now.max(next.min(until));
        if next > until {
            return Ok(());
        }
        if let Some(at) = self.restarts.iter().position(|(at, _)| *at <= self.now) {
            let (_, slot) = self.restarts.swap_remove(at);
            self.start(slot);
        } else if let Some(at) = self.aimed.iter().position(|(at, _)| *at <= self.now) {
            let (_, fault) = self.aimed.swap_remove(at);
            self.inject(&fault)?;
        } else if let Some(slot) =
            self.nodes.iter().position(|n| n.frozen_until.is_some_and(|at| at <= self.now))
        {
            self.thaw(slot)?;
        } else if let Some((to, message)) = self.network.arrive(self.now) {
            self.deliver(to, Input::Message(message))?;
        } else if let Some(slot) = self.nodes.iter().position(|n| n.runs() && n.timer <= self.now) {
            self.step(slot, Input::Tick)?;
        } else if self.heal_at <= self.now {
            self.network.heal();
            self.heal_at = u64::MAX;
            self.trace.line(self.now, "the network heals");
        } else if self.next_write <= self.now {
            self.use_cache()?;
            self.next_write = self.now + self.random.between(1000, 40_000);
        } else if faulty && self.next_fault <= self.now {
            let fault = match self.mix {
                Mix::Any => Fault::any(self.nodes.len(), &mut self.random),
                Mix::Rolling => Fault::Rolling,
            };
            self.inject(&fault)?;
            self.next_fault = self.now + self.random.between(100_000, 4 * SECOND);
        }
        self.roll()
    }

    fn start(&mut self, slot: usize) {
        if self.nodes[slot].node.is_some() {
            return;
        }
        let seed = std::array::from_fn(|_| self.random.bits());
        self.nodes[slot].start(self.now, seed);
        self.trace.line(self.now, &format!("n{slot} starts"));
    }

    pub(crate) fn crash(&mut self, slot: usize, restart_in: u64) -> Result<(), String> {
        if self.nodes[slot].node.is_none() {
            return Ok(());
        }
        self.nodes[slot].crash();
        self.clients.abandon(slot);
        self.restarts.push((self.now + restart_in, slot));
        for other in 0..self.nodes.len() {
            // Usually the kernel of a dead process says so; a dead machine says nothing.
            if other != slot && self.random.chance(700) {
                self.deliver(other, Input::LinkLost(self.slots[slot].clone()))?;
            }
        }
        Ok(())
    }

    fn thaw(&mut self, slot: usize) -> Result<(), String> {
        self.nodes[slot].frozen_until = None;
        self.nodes[slot].runs_since = self.now;
        self.trace.line(self.now, &format!("n{slot} goes on"));
        for input in std::mem::take(&mut self.nodes[slot].waiting) {
            self.step(slot, input)?;
        }
        self.step(slot, Input::Tick)
    }

    pub(crate) fn deliver(&mut self, slot: usize, input: Input) -> Result<(), String> {
        if self.nodes[slot].frozen_until.is_some() {
            self.nodes[slot].waiting.push(input);
            return Ok(());
        }
        self.step(slot, input)
    }

    fn step(&mut self, slot: usize, input: Input) -> Result<(), String> {
        let mut out = Vec::new();
        self.nodes[slot].step(self.now, input, &mut out);
        let Some(node) = self.nodes[slot].node.as_ref() else { return Ok(()) };
        self.checker.after_step(node, 2 * RING + 2 * PENDING)?;
        for output in out {
            self.output(slot, output)?;
        }
        Ok(())
    }

    fn output(&mut self, slot: usize, output: Output) -> Result<(), String> {
        match output {
            Output::Send(message) => self.send(slot, message)?,
            Output::Reply { ticket, result } => {
                let Some(op) = self.clients.pending.remove(&(slot, ticket)) else {
                    return Err(format!("n{slot} answered ticket {ticket} twice or for nobody"));
                };
                self.clients.answers[match result {
                    Ok(_) => 0,
                    Err(Refusal::UnknownOutcome) => 1,
                    Err(Refusal::NoQuorum) => 2,
                    Err(Refusal::Limit) => 3,
                    Err(Refusal::NotLeader) => {
                        return Err("a client was told that a node does not lead".into());
                    }
                }] += 1;
                let generation =
                    self.nodes[slot].node.as_ref().and_then(|n| n.inside()).map(|i| i.generation);
                if let (Ok(done), Some(generation), AckLevel::Quorum) = (result, generation, op.level) {
                    self.checker.acked_quorum(self.now, generation, &op, done)?;
                }
            }
            Output::Event(event) => self.event(slot, &event)?,
        }
        Ok(())
    }

    fn send(&mut self, slot: usize, message: Message) -> Result<(), String> {
        self.checker.sent(&message)?;
        let Some(to) = self.slots.iter().position(|s| *s == message.to) else { return Ok(()) };
        self.network.send(self.now, slot, to, message, &mut self.random);
        self.trace.mix(self.now ^ (to as u64) << 60);
        Ok(())
    }

    fn event(&mut self, slot: usize, event: &Event) -> Result<(), String> {
        match event {
            Event::Leading { .. } => {
                if let Some(node) = &self.nodes[slot].node {
                    self.checker.leads(node)?;
                }
            }
            Event::Campaign { .. } => self.report.elections += 1,
            Event::Wiped { .. } => {
                self.report.wipes += 1;
            }
            Event::SnapshotInstalled { .. } => self.report.snapshots += 1,
            Event::Configured { configuration, .. } if configuration.maps.len() == 2 => {
                self.report.swaps += 1
            }
            _ => {}
        }
        self.trace.line(self.now, &format!("n{slot} {event:?}"));
        self.aim(slot, event);
        Ok(())
    }

    /// Whoever asks gets an answer.
    fn everybody_is_answered(&self) -> Result<(), String> {
        for ((slot, ticket), op) in &self.clients.pending {
            let node = &self.nodes[*slot];
            if node.runs() && self.now - op.at.max(node.runs_since).min(self.now) > PATIENCE {
                return Err(format!(
                    "n{slot} has not answered ticket {ticket} for {} s: {op:?}",
                    PATIENCE / SECOND
                ));
            }
        }
        Ok(())
    }

    /// A write and a read, each somewhere.
    fn use_cache(&mut self) -> Result<(), String> {
        self.everybody_is_answered()?;
        let slot = self.random.pick(self.nodes.len());
        if self.nodes[slot].runs() {
            let (ticket, op) = self.clients.write(self.now, slot, &mut self.random);
            self.step(slot, Input::Propose { ticket, request: op.request(), level: op.level })?;
        }
        let slot = self.random.pick(self.nodes.len());
        if let (true, Some(node)) = (self.nodes[slot].runs(), &self.nodes[slot].node) {
            let key = self.random.between(0, KEYS);
            let clock = self.nodes[slot].clock.local(self.now);
            match node.replica().get(CACHE, &Op::key_bytes(key), || clock) {
                Ok(found) => {
                    self.clients.reads.0 += 1;
                    self.checker.read(self.now, node, key, &found)?;
                }
                Err(_) => self.clients.reads.1 += 1,
            }
        }
        Ok(())
    }

    /// 17: one leader, one configuration that seats everybody, equal digests, all serving.
    fn converged(&self) -> bool {
        let inside: Vec<_> = self.nodes.iter().filter_map(|n| n.node.as_ref()?.inside()).collect();
        let Some(first) = inside.first() else { return false };
        let settled = |i: &rauthy_core::node::Inside<'_>| match i.configurations.as_slice() {
            [one] => {
                one.settled() && self.nodes.iter().all(|n| n.node.as_ref().is_some_and(|n| one.seats(n.me())))
            }
            _ => false,
        };
        let digest = |n: &SimNode| n.node.as_ref().map(|n| n.replica().store().digest());
        self.all_ready()
            && inside.len() == self.nodes.len()
            && inside.iter().filter(|i| i.leads).count() == 1
            && inside
                .iter()
                .all(|i| i.generation == first.generation && i.commit == first.commit && settled(i))
            && self.nodes.iter().all(|n| digest(n) == digest(&self.nodes[0]))
    }

    fn describe(&self) -> String {
        self.nodes
            .iter()
            .enumerate()
            .map(|(i, n)| match &n.node {
                Some(node) => format!("\n  n{i}: {:?}", node.status(n.clock.local(self.now))),
                None => format!("\n  n{i}: dead"),
            })
            .collect()
    }

    /// 17: a write through every node is acknowledged.
    fn writes_succeed(&mut self) -> Result<(), String> {
        for slot in 0..self.nodes.len() {
            let op = Op {
                key: 0,
                value: Some(bytes::Bytes::from_static(b"last")),
                ttl: None,
                level: AckLevel::Quorum,
                at: self.now,
            };
            let ticket = u64::MAX - slot as u64;
            self.clients.pending.insert((slot, ticket), op.clone());
            let ok = self.clients.answers[0];
            self.step(slot, Input::Propose { ticket, request: op.request(), level: op.level })?;
            let end = self.now + 2 * SECOND;
            while self.clients.pending.contains_key(&(slot, ticket)) {
                if self.now >= end {
                    return Err(format!("17: a write through n{slot} got no answer: {}", self.describe()));
                }
                self.advance(end)?;
            }
            if self.clients.answers[0] == ok {
                return Err(format!("17: a write through n{slot} failed: {}", self.describe()));
            }
        }
        Ok(())
    }
}
