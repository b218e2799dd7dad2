//! One slot of the world: the process that lives in it, and its clock.

use rauthy_core::{HostList, Input, Node, Output, Settings, Time};

/// A clock that began somewhere and runs a little fast or slow.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// What it showed when the world began, in microseconds.
    pub offset: u64,
    /// Its rate error in parts per million.
    pub ppm: i64,
}

impl Clock {
    /// What it shows at this moment of the world.
    #[must_use]
    pub fn local(&self, real: u64) -> Time {
        Time(self.offset + (real as i128 * (1_000_000 + i128::from(self.ppm)) / 1_000_000) as u64)
    }

    /// The first moment of the world at which it shows at least this.
    #[must_use]
    pub fn real(&self, local: Time) -> u64 {
        let ahead = i128::from(local.0.saturating_sub(self.offset));
        (ahead * 1_000_000).div_euclid(1_000_000 + i128::from(self.ppm)).max(0) as u64 + 1
    }
}

/// A slot.
#[derive(Debug)]
pub struct SimNode {
    /// The process, if one runs.
    pub node: Option<Node>,
    /// The machine's clock; a restart does not change it.
    pub clock: Clock,
    /// Stopped, until this moment; what arrives waits.
    pub frozen_until: Option<u64>,
    /// What arrived while it was frozen.
    pub waiting: Vec<Input>,
    /// Since when it has run without a pause.
    pub runs_since: u64,
    /// Its timer was set for this moment.
    pub timer: u64,
    settings: Settings,
    /// What the volume shows.
    pub hosts: HostList,
}

impl SimNode {
    /// An empty slot.
    #[must_use]
    pub fn new(settings: Settings, hosts: HostList, clock: Clock) -> Self {
        Self {
            node: None,
            clock,
            frozen_until: None,
            waiting: Vec::new(),
            runs_since: 0,
            timer: u64::MAX,
            settings,
            hosts,
        }
    }

    /// The pod is created anew, from a template with this floor under the epoch of its list.
    pub fn set_floor(&mut self, epoch: u64) {
        self.settings.min_epoch = self.settings.min_epoch.max(epoch);
    }

    /// A process begins.
    pub fn start(&mut self, real: u64, seed: [u64; 4]) {
        self.node = Some(Node::new(self.settings.clone(), self.hosts.clone(), seed, self.clock.local(real)));
        self.frozen_until = None;
        self.waiting.clear();
        self.timer = real;
        self.runs_since = real;
    }

    /// The process is gone, with all its memory.
    pub fn crash(&mut self) {
        self.node = None;
        self.frozen_until = None;
        self.waiting.clear();
        self.timer = u64::MAX;
    }

    /// Whether it runs.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.node.is_some() && self.frozen_until.is_none()
    }

    /// Gives the process an input.
    pub fn step(&mut self, real: u64, input: Input, out: &mut Vec<Output>) {
        if let Some(node) = &mut self.node {
            node.step(self.clock.local(real), input, out);
            self.timer = self.clock.real(node.deadline()).max(real);
        }
    }
}
