//! The world: runs everything in the order of its time.

use std::collections::{BTreeMap, VecDeque};

use rauthy_core::message::Body;
use rauthy_core::{
    Event, Input, Message, Output, Settings, SizeChange, SizeProgress, SizeRefusal, Slot, Span,
};

use crate::checker::Checker;
use crate::clients::Clients;
use crate::faults::Fault;
use crate::network::Network;
use crate::node::{Clock, SimNode};
use crate::operator::Operator;
use crate::random::Random;
use crate::report::{Failure, Mix, Options, Report};
use crate::trace::{Trace, configuration, tell};

/// Microseconds in a second.
pub(crate) const SECOND: u64 = 1_000_000;
/// After the faults stop, everything must be well within this.
const HEALING: u64 = 60 * SECOND;
/// The ring is small, so that snapshots happen.
pub(crate) const RING: usize = 24 << 10;
pub(crate) const PENDING: usize = 256 << 10;
/// So long after a leadership has begun every node is read from at every step.
const WATCHED: u64 = 4000;
/// Slots that a world with changes of size may use.
const MOST_SLOTS: usize = 7;

/// Limits are small, so that they are reached.
fn limit(settings: &mut Settings) {
    settings.ring_bytes = RING;
    settings.pending_bytes = PENDING;
    settings.window_bytes = 32 << 10;
    settings.store_bytes = 256 << 10;
    settings.session_window = 256;
    settings.sessions = 64;
    settings.session_idle = Span::from_millis(15_000);
    settings.dedup_bytes = 128 << 10;
    settings.waiting = 512;
    settings.waiting_bytes = 128 << 10;
    settings.value_bytes = 64 << 10;
}

/// A world.
#[derive(Debug)]
pub struct World {
    pub(crate) operator: Operator,
    /// Requests for a change of size that are on their way for long.
    pub(crate) delayed: Vec<(u64, usize, SizeChange)>,
    /// Answers to them, by ticket.
    pub(crate) sized: BTreeMap<u64, Result<SizeProgress, SizeRefusal>>,
    /// Clocks run beyond what the protocol assumes: leases promise nothing.
    pub(crate) drift_beyond: bool,
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
    /// A leadership has just begun: until then, everybody is read from at every step.
    watched_until: u64,
    pub(crate) next_fault: u64,
    pub(crate) heal_at: u64,
    pub(crate) restarts: Vec<(u64, usize)>,
    /// Nothing reaches it until it asks for an election.
    pub(crate) deaf: Option<usize>,
    pub(crate) rolling: Option<usize>,
    pub(crate) faults_until: u64,
    pub(crate) mix: Mix,
    /// Faults that are not random.
    pub(crate) script: Option<VecDeque<(u64, Fault)>>,
    /// When the clients' fortunes are told again, and what they were.
    tell_at: u64,
    told: [u64; 4],
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
                "cargo run -p rauthy-simulator -- replay --seed {} --nodes {} --seconds {} --mix {}",
                options.seed,
                options.nodes,
                options.seconds,
                options.mix.name(),
            ),
        })
    })
}

impl World {
    /// A world in which nothing has happened.
    #[must_use]
    pub fn new(options: &Options) -> Self {
        let mut random = Random::new(options.seed ^ (options.nodes as u64) << 56);
        let most = if options.mix.resizes() { options.nodes.max(MOST_SLOTS) } else { options.nodes };
        let slots: Vec<Slot> = (0..most).map(Self::slot).collect();
        let operator = Operator::new(options.nodes);
        let hosts = operator.written.clone();
        let drift_beyond = options.mix == Mix::Any && random.chance(60);
        let drift = if drift_beyond { 80_000 } else { 10_000 };
        let nodes = slots
            .iter()
            .map(|slot| {
                let mut settings = Settings::new(slot.clone());
                limit(&mut settings);
                settings.testing.mutant = options.mutant;
                let clock = Clock {
                    offset: random.between(0, 1 << 50),
                    ppm: random.between(0, 2 * drift + 1) as i64 - drift as i64,
                };
                SimNode::new(settings, hosts.clone(), clock)
            })
            .collect();
        let faults_until = options.seconds * SECOND;
        let mut trace = Trace::default();
        trace.live = options.live;
        Self {
            operator,
            delayed: Vec::new(),
            sized: BTreeMap::new(),
            drift_beyond,
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
            watched_until: 0,
            next_fault: 4 * SECOND,
            heal_at: u64::MAX,
            restarts: Vec::new(),
            deaf: None,
            rolling: None,
            faults_until,
            mix: options.mix,
            script: options.script.clone().map(VecDeque::from),
            tell_at: if options.script.is_some() { SECOND } else { u64::MAX },
            told: [0; 4],
            aimed: Vec::new(),
        }
    }

    pub(crate) fn run(&mut self) -> Result<Report, String> {
        for slot in 0..self.operator.pods {
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
        for node in &self.nodes[..self.operator.pods] {
            if let Some(node) = &node.node {
                self.report.expected += self.checker.expected();
                self.report.held += node.replica().store().entries() as u64;
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
    pub(crate) fn advance(&mut self, until: u64) -> Result<(), String> {
        let timers = self.nodes.iter().map(|n| n.frozen_until.unwrap_or(n.timer)).min().unwrap_or(u64::MAX);
        let restart = self.restarts.iter().map(|(at, _)| *at).min().unwrap_or(u64::MAX);
        let faulty = self.now < self.faults_until;
        if let Some(script) = &self.script {
            self.next_fault = script.front().map_or(u64::MAX, |(at, _)| at * 1000);
        }
        let aimed = self.aimed.iter().map(|(at, _)| *at).min().unwrap_or(u64::MAX);
        let delayed = self.delayed.iter().map(|(at, ..)| *at).min().unwrap_or(u64::MAX);
        let operator = self.next_of_operator().min(delayed);
        let next = [
            timers,
            restart,
            aimed,
            operator,
            self.tell_at,
            self.network.next_arrival(),
            self.next_write,
            self.heal_at,
        ]
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
        } else if self.next_of_operator() <= self.now {
            self.operate()?;
        } else if self.deliver_delayed()? {
        } else if self.heal_at <= self.now {
            self.network.heal();
            self.heal_at = u64::MAX;
            self.trace.line(self.now, "the network heals");
        } else if self.next_write <= self.now {
            self.use_cache()?;
            // Now and then nobody writes for a while: whoever hears nothing is up to date all the same.
            let quiet = self.script.is_none() && self.random.chance(6);
            self.next_write = self.now
                + if quiet {
                    self.random.between(SECOND, 4 * SECOND)
                } else {
                    self.random.between(1000, 40_000)
                };
        } else if self.tell_at <= self.now {
            self.tell_fortunes();
        } else if faulty && self.next_fault <= self.now {
            let scripted = self.script.as_mut().and_then(VecDeque::pop_front);
            let fault = match (scripted, self.mix) {
                (Some((_, fault)), _) => fault,
                (None, Mix::Rolling) => Fault::Rolling,
                (None, Mix::Any) => Fault::any(self.operator.pods, false, &mut self.random),
                (None, Mix::Resizing) => Fault::any(self.operator.pods, true, &mut self.random),
            };
            self.inject(&fault)?;
            self.next_fault = self.now + self.random.between(100_000, 4 * SECOND);
        }
        if self.now < self.watched_until && self.script.is_none() {
            self.read_everywhere()?;
        }
        self.roll()
    }

    /// What became of the clients' writes in the last second.
    fn tell_fortunes(&mut self) {
        self.tell_at = self.now + SECOND;
        let [ok, unknown, no_quorum, refused] =
            std::array::from_fn(|i| self.clients.answers[i] - self.told[i]);
        self.told = self.clients.answers;
        let line = format!(
            "  clients: {ok} writes stand, {unknown} unknown, {no_quorum} without a quorum, {refused} refused"
        );
        self.trace.line(self.now, &line);
    }

    fn start(&mut self, slot: usize) {
        if self.nodes[slot].node.is_some() {
            return;
        }
        let seed = std::array::from_fn(|_| self.random.bits());
        self.maybe_on_another_node(slot);
        self.nodes[slot].start(self.now, seed);
        self.trace.line(self.now, &format!("n{slot} starts"));
    }

    pub(crate) fn crash(&mut self, slot: usize, restart_in: u64) -> Result<(), String> {
        if self.nodes[slot].node.is_none() {
            return Ok(());
        }
        self.restarts.push((self.now + restart_in, slot));
        self.kill(slot)
    }

    /// The pod is created anew, perhaps on another machine whose volume shows an older list; its template has a floor.
    fn maybe_on_another_node(&mut self, slot: usize) {
        if !self.mix.resizes() || !self.random.chance(300) {
            return;
        }
        self.nodes[slot].set_floor(self.operator.floor);
        let newest = self.nodes[slot].hosts.epoch;
        let older = newest.saturating_sub(self.random.between(0, 3));
        let name = &self.slots[slot];
        let Some(list) = self.operator.lists.get(&older).filter(|l| l.slots().contains(name)).cloned() else {
            return;
        };
        self.nodes[slot].hosts = list;
        let newest = self.operator.written.epoch;
        for epoch in older + 1..=newest {
            let at = self.now + self.random.between(10_000, 6 * SECOND);
            self.operator.arrivals.push((at, slot, epoch));
        }
    }

    pub(crate) fn kill(&mut self, slot: usize) -> Result<(), String> {
        if self.nodes[slot].node.is_none() {
            return Ok(());
        }
        self.nodes[slot].crash();
        self.clients.abandon(slot);
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

    pub(crate) fn step(&mut self, slot: usize, input: Input) -> Result<(), String> {
        let mut out = Vec::new();
        self.nodes[slot].step(self.now, input, &mut out);
        self.checker.at(self.now, self.drift_beyond);
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
            Output::Reply { ticket, result } => self.replied(slot, ticket, result)?,
            Output::ReadReady { ticket, point } => self.read_ready(slot, ticket, point)?,
            Output::Size { ticket, progress } => {
                self.sized.insert(ticket, progress);
            }
            Output::Event(event) => self.event(slot, &event)?,
        }
        Ok(())
    }

    fn send(&mut self, slot: usize, message: Message) -> Result<(), String> {
        self.checker.sent(&message)?;
        if self.deaf == Some(slot) && matches!(message.body, Body::PreVote(_)) {
            self.network.cut.retain(|(_, to)| *to != slot);
            self.deaf = None;
        }
        let Some(to) = self.slots.iter().position(|s| *s == message.to) else { return Ok(()) };
        self.network.send(self.now, slot, to, message, &mut self.random);
        self.trace.mix(self.now ^ (to as u64) << 60);
        Ok(())
    }

    fn event(&mut self, slot: usize, event: &Event) -> Result<(), String> {
        match event {
            Event::Leading { .. } => {
                // What the one before had lent must be over: this is the moment to read, everywhere.
                self.watched_until = self.now + WATCHED;
                if let Some(node) = &self.nodes[slot].node {
                    self.checker.leads(node)?;
                }
            }
            Event::Campaign { .. } => self.report.elections += 1,
            Event::Wiped { .. } => {
                self.report.wipes += 1;
            }
            Event::SnapshotInstalled { .. } => self.report.snapshots += 1,
            Event::Bound { founder: true, .. } => self.report.genesis += 1,
            Event::Configured { configuration, .. } if configuration.maps.len() == 2 => {
                self.report.swaps += 1
            }
            _ => {}
        }
        self.trace.line(self.now, &format!("n{slot} {}", tell(event)));
        self.aim(slot, event);
        Ok(())
    }

    /// 17: one leader, one configuration that seats everybody, equal digests, all serving.
    fn converged(&self) -> bool {
        let members = &self.nodes[..self.operator.pods];
        let inside: Vec<_> = members.iter().filter_map(|n| n.node.as_ref()?.inside()).collect();
        let Some(first) = inside.first() else { return false };
        let list = &self.operator.written.now;
        let settled = |i: &rauthy_core::node::Inside<'_>| match i.configurations.as_slice() {
            [one] => {
                one.settled()
                    && one.lists == [list.clone()]
                    && members.iter().all(|n| n.node.as_ref().is_some_and(|n| one.seats(n.me())))
            }
            _ => false,
        };
        let digest = |n: &SimNode| n.node.as_ref().map(|n| n.replica().store().digest());
        self.operator.at_rest()
            && self.all_ready()
            && inside.len() == members.len()
            && inside.iter().filter(|i| i.leads).count() == 1
            && inside
                .iter()
                .all(|i| i.generation == first.generation && i.commit == first.commit && settled(i))
            && members.iter().all(|n| digest(n) == digest(&members[0]))
    }

    pub(crate) fn describe(&self) -> String {
        let list = &self.operator.written;
        let mut out = format!(
            "list {} of {} slots, next {:?}, {} pods",
            list.epoch,
            list.now.len(),
            list.next.as_ref().map(Vec::len),
            self.operator.pods
        );
        for (i, n) in self.nodes.iter().enumerate() {
            let told = match &n.node {
                None => "dead".to_owned(),
                Some(node) => {
                    let s = node.status(n.clock.local(self.now));
                    let leader = s.leader.as_ref().map_or_else(|| "nobody".to_owned(), ToString::to_string);
                    format!(
                        "{} {:?} of {leader} in term {}, commit {}, list {}, {}; {}; digest {:x}",
                        s.me,
                        s.role,
                        s.term,
                        s.commit,
                        s.epoch,
                        if s.ready { "ready" } else { s.not_ready },
                        s.configuration.as_ref().map_or_else(String::new, |c| configuration(c)),
                        node.replica().store().digest(),
                    )
                }
            };
            out.push_str(&format!("\n  n{i}: {told}"));
        }
        out
    }
}
