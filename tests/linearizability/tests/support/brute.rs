//! A second checker, as simple as it can be, to compare verdicts on small histories.
//!
//! It goes through time tick by tick. At each tick any operation that is open may take effect, in any order; a value
//! may vanish within its window. An entry whose index nobody told has any of the indices that are mentioned anywhere,
//! or one that is not. Nothing is pruned but what was looked at before, and nothing is shared with the real one.

use std::collections::{BTreeSet, HashSet};

use rauthy_linearizability::{Answer, Condition, History, Op, Operation, Outcome, Value, Window};

#[derive(Clone, PartialEq, Eq, Hash)]
struct World {
    time: u64,
    done: u64,
    /// Value, version (0: one that nobody mentions), window.
    held: Option<(Value, u64, Option<Window>)>,
    last_index: u64,
}

/// Whether a history of one key in one generation is linearizable.
pub fn linearizable<K>(history: &History<K>) -> bool {
    let operations: Vec<&Operation<K>> =
        history.operations.iter().filter(|operation| operation.outcome != Outcome::Failed).collect();
    let mut mentioned = BTreeSet::new();
    for operation in &operations {
        if let Op::Put { condition: Condition::IfVersion(version), .. } = operation.op {
            mentioned.insert(version);
        }
        if let Outcome::Done { index, answer } = &operation.outcome {
            mentioned.extend(*index);
            match answer {
                Answer::Found(Some(seen)) => mentioned.extend(seen.version),
                Answer::ConditionFailed { version } => mentioned.extend(*version),
                _ => {}
            }
        }
    }
    mentioned.remove(&0);
    let end = operations.iter().flat_map(|o| [o.call, o.ret.unwrap_or(0)]).max().unwrap_or(0);
    let mut seen = HashSet::new();
    let mut todo = vec![World { time: 0, done: 0, held: None, last_index: 0 }];
    while let Some(world) = todo.pop() {
        if !seen.insert(world.clone()) {
            continue;
        }
        if world.time > end {
            return true;
        }
        for (number, operation) in operations.iter().enumerate() {
            let open = operation.call <= world.time
                && (operation.outcome == Outcome::Unknown || world.time <= operation.ret.unwrap());
            if open && world.done & 1 << number == 0 {
                for mut next in after(operation, &world, &mentioned) {
                    next.done |= 1 << number;
                    todo.push(next);
                }
            }
        }
        if world.held.as_ref().and_then(|held| held.2).is_some_and(|window| window.earliest <= world.time) {
            todo.push(World { held: None, ..world.clone() });
        }
        let late = operations.iter().enumerate().any(|(number, operation)| {
            operation.outcome != Outcome::Unknown
                && operation.ret.unwrap() == world.time
                && world.done & 1 << number == 0
        });
        if !late {
            let mut next = world;
            if next.held.as_ref().and_then(|held| held.2).is_some_and(|window| window.latest <= next.time) {
                next.held = None;
            }
            next.time += 1;
            todo.push(next);
        }
    }
    false
}

/// Every way in which an operation can take effect now and give its answer.
fn after<K>(operation: &Operation<K>, world: &World, mentioned: &BTreeSet<u64>) -> Vec<World> {
    let (told, answer) = match &operation.outcome {
        Outcome::Done { index, answer } => (*index, Some(answer)),
        _ => (None, None),
    };
    let indices: Vec<u64> = match (&operation.op, told) {
        (Op::Read, _) => vec![0],
        (_, Some(index)) => vec![index],
        (_, None) => std::iter::once(0).chain(mentioned.iter().copied()).collect(),
    };
    let mut all = Vec::new();
    for index in indices.into_iter().filter(|index| *index == 0 || *index > world.last_index) {
        let (held, said) = perform(&operation.op, world, index);
        if answer.is_none_or(|answer| matches(answer, &said, world)) {
            all.push(World { held, last_index: world.last_index.max(index), ..world.clone() });
        }
    }
    all
}

type Held = Option<(Value, u64, Option<Window>)>;

/// What one operation does and says.
fn perform(op: &Op, world: &World, index: u64) -> (Held, Answer) {
    let before = world.held.clone();
    let version = before.as_ref().map(|held| held.1);
    let lives = |window: &Option<Window>| window.is_none_or(|window| world.time <= window.latest);
    match op {
        Op::Read => {
            let found = before.clone().map(|(value, version, _)| seen(value, version));
            (before, Answer::Found(found))
        }
        Op::Take => {
            let found = before.map(|(value, version, _)| seen(value, version));
            (None, Answer::Found(found))
        }
        Op::Delete | Op::Clear => (None, Answer::Existed(before.is_some())),
        Op::Put { value, condition, ttl } => {
            let met = match condition {
                Condition::Always => true,
                Condition::IfAbsent => version.is_none(),
                Condition::IfVersion(wanted) => version == Some(*wanted),
            };
            if !met {
                return (before, Answer::ConditionFailed { version: Some(version.unwrap_or(0)) });
            }
            let existed = before.is_some();
            (lives(ttl).then(|| (value.clone(), index, *ttl)), Answer::Existed(existed))
        }
        Op::Increment { by, ttl } => {
            let (number, window) = match &before {
                None => (Some(0), *ttl),
                Some((Value::Number(number), _, window)) => (Some(*number), *window),
                Some((Value::Bytes(_), ..)) => (None, None),
            };
            match number.and_then(|number| number.checked_add(*by)) {
                None => (before, Answer::NotANumber),
                Some(sum) => {
                    (lives(&window).then_some((Value::Number(sum), index, window)), Answer::Number(sum))
                }
            }
        }
    }
}

fn seen(value: Value, version: u64) -> rauthy_linearizability::Seen {
    rauthy_linearizability::Seen { value, version: Some(version) }
}

/// Whether what was answered is what was said, or says less.
fn matches(answer: &Answer, said: &Answer, world: &World) -> bool {
    match (answer, said) {
        (Answer::Silent, Answer::Existed(_)) => true,
        (Answer::Found(Some(answer)), Answer::Found(Some(said))) => {
            answer.value == said.value && answer.version.is_none_or(|version| said.version == Some(version))
        }
        (Answer::ConditionFailed { version: None }, Answer::ConditionFailed { .. }) => true,
        // A value of a version that nobody mentions is there, but its version is not 0.
        (Answer::ConditionFailed { version: Some(0) }, Answer::ConditionFailed { .. }) => {
            world.held.is_none()
        }
        (answer, said) => answer == said,
    }
}
