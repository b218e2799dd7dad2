//! What faults do to a world, and how it heals.

use rauthy_core::{Event, Input, Node};

use crate::faults::Fault;
use crate::network::Weather;
use crate::node::SimNode;
use crate::report::Mix;
use crate::world::{SECOND, World};

impl World {
    /// What goes wrong just after something has changed finds what random moments do not.
    pub(crate) fn aim(&mut self, slot: usize, event: &Event) {
        let turning = matches!(
            event,
            Event::Configured { .. }
                | Event::Leading { .. }
                | Event::SnapshotInstalled { .. }
                | Event::SnapshotStarted { .. }
                | Event::Resizing { .. }
                | Event::HostsChanged { .. }
                | Event::Following { .. }
                | Event::Bound { .. }
        );
        let faulty = self.mix != Mix::Rolling && self.script.is_none() && self.now < self.faults_until;
        if faulty && turning && self.random.chance(12) {
            let at = self.now + self.random.between(0, 2500);
            let target = if self.random.chance(600) { slot } else { self.random.pick(self.operator.pods) };
            let fault = match self.random.pick(3) {
                0 => Fault::HandOver(target),
                1 => Fault::Freeze(target, self.random.between(100_000, 3_000_000)),
                _ => Fault::Crash(target),
            };
            self.aimed.push((at, fault));
        }
    }

    pub(crate) fn inject(&mut self, fault: &Fault) -> Result<(), String> {
        self.report.faults[fault.kind()] += 1;
        self.trace.line(self.now, &format!("FAULT {fault:?}"));
        let n = self.operator.pods;
        let longest = if self.random.chance(150) { 20 } else { 5 } * SECOND;
        let later = self.now + self.random.between(200_000, longest);
        match fault {
            Fault::Crash(slot) => {
                let restart = self.random.between(1000, 4 * SECOND);
                self.crash(*slot, restart)?;
            }
            Fault::CrashLeader(millis) | Fault::CrashFollower(millis) => {
                let leads = matches!(fault, Fault::CrashLeader(_));
                let which =
                    |n: &SimNode| n.node.as_ref().and_then(Node::inside).is_some_and(|i| i.leads == leads);
                if let Some(slot) = self.nodes.iter().position(which) {
                    self.crash(slot, millis * 1000)?;
                    self.trace.line(self.now, &format!("n{slot} dies"));
                }
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
            Fault::HandOver(slot) => {
                self.deliver(*slot, Input::HandOver)?;
                if self.script.is_none() && self.random.chance(300) {
                    // It hears nothing of what comes of it.
                    let at = self.now + self.random.between(100, 3000);
                    self.aimed.push((at, Fault::Deaf(*slot)));
                }
            }
            Fault::Deaf(slot) => {
                self.cut(|_, to| to == *slot, self.now + 4 * SECOND);
                self.deaf = Some(*slot);
                // Where nobody writes it misses nothing, and may be elected.
                self.next_write = self.now + self.random.between(0, 3 * SECOND);
            }
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
            Fault::Resize(size) => self.want_size(*size),
            Fault::ClockJump(slot) => self.deliver(*slot, Input::ClockJumped)?,
        }
        Ok(())
    }

    pub(crate) fn cut(&mut self, which: impl Fn(usize, usize) -> bool, until: u64) {
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
    pub(crate) fn roll(&mut self) -> Result<(), String> {
        let Some(slot) = self.rolling else { return Ok(()) };
        if slot >= self.operator.pods {
            self.rolling = None;
        } else if self.now.is_multiple_of(8) && self.all_ready() {
            self.crash(slot, 50_000)?;
            self.trace.line(self.now, &format!("n{slot} restarts in its turn"));
            self.rolling = Some(slot + 1);
        }
        Ok(())
    }

    pub(crate) fn all_ready(&self) -> bool {
        self.nodes[..self.operator.pods].iter().all(|n| {
            n.runs() && n.node.as_ref().is_some_and(|node| node.status(n.clock.local(self.now)).ready)
        })
    }

    pub(crate) fn heal_everything(&mut self) {
        self.trace.line(self.now, "the faults stop");
        self.network.heal();
        self.heal_at = u64::MAX;
        (self.rolling, self.deaf) = (None, None);
        self.delayed.clear();
        for (at, ..) in &mut self.operator.arrivals {
            *at = self.now;
        }
        for node in &mut self.nodes {
            node.frozen_until = node.frozen_until.map(|_| self.now);
        }
        for (at, _) in &mut self.restarts {
            *at = self.now;
        }
    }
}
