//! Small histories of one key that a real object gave, and what may be falsified in them.

use proptest::prelude::*;
use rauthy_linearizability::{Answer, Condition, History, Op, Operation, Outcome, Seen, Value, Window};

/// What one operation is made of.
#[derive(Clone, Debug)]
pub struct Raw {
    kind: u8,
    value: u8,
    /// When it takes effect, and how long before and after that it is open.
    point: u64,
    before: u64,
    after: u64,
    fate: Fate,
    tell_index: bool,
    tell_more: bool,
    /// From effect to earliest, from there to the true end, from there to latest.
    ttl: Option<(u64, u64, u64)>,
    wanted: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Answered,
    Applied,
    Lost,
}

/// A change of one operation.
#[derive(Clone, Debug)]
pub struct Lie {
    which: prop::sample::Index,
    kind: u8,
    number: u64,
}

/// At most so many operations, that take effect before `end`; of every `1 + answered` one has no answer.
pub fn raws(most: usize, end: u64, answered: u32) -> impl Strategy<Value = Vec<Raw>> {
    prop::collection::vec(raw(end, answered), 1..=most)
}

pub fn lies() -> impl Strategy<Value = Vec<Lie>> {
    let lie = (any::<prop::sample::Index>(), 0..7u8, 0..8u64);
    prop::collection::vec(lie.prop_map(|(which, kind, number)| Lie { which, kind, number }), 0..=2)
}

fn raw(end: u64, answered: u32) -> impl Strategy<Value = Raw> {
    let fate =
        prop_oneof![2 * answered => Just(Fate::Answered), 1 => Just(Fate::Applied), 1 => Just(Fate::Lost)];
    let ttl = prop_oneof![2 => Just(None), 1 => (0..4u64, 0..4u64, 0..4u64).prop_map(Some)];
    (0..12u8, 0..4u8, 0..end, 0..6u64, 0..6u64, fate, any::<bool>(), any::<bool>(), ttl, 0..6u64).prop_map(
        |(kind, value, point, before, after, fate, tell_index, tell_more, ttl, wanted)| Raw {
            kind,
            value,
            point,
            before,
            after,
            fate,
            tell_index,
            tell_more,
            ttl,
            wanted,
        },
    )
}

/// The history of an object that does these things one after another, each at its point.
pub fn honest(raws: &[Raw]) -> History<&'static str> {
    let mut order: Vec<&Raw> = raws.iter().collect();
    order.sort_by_key(|raw| raw.point);
    let mut object = Object { held: None, index: 0 };
    let mut history = History::default();
    for (client, raw) in order.into_iter().enumerate() {
        let op = raw.op();
        let call = raw.point.saturating_sub(raw.before);
        let number = history.called(client as u64, "k", call, op.clone(), None);
        if raw.fate != Fate::Lost {
            let outcome = object.perform(raw, &op);
            if raw.fate == Fate::Answered {
                history.answered(number, raw.point + raw.after, None, outcome);
            }
        }
    }
    history
}

/// The same with something falsified.
pub fn falsified(mut history: History<&'static str>, lies: &[Lie]) -> History<&'static str> {
    for lie in lies {
        let at = lie.which.index(history.operations.len());
        lie.tell(&mut history.operations[at]);
    }
    history
}

impl Raw {
    fn op(&self) -> Op {
        let value = match self.value {
            0 => Value::from("a"),
            1 => Value::from("b"),
            2 => Value::from("c"),
            _ => Value::from(1),
        };
        let ttl = self.ttl.map(|(earliest, end, latest)| {
            let earliest = self.point + earliest;
            Window { earliest, latest: earliest + end + latest }
        });
        match self.kind {
            0..=2 => Op::Read,
            3 | 4 => Op::Put { value, condition: Condition::Always, ttl },
            5 => Op::Put { value, condition: Condition::IfAbsent, ttl },
            6 | 7 => Op::Put { value, condition: Condition::IfVersion(self.wanted.max(1)), ttl },
            8 => Op::Delete,
            9 => Op::Take,
            10 => Op::Increment { by: i64::from(self.value) + 1, ttl },
            _ => Op::Clear,
        }
    }
}

/// Value, version, window, true end.
struct Object {
    held: Option<(Value, u64, Option<Window>, u64)>,
    index: u64,
}

impl Object {
    fn perform(&mut self, raw: &Raw, op: &Op) -> Outcome {
        self.held = self.held.take().filter(|held| raw.point < held.3);
        let found = self.held.as_ref().map(|(value, version, ..)| Seen {
            value: value.clone(),
            version: raw.tell_more.then_some(*version),
        });
        if *op == Op::Read {
            return Outcome::saw(Answer::Found(found));
        }
        self.index += 1;
        let done = |existed| if raw.tell_more { Answer::Existed(existed) } else { Answer::Silent };
        let answer = match op {
            Op::Put { value, condition, ttl } => {
                let version = self.held.as_ref().map(|held| held.1);
                let met = match condition {
                    Condition::Always => true,
                    Condition::IfAbsent => version.is_none(),
                    Condition::IfVersion(wanted) => version == Some(*wanted),
                };
                if met {
                    self.held = Some((value.clone(), self.index, *ttl, raw.end()));
                    done(version.is_some())
                } else {
                    Answer::ConditionFailed { version: Some(version.unwrap_or(0)) }
                }
            }
            Op::Increment { by, ttl } => {
                let (number, window, end) = match &self.held {
                    None => (Some(0), *ttl, raw.end()),
                    Some((Value::Number(number), _, window, end)) => (Some(*number), *window, *end),
                    Some((Value::Bytes(_), _, window, end)) => (None, *window, *end),
                };
                match number {
                    None => Answer::NotANumber,
                    Some(number) => {
                        self.held = Some((Value::Number(number + by), self.index, window, end));
                        Answer::Number(number + by)
                    }
                }
            }
            Op::Take => {
                self.held = None;
                Answer::Found(found)
            }
            Op::Clear => {
                self.held = None;
                Answer::Silent
            }
            Op::Delete | Op::Read => done(self.held.take().is_some()),
        };
        Outcome::Done { index: raw.tell_index.then_some(self.index), answer }
    }
}

impl Raw {
    fn end(&self) -> u64 {
        self.ttl.map_or(u64::MAX, |(earliest, end, _)| self.point + earliest + end)
    }
}

impl Lie {
    fn tell(&self, operation: &mut Operation<&'static str>) {
        let other = match self.number % 3 {
            0 => Value::from("a"),
            1 => Value::from("b"),
            _ => Value::from(self.number as i64 / 2),
        };
        match self.kind {
            0 => operation.call = operation.ret.unwrap_or(operation.call).saturating_sub(self.number / 3),
            1 => operation.ret = operation.ret.map(|_| operation.call + self.number / 3),
            2 => {
                if let Op::Put { ttl: Some(window), .. } = &mut operation.op {
                    window.latest = window.earliest;
                }
            }
            _ => {}
        }
        let Outcome::Done { index, answer } = &mut operation.outcome else { return };
        match self.kind {
            3 => *index = index.map(|_| self.number + 1),
            4 => {
                if let Answer::Found(found) = answer {
                    *found = found.as_ref().xor(Some(&Seen { value: other, version: None })).cloned();
                }
            }
            5 => match answer {
                Answer::Found(Some(seen)) => seen.value = other,
                Answer::Existed(existed) => *existed = !*existed,
                Answer::Number(number) => *number = self.number as i64,
                Answer::ConditionFailed { version } => *version = Some(self.number),
                _ => {}
            },
            6 => match answer {
                Answer::Found(Some(seen)) => seen.version = Some(self.number + 1),
                Answer::ConditionFailed { .. } => *answer = Answer::Existed(true),
                _ => {}
            },
            _ => {}
        }
    }
}
