//! The world: runs everything in the order of its time.

use rauthy_core::{AckLevel, Event, HostList, Input, Message, Output, Refusal, Settings, Slot};

use crate::checker::Checker;
use crate::clients::{CACHE, Clients, KEYS, Op};
use crate::faults::{Fault, KINDS};
use crate::network::{Network, Weather};
use crate::node::{Clock, SimNode};
use crate::random::Random;
use crate::trace::Trace;

/// Microseconds in a second.
const SECOND: u64 = 1_000_000;
/// After the faults stop, everything must be well within this.
const HEALING: u64 = 60 * SECOND;
/// A write has its answer within this, one way or the other.
const PATIENCE: u64 = 8 * SECOND;
/// The ring is small, so that snapshots happen.
const RING: usize = 24 << 10;
const PENDING: usize = 256 << 10;

/// Which faults happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mix {
    /// All kinds.
    #[default]
    Any,
    /// Nothing but one restart after the other, each when everybody is ready.
    Rolling,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The history.
    pub seed: u64,
    /// Slots.
    pub nodes: usize,
    /// Seconds with faults.
    pub seconds: u64,
    /// Print the trace as it happens.
    pub live: bool,
    /// Which faults.
    pub mix: Mix,
}

/// What a history that went well was like.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Equal for equal histories.
    pub hash: u64,
    /// Virtual time, in microseconds.
    pub time: u64,
    /// Faults by kind, as in [`KINDS`].
    pub faults: [u64; KINDS.len()],
    /// Campaigns.
    pub elections: u64,
    /// Generations that committed something.
    pub generations: u64,
    /// Committed configurations that changed a seat.
    pub swaps: u64,
    /// Snapshots installed.
    pub snapshots: u64,
    /// Wipes.
    pub wipes: u64,
    /// Entries committed.
    pub entries: u64,
    /// Writes: ok, unknown, no quorum, limit.
    pub writes: [u64; 4],
    /// Reads answered and refused.
    pub reads: (u64, u64),
    /// Messages sent.
    pub messages: u64,
}

impl Report {
    /// Adds what another history was like.
    pub fn add(&mut self, other: &Self) {
        self.time += other.time;
        self.elections += other.elections;
        self.generations += other.generations;
        self.swaps += other.swaps;
        self.snapshots += other.snapshots;
        self.wipes += other.wipes;
        self.entries += other.entries;
        self.messages += other.messages;
        self.reads = (self.reads.0 + other.reads.0, self.reads.1 + other.reads.1);
        for (sum, n) in self.faults.iter_mut().zip(other.faults) {
            *sum += n;
        }
        for (sum, n) in self.writes.iter_mut().zip(other.writes) {
            *sum += n;
        }
    }
}

/// A history that went wrong.
#[derive(Debug)]
pub struct Failure {
    /// What did not hold.
    pub message: String,
    /// The end of the trace.
    pub trace: String,
    /// How to see it again.
    pub replay: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}\n{}\nreplay with: {}", self.trace, self.message, self.replay)
    }
}

/// A world.
#[derive(Debug)]
pub struct World {
    now: u64,
    random: Random,
    nodes: Vec<SimNode>,
    slots: Vec<Slot>,
    network: Network,
    clients: Clients,
    checker: Checker,
    trace: Trace,
    report: Report,
    next_write: u64,
    next_fault: u64,
    heal_at: u64,
    restarts: Vec<(u64, usize)>,
    rolling: Option<usize>,
    faults_until: u64,
    mix: Mix,
    /// Faults that follow an event at once.
    aimed: Vec<(u64, Fault)>,
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

    fn crash(&mut self, slot: usize, restart_in: u64) -> Result<(), String> {
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

    fn deliver(&mut self, slot: usize, input: Input) -> Result<(), String> {
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

    /// What goes wrong just after something has changed finds what random moments do not.
    fn aim(&mut self, slot: usize, event: &Event) {
        let turning = matches!(
            event,
            Event::Configured { .. }
                | Event::Leading { .. }
                | Event::SnapshotInstalled { .. }
                | Event::Following { .. }
                | Event::Bound { .. }
        );
        let faulty = self.mix == Mix::Any && self.now < self.faults_until;
        if faulty && turning && self.random.chance(12) {
            let at = self.now + self.random.between(0, 2500);
            let target = if self.random.chance(600) { slot } else { self.random.pick(self.nodes.len()) };
            let fault = match self.random.pick(3) {
                0 => Fault::HandOver(target),
                1 => Fault::Freeze(target, self.random.between(100_000, 3_000_000)),
                _ => Fault::Crash(target),
            };
            self.aimed.push((at, fault));
        }
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

    fn inject(&mut self, fault: &Fault) -> Result<(), String> {
        self.report.faults[fault.kind()] += 1;
        self.trace.line(self.now, &format!("FAULT {fault:?}"));
        let n = self.nodes.len();
        let longest = if self.random.chance(150) { 20 } else { 5 } * SECOND;
        let later = self.now + self.random.between(200_000, longest);
        match fault {
            Fault::Crash(slot) => {
                let restart = self.random.between(1000, 4 * SECOND);
                self.crash(*slot, restart)?;
            }
            Fault::CrashMajority => {
                for slot in 0..=n / 2 {
                    let restart = self.random.between(1000, 2 * SECOND);
                    self.crash(slot, restart)?;
                }
            }
            Fault::Freeze(slot, time) if self.nodes[*slot].runs() => {
                self.nodes[*slot].frozen_until = Some(self.now + time);
            }
            Fault::Freeze(..) => {}
            Fault::Isolate(slot) => {
                self.cut(|from, to| from == *slot || to == *slot, later);
            }
            Fault::Split(side) => {
                self.cut(|from, to| side >> from & 1 != side >> to & 1, later);
            }
            Fault::OneWay(from, to) => {
                self.network.cut.insert((*from, *to));
                self.heal_at = later;
            }
            Fault::Bridge(slot) => {
                self.cut(|from, to| from != *slot && to != *slot && from % 2 != to % 2, later);
            }
            Fault::Storm => {
                self.network.weather = Weather {
                    delay: (100, self.random.between(1000, 400_000)),
                    loss: 80,
                    doubles: 50,
                    ..Weather::fair()
                };
                self.heal_at = later;
            }
            Fault::Slow(slot, delay) => {
                self.network.slow = Some((*slot, *delay));
                self.heal_at = later;
            }
            Fault::HandOver(slot) => self.deliver(*slot, Input::HandOver)?,
            Fault::LinkLost(slot, other) => {
                self.deliver(*slot, Input::LinkLost(self.slots[*other].clone()))?;
            }
            Fault::Held => {
                self.network.weather.held = 20;
                self.heal_at = later;
            }
            Fault::NoBulk => {
                self.network.weather.no_bulk = true;
                self.heal_at = later;
            }
            Fault::Rolling => self.rolling = Some(0),
        }
        Ok(())
    }

    fn cut(&mut self, which: impl Fn(usize, usize) -> bool, until: u64) {
        for from in 0..self.nodes.len() {
            for to in 0..self.nodes.len() {
                if from != to && which(from, to) {
                    self.network.cut.insert((from, to));
                }
            }
        }
        self.heal_at = until;
    }

    /// A rolling restart goes on when everybody is ready.
    fn roll(&mut self) -> Result<(), String> {
        let Some(slot) = self.rolling else { return Ok(()) };
        if slot >= self.nodes.len() {
            self.rolling = None;
        } else if self.now.is_multiple_of(8) && self.all_ready() {
            self.crash(slot, 50_000)?;
            self.trace.line(self.now, &format!("n{slot} restarts in its turn"));
            self.rolling = Some(slot + 1);
        }
        Ok(())
    }

    fn all_ready(&self) -> bool {
        self.nodes.iter().all(|n| {
            n.runs() && n.node.as_ref().is_some_and(|node| node.status(n.clock.local(self.now)).ready)
        })
    }

    fn heal_everything(&mut self) {
        self.trace.line(self.now, "the faults stop");
        self.network.heal();
        self.heal_at = u64::MAX;
        self.rolling = None;
        for node in &mut self.nodes {
            node.frozen_until = node.frozen_until.map(|_| self.now);
        }
        for (at, _) in &mut self.restarts {
            *at = self.now;
        }
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
