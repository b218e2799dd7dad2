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

use crate::history::{Answer, Op, Operation, Outcome, Seen, Value};
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

/// Unknown writes with the same effect. From the call of one on it makes no difference which of those that were
/// called is used, so only how many were is kept, and they count as used in the order of their calls.
pub(crate) struct Class {
    pub(crate) step: Step,
    pub(crate) members: Vec<Placed>,
    /// When the last one who read its value had the answer; 0 if nobody did, `u64::MAX` if it can always matter.
    pub(crate) read_until: u64,
    /// The first of the classes that differ in the value only.
    pub(crate) family: u32,
}

impl Class {
    /// Whether at this time nobody who reads its value is left: then the value makes no difference any more.
    pub(crate) fn faded(&self, time: u64) -> bool {
        self.read_until < time
    }

    /// How many were called by this time.
    pub(crate) fn called(&self, time: u64) -> usize {
        self.members.partition_point(|member| member.call <= time)
    }
}

impl<'a> Plan<'a> {
    pub(crate) fn new<K>(operations: &'a [Operation<K>], segment: &Segment) -> Self {
        let mut values = Values::new(operations, segment);
        let mut placed = segment.answered.clone();
        placed.sort_by_key(|p| (p.call, p.ret, p.operation));
        let steps: Vec<Step> = placed.iter().map(|p| values.step(&operations[p.operation])).collect();
        let classes = classes(operations, segment, &mut values);
        let mut plan = Self {
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

fn classes<'a, K>(operations: &'a [Operation<K>], segment: &Segment, values: &mut Values<'a>) -> Vec<Class> {
    let mut unknown = segment.unknown.clone();
    unknown.sort_by_key(|p| (p.call, p.operation));
    let mut by_step: HashMap<Step, usize> = HashMap::new();
    let mut families: HashMap<Step, u32> = HashMap::new();
    let mut classes: Vec<Class> = Vec::new();
    for member in unknown {
        let mut step = values.step(&operations[member.operation]);
        let mut read_until = u64::MAX;
        let mut family = step;
        if let Kind::Put { what, condition, window } = step.kind {
            read_until = values.read_until(what);
            family.kind = Kind::Put { what: What::Unseen, condition, window };
            // Of a value that nobody reads it makes no difference which it is: the answers that depend on its being
            // there (existed, condition failed, not a number) are the same for each.
            step = if read_until == 0 { family } else { step };
        }
        let at = *by_step.entry(step).or_insert(classes.len());
        if let Some(class) = classes.get_mut(at) {
            class.members.push(member);
            continue;
        }
        let family = *families.entry(family).or_insert(at as u32);
        classes.push(Class { step, members: vec![member], read_until, family });
    }
    classes
}

/// Numbers for values, and until when they are read.
struct Values<'a> {
    numbers: HashMap<&'a [u8], u32>,
    list: Vec<&'a Value>,
    read_until: HashMap<What, u64>,
    /// Somebody increments: then any number may matter, because of the sum.
    increments: bool,
}

impl<'a> Values<'a> {
    fn new<K>(operations: &'a [Operation<K>], segment: &Segment) -> Self {
        let mut values =
            Self { numbers: HashMap::new(), list: Vec::new(), read_until: HashMap::new(), increments: false };
        for placed in segment.answered.iter().chain(&segment.unknown) {
            let operation = &operations[placed.operation];
            values.increments |= matches!(operation.op, Op::Increment { .. });
            if let Outcome::Done { answer: Answer::Found(Some(Seen { value, .. })), .. } = &operation.outcome
            {
                let what = values.what(value);
                let until = values.read_until.entry(what).or_default();
                *until = (*until).max(placed.ret);
            }
        }
        values
    }

    fn read_until(&self, what: What) -> u64 {
        match what {
            What::Number(_) if self.increments => u64::MAX,
            _ => self.read_until.get(&what).map_or(0, |until| (*until).max(1)),
        }
    }

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
