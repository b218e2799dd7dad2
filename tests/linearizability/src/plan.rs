//! One segment, prepared for the search.
//!
//! ```text
//! Plan ─┬─ steps    the answered operations, by call
//!       ├─ events   in time: a step returns, or a window ends; each with the steps that are open at it
//!       └─ classes  the unknown writes, those with the same effect together
//! ```
//!
//! At one moment calls come before returns and these before the ends of windows, so that whatever touches overlaps.

use std::collections::{BTreeSet, HashMap};

use crate::classes::{Class, classes};
use crate::history::{Answer, Op, Operation, Outcome, Value};
use crate::model::{Expect, Kind, Step, What};
use crate::segment::{Placed, Segment};

pub(crate) struct Plan<'a> {
    pub(crate) steps: Vec<Step>,
    /// The operation of the history that a step is, and when it can have taken effect.
    pub(crate) placed: Vec<Placed>,
    /// The bit of each step while it is open: steps that are open at the same time have different ones.
    pub(crate) bits: Vec<u32>,
    pub(crate) events: Vec<Event>,
    pub(crate) classes: Vec<Class>,
    /// The indices of the steps, in order.
    pub(crate) told: Vec<u64>,
    /// The most steps that were open at one time.
    pub(crate) concurrency: usize,
    /// The values that [`What::Bytes`] counts.
    pub(crate) values: Vec<&'a Value>,
    open: Vec<u32>,
}

pub(crate) struct Event {
    pub(crate) time: u64,
    pub(crate) kind: EventKind,
    open: (usize, usize),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum EventKind {
    /// This step must have taken place.
    Return(u32),
    /// Values with a window up to now are gone afterwards.
    WindowEnds,
}

impl<'a> Plan<'a> {
    pub(crate) fn new<K>(operations: &'a [Operation<K>], segment: &Segment) -> Self {
        let mut values = Values::default();
        let mut placed = segment.answered.clone();
        placed.sort_by_key(|p| (p.call, p.ret, p.operation));
        let steps: Vec<Step> = placed.iter().map(|p| values.step(&operations[p.operation])).collect();
        let mut unknown = segment.unknown.clone();
        unknown.sort_by_key(|p| (p.call, p.operation));
        let unknown = unknown.into_iter().map(|p| (values.step(&operations[p.operation]), p)).collect();
        let answered = steps.iter().zip(placed.iter().map(|placed| placed.ret));
        let classes = classes(answered, unknown);
        let mut told: Vec<u64> = steps.iter().filter_map(|step| step.index).collect();
        told.sort_unstable();
        let mut plan = Self {
            told,
            bits: vec![0; steps.len()],
            steps,
            placed,
            events: Vec::new(),
            classes,
            concurrency: 0,
            values: values.list,
            open: Vec::new(),
        };
        plan.sweep();
        plan
    }

    /// The steps that were called and have not returned before this event, by call.
    pub(crate) fn open(&self, event: &Event) -> &[u32] {
        &self.open[event.open.0..event.open.1]
    }

    fn sweep(&mut self) {
        let unknown = self.classes.iter().map(|class| class.step);
        let ends: BTreeSet<u64> = self
            .steps
            .iter()
            .copied()
            .chain(unknown)
            .filter_map(|step| step.latest())
            .filter(|latest| *latest < u64::MAX)
            .collect();
        let mut returns: Vec<u32> = (0..).take(self.steps.len()).collect();
        returns.sort_by_key(|step| self.placed[*step as usize].ret);
        let mut events: Vec<(u64, EventKind)> =
            returns.into_iter().map(|s| (self.placed[s as usize].ret, EventKind::Return(s))).collect();
        events.extend(ends.into_iter().map(|time| (time, EventKind::WindowEnds)));
        // Stable: returns stay before the ends at the same time.
        events.sort_by_key(|(time, _)| *time);

        let (mut active, mut free, mut next): (Vec<u32>, Vec<u32>, usize) = (Vec::new(), Vec::new(), 0);
        for (time, kind) in events {
            while self.placed.get(next).is_some_and(|p| p.call <= time) {
                // Without a free bit all of 0..active are taken.
                self.bits[next] = free.pop().unwrap_or(active.len() as u32);
                active.push(next as u32);
                next += 1;
            }
            self.concurrency = self.concurrency.max(active.len());
            let start = self.open.len();
            self.open.extend_from_slice(&active);
            self.events.push(Event { time, kind, open: (start, self.open.len()) });
            if let EventKind::Return(step) = kind {
                active.retain(|other| *other != step);
                free.push(self.bits[step as usize]);
            }
        }
    }
}

/// Numbers for values.
#[derive(Default)]
struct Values<'a> {
    numbers: HashMap<&'a [u8], u32>,
    list: Vec<&'a Value>,
}

impl<'a> Values<'a> {
    fn what(&mut self, value: &'a Value) -> What {
        let bytes = match value {
            Value::Number(number) => return What::Number(*number),
            Value::Bytes(bytes) => bytes,
        };
        let next = self.list.len() as u32;
        let number = *self.numbers.entry(bytes).or_insert(next);
        if number == next {
            self.list.push(value);
        }
        What::Bytes(number)
    }

    fn step<K>(&mut self, operation: &'a Operation<K>) -> Step {
        let kind = match &operation.op {
            Op::Read => Kind::Read,
            Op::Put { value, condition, ttl } => {
                Kind::Put { what: self.what(value), condition: *condition, window: *ttl }
            }
            Op::Delete | Op::Take | Op::Clear => Kind::Remove,
            Op::Increment { by, ttl } => Kind::Increment { by: *by, window: *ttl },
        };
        let (index, expect) = match &operation.outcome {
            Outcome::Done { index, answer } => (*index, self.expect(answer)),
            Outcome::Unknown | Outcome::Failed => (None, Expect::Nothing),
        };
        Step { kind, expect, index }
    }

    fn expect(&mut self, answer: &'a Answer) -> Expect {
        match answer {
            Answer::Silent => Expect::Nothing,
            Answer::Existed(existed) => Expect::Existed(*existed),
            Answer::Found(None) => Expect::Existed(false),
            Answer::Found(Some(seen)) => Expect::Seen { what: self.what(&seen.value), version: seen.version },
            Answer::Number(number) => Expect::Number(*number),
            Answer::ConditionFailed { version } => Expect::ConditionFailed { version: *version },
            Answer::NotANumber => Expect::NotANumber,
        }
    }
}
