//! The search for an order of one segment's operations.
//!
//! ```text
//! Frame { config, what was not tried there yet }, on a stack
//! Seen  what need not be looked at again
//! ```
//!
//! It is that of Wing and Gong ("Testing and verifying concurrent objects", 1993) with the two improvements of Lowe
//! ("Testing for linearizability", 2017): a configuration (operations placed, state) is looked at once, and an
//! operation gets its place just in time. Depth first: a history that is linearizable is mostly accepted on the first
//! path. Where nothing is open a configuration is only a state, so a history is split at its quiescent points by
//! itself. On top of that stand five prunings. Each says: if there is a valid order at all, there is one of this form.
//!
//! 1. **Just in time.** At the event "step o returns" a burst of open operations is placed that ends with o; whatever
//!    would follow o in the order can as well be placed later. At the event "windows end at l" a burst ends with an
//!    operation that depends on a value which must be gone after l: those that follow it before l depend on none, so
//!    they fit after l as well, where that value is gone and a write of one like it leaves nothing behind.
//! 2. **Passive steps at once.** A step whose answer says that it changed nothing (a read, a delete of nothing, a
//!    failed condition) is placed as soon as it is called and the state explains it. Moved there from a later place in
//!    a valid order it still fits, and leaves all others as they were.
//! 3. **Indices.** A step with a log index waits for the open ones with lower indices: placed before them it would
//!    leave them without a place.
//! 4. **Unknown writes only when needed.** An unknown write, or a value vanishing within its window, is placed only
//!    directly before an operation that depends on the state it leaves. If the next operation in a valid order is
//!    blind (a plain put or delete that says nothing of what stood there), or there is none, then leaving it out, which
//!    is allowed, gives the same state afterwards and removes nothing that anyone observed. Leaving out makes the
//!    order shorter and 2 moves steps forward, so doing both as often as possible ends. In particular a put of a
//!    value that nobody saw, and that nobody's "existed" needs, is never tried.
//! 5. **Like unknown writes.** Exchanging two that do the same and were both called changes nothing, as both stay open
//!    for ever; so only their number counts ([`crate::classes::Class`]). The same holds for puts that differ in their
//!    values only, once nobody is left who reads these. One of which the value is still read is not spent on an
//!    operation that only wants something to be there, and replaces or removes it, while there is one of which it is
//!    not: in a valid order the two could change places. Nor is an unknown removal spent where the value may vanish by
//!    itself. And having spent less is never worse ([`crate::config::Seen`]).

use std::cmp::Reverse;

use crate::Limits;
use crate::config::{Config, Seen};
use crate::model::{Kind, State, Step};
use crate::outlook::Outlook;
use crate::plan::{Event, EventKind, Plan};

#[derive(Debug)]
pub(crate) enum Verdict {
    Linearizable,
    Stuck(Stuck),
    GaveUp,
}

/// No configuration gets past this event, which is the return of a step.
#[derive(Debug)]
pub(crate) struct Stuck {
    pub(crate) event: usize,
    pub(crate) step: u32,
    /// In which it could be when this event came, some of them.
    pub(crate) states: Vec<State>,
}

struct Frame {
    config: Config,
    tried_first: bool,
    rest: Option<Vec<(Choice, State)>>,
}

#[derive(Clone, Copy)]
enum Choice {
    Step(u32),
    Class(u32),
    Vanish,
}

enum Settled {
    Decide,
    Dead,
    Finished,
}

/// The state and the open steps with a place, if all configurations that got to an event agreed on them.
#[derive(Clone, Debug, Default)]
pub(crate) enum Arrival {
    #[default]
    None,
    One(Config),
    Several,
}

pub(crate) struct Search<'a> {
    plan: &'a Plan<'a>,
    limits: Limits,
    seen: Seen,
    tries: usize,
    farthest: u32,
    farthest_states: Vec<State>,
    /// By event, if asked for.
    arrivals: Option<Vec<Arrival>>,
}

/// How many of the possible states a story tells.
const STATES_TOLD: usize = 8;

impl<'a> Search<'a> {
    pub(crate) fn new(plan: &'a Plan<'a>, limits: Limits) -> Self {
        Self {
            plan,
            limits,
            seen: Seen::default(),
            tries: 0,
            farthest: 0,
            farthest_states: Vec::new(),
            arrivals: None,
        }
    }

    /// Remembers for each event what got there, for the story.
    pub(crate) fn explained(mut self) -> Self {
        self.arrivals = Some(vec![Arrival::None; self.plan.events.len()]);
        self
    }

    pub(crate) fn states(&self) -> usize {
        self.seen.states
    }

    pub(crate) fn tries(&self) -> usize {
        self.tries
    }

    pub(crate) fn arrivals(self) -> Vec<Arrival> {
        self.arrivals.unwrap_or_default()
    }

    pub(crate) fn run(&mut self) -> Verdict {
        let mut stack: Vec<Frame> = Vec::new();
        let mut root = Config::default();
        self.arrived(&root);
        let mut next = match self.settle(&mut root) {
            Settled::Finished => return Verdict::Linearizable,
            Settled::Dead => None,
            Settled::Decide => Some(root),
        };
        loop {
            if let Some(config) = next.take()
                && self.seen.insert(&config, self.plan)
            {
                stack.push(Frame { config, tried_first: false, rest: None });
            }
            if self.seen.states > self.limits.states || self.tries > self.limits.tries {
                return Verdict::GaveUp;
            }
            let Some(frame) = stack.last_mut() else { return self.stuck() };
            match self.child(frame) {
                None => drop(stack.pop()),
                Some(mut config) => match self.settle(&mut config) {
                    Settled::Finished => return Verdict::Linearizable,
                    Settled::Dead => {}
                    Settled::Decide => next = Some(config),
                },
            }
        }
    }

    fn stuck(&mut self) -> Verdict {
        match self.plan.events.get(self.farthest as usize) {
            Some(Event { kind: EventKind::Return(step), .. }) => Verdict::Stuck(Stuck {
                event: self.farthest as usize,
                step: *step,
                states: std::mem::take(&mut self.farthest_states),
            }),
            // The end of a window holds nobody up: whatever arrives there can pass.
            Some(Event { kind: EventKind::WindowEnds, .. }) | None => Verdict::GaveUp,
        }
    }

    fn arrived(&mut self, config: &Config) {
        if config.event > self.farthest {
            self.farthest = config.event;
            self.farthest_states.clear();
        }
        if config.event == self.farthest
            && self.farthest_states.len() < STATES_TOLD
            && !self.farthest_states.contains(&config.state)
        {
            self.farthest_states.push(config.state);
        }
        if let Some(arrival) = self.arrivals.as_mut().and_then(|all| all.get_mut(config.event as usize)) {
            match arrival {
                Arrival::None => *arrival = Arrival::One(config.clone()),
                Arrival::One(other) if other.state != config.state || other.done != config.done => {
                    *arrival = Arrival::Several;
                }
                Arrival::One(_) | Arrival::Several => {}
            }
        }
    }

    /// Does what needs no decision: places passive steps, and goes on to the next event where it can.
    fn settle(&mut self, config: &mut Config) -> Settled {
        let plan = self.plan;
        loop {
            let Some(event) = plan.events.get(config.event as usize) else { return Settled::Finished };
            for &number in plan.open(event) {
                let (step, bit) = (&plan.steps[number as usize], plan.bits[number as usize]);
                if step.is_passive()
                    && !config.done.contains(bit)
                    && step.apply(config.state, event.time) == Some(config.state)
                {
                    config.done.insert(bit);
                    config.fresh = false;
                    config.useless &= !must_end(config.state, event);
                }
            }
            match event.kind {
                EventKind::Return(step) if config.done.contains(plan.bits[step as usize]) => {
                    config.done.remove(plan.bits[step as usize]);
                }
                EventKind::Return(_) => return Settled::Decide,
                EventKind::WindowEnds if self.matters(config, event) => return Settled::Decide,
                EventKind::WindowEnds if config.useless => return Settled::Dead,
                EventKind::WindowEnds => {}
            }
            config.event += 1;
            self.arrived(config);
        }
    }

    /// Whether a value that must be gone after this event is there, or may still come.
    fn matters(&self, config: &Config, event: &Event) -> bool {
        let ends = |step: &Step| step.latest() == Some(event.time);
        must_end(config.state, event)
            || self.plan.open(event).iter().any(|step| {
                ends(&self.plan.steps[*step as usize])
                    && !config.done.contains(self.plan.bits[*step as usize])
            })
            || self.classes_left(config, event).any(|class| ends(&self.plan.classes[class as usize].step))
    }

    /// The classes that have a member which was called and is not used.
    fn classes_left<'b>(&'b self, config: &'b Config, event: &'b Event) -> impl Iterator<Item = u32> + 'b {
        let called = self.plan.classes.partition_point(|class| class.called(event.time) > 0);
        (0..called as u32)
            .filter(move |class| config.used(*class) < self.plan.classes[*class as usize].called(event.time))
    }

    /// The next configuration after that of the frame, or `None` if there are no more.
    fn child(&mut self, frame: &mut Frame) -> Option<Config> {
        let event = self.plan.events.get(frame.config.event as usize)?;
        if !frame.tried_first {
            frame.tried_first = true;
            self.tries += 1;
            let first = match event.kind {
                EventKind::Return(step) => self
                    .place(&frame.config, event, step)
                    .map(|state| self.chosen(&frame.config, event, Choice::Step(step), state)),
                EventKind::WindowEnds => self.pass(&frame.config, event),
            };
            if first.is_some() {
                return first;
            }
        }
        if frame.rest.is_none() {
            frame.rest = Some(self.rest(&frame.config, event));
        }
        let (choice, state) = frame.rest.as_mut()?.pop()?;
        Some(self.chosen(&frame.config, event, choice, state))
    }

    /// Goes past the end of windows.
    fn pass(&mut self, config: &Config, event: &Event) -> Option<Config> {
        if config.useless {
            return None;
        }
        let mut config = config.clone();
        if must_end(config.state, event) {
            config.state = config.state.emptied();
        }
        config.event += 1;
        self.arrived(&config);
        Some(config)
    }

    /// The state after an open step, if it can be placed now.
    fn place(&self, config: &Config, event: &Event, number: u32) -> Option<State> {
        let step = &self.plan.steps[number as usize];
        if config.fresh && step.is_blind() {
            return None;
        }
        let waits = |index: u64| {
            self.plan.open(event).iter().any(|other| {
                self.plan.steps[*other as usize].index.is_some_and(|lower| lower < index)
                    && !config.done.contains(self.plan.bits[*other as usize])
            })
        };
        self.plan.effect(step, config.state, event.time).filter(|_| !step.index.is_some_and(waits))
    }

    /// Everything that can be placed instead of what the event wants; the most promising last.
    fn rest(&mut self, config: &Config, event: &Event) -> Vec<(Choice, State)> {
        let (plan, now) = (self.plan, event.time);
        let wanted = match event.kind {
            EventKind::Return(step) => Some(step),
            EventKind::WindowEnds => None,
        };
        let is_open = |number: &&u32| !config.done.contains(plan.bits[**number as usize]);
        let open: Vec<u32> = plan.open(event).iter().filter(is_open).copied().collect();
        let left: Vec<u32> = self.classes_left(config, event).collect();
        self.tries += open.len() + left.len();
        let mut rest: Vec<(Choice, State)> = open
            .iter()
            .filter(|number| Some(**number) != wanted)
            .filter_map(|number| Some((Choice::Step(*number), self.place(config, event, *number)?)))
            .collect();

        let outlook = Outlook::new(plan, event, config, &open, &left);
        let vanishes = config.state.may_expire(now);
        // Of a family those whose values make no difference any more are alike: one of them is enough.
        let mut faded: Vec<u32> = Vec::new();
        let (old, current): (Vec<u32>, Vec<u32>) =
            left.iter().partition(|class| plan.classes[**class as usize].faded(now));
        for number in old.into_iter().chain(current) {
            let class = &plan.classes[number as usize];
            let (old, known) = (class.faded(now), faded.contains(&class.family));
            let pointless = config.fresh && class.step.is_blind()
                || class.step.kind == Kind::Remove && vanishes
                || old && known;
            let Some(state) = plan.effect(&class.step, config.state, now).filter(|_| !pointless) else {
                continue;
            };
            if old {
                faded.push(class.family);
            }
            // At the end of windows it may be the last one placed, and whoever needs it comes later.
            let last = !class.step.is_blind() && must_end(config.state, event);
            let spared = !old && known && !last && outlook.any_value_serves(state);
            if state != config.state && !spared && (last || outlook.leads_on(state)) {
                rest.push((Choice::Class(number), state));
            }
        }
        if vanishes && outlook.leads_on(config.state.emptied()) {
            rest.push((Choice::Vanish, config.state.emptied()));
        }
        let wanted = wanted.map(|number| &plan.steps[number as usize]);
        rest.sort_by_key(|(choice, state)| {
            let (kind, until) = match choice {
                Choice::Step(number) => (2, plan.placed[*number as usize].ret),
                Choice::Vanish => (1, 0),
                Choice::Class(class) => (0, plan.classes[*class as usize].read_until),
            };
            (wanted.is_some_and(|step| plan.effect(step, *state, now).is_some()), kind, Reverse(until))
        });
        rest
    }

    fn chosen(&self, config: &Config, event: &Event, choice: Choice, state: State) -> Config {
        let mut next = config.clone();
        next.state = state;
        let depends = match choice {
            Choice::Step(number) => {
                next.done.insert(self.plan.bits[number as usize]);
                !self.plan.steps[number as usize].is_blind()
            }
            Choice::Class(class) => {
                next.spend(class);
                !self.plan.classes[class as usize].step.is_blind()
            }
            Choice::Vanish => false,
        };
        next.fresh = !matches!(choice, Choice::Step(_));
        next.useless = event.kind == EventKind::WindowEnds && !(depends && must_end(config.state, event));
        next
    }
}

/// Whether the value that stands there must be gone after this event, the end of windows.
fn must_end(state: State, event: &Event) -> bool {
    event.kind == EventKind::WindowEnds && state.latest().is_some_and(|latest| latest <= event.time)
}
