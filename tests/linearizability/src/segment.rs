//! Takes a history apart: one segment for each key in each generation.
//!
//! ```text
//! Segment { key, generation } ─┬─ answered  operations that took effect, with [call, ret] cut to the generation's life
//!                              └─ unknown   writes that may have, from their call on
//! ```
//!
//! Linearizability is local (Herlihy and Wing 1990): a history is linearizable if that of each key is. A generation
//! begins with nothing in it and nothing outlives it, so its operations say nothing of those of another one; what
//! ties generations together is that they follow each other in time, which is checked here, over all keys.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use crate::failure::Failure;
use crate::history::{Answer, Generation, History, Op, Operation, Outcome};

pub(crate) struct Segment {
    pub(crate) generation: Option<u128>,
    pub(crate) answered: Vec<Placed>,
    pub(crate) unknown: Vec<Placed>,
}

/// An operation of the history, and when it can have taken effect.
#[derive(Clone, Copy)]
pub(crate) struct Placed {
    pub(crate) operation: usize,
    pub(crate) call: u64,
    pub(crate) ret: u64,
}

type Segments<'a, K> = BTreeMap<(&'a K, usize), Segment>;

/// The segments in the order of their keys and generations.
pub(crate) fn split<K: Ord + Clone + Debug>(history: &History<K>) -> Result<Segments<'_, K>, Failure<K>> {
    let generations = generations(history)?;
    let order: HashMap<u128, usize> =
        generations.iter().enumerate().filter_map(|(i, g)| Some((g.name?, i))).collect();
    let mut segments = Segments::new();
    let mut answered_in = vec![None; generations.len()];
    for (number, operation) in history.operations.iter().enumerate() {
        let malformed = |reason| Failure::Malformed { operation: Box::new(operation.clone()), reason };
        check(operation).map_err(malformed)?;
        if operation.outcome == Outcome::Failed {
            continue;
        }
        let named = match operation.generation {
            Some(name) if !history.generations.is_empty() => {
                Some(*order.get(&name).ok_or_else(|| malformed("its generation is not in the list"))?)
            }
            _ => None,
        };
        let mut add = |at: usize, placed: Placed, known: bool| {
            let segment = segments.entry((&operation.key, at)).or_insert_with(|| Segment {
                generation: generations[at].name,
                answered: Vec::new(),
                unknown: Vec::new(),
            });
            if known { segment.answered.push(placed) } else { segment.unknown.push(placed) }
        };
        if operation.outcome == Outcome::Unknown {
            let candidates = named.map_or(0..generations.len(), |at| at..at + 1);
            for at in candidates.filter(|_| operation.op != Op::Read) {
                let Life { began, ended, .. } = generations[at];
                if operation.call <= ended {
                    let call = operation.call.max(began);
                    add(at, Placed { operation: number, call, ret: u64::MAX }, false);
                }
            }
            continue;
        }
        let ret = operation.ret.ok_or_else(|| malformed("it has an answer but no time of it"))?;
        let at = match named {
            Some(at) => at,
            None => only_one(&generations, operation.call, ret).map_err(malformed)?,
        };
        let Life { name, began, ended } = generations[at];
        let (call, cut) = (operation.call.max(began), ret.min(ended));
        if call > cut {
            let operation = Box::new(operation.clone());
            return Err(Failure::OutsideGeneration { operation, name: name.unwrap_or_default() });
        }
        add(at, Placed { operation: number, call, ret: cut }, true);
        note(&mut answered_in[at], number, operation.call, ret);
    }
    disjoint(history, &answered_in)?;
    Ok(segments)
}

#[derive(Clone, Copy)]
struct Life {
    name: Option<u128>,
    began: u64,
    ended: u64,
}

/// Those of the list; without one a single generation, which may have a name.
fn generations<K: Debug + Clone>(history: &History<K>) -> Result<Vec<Life>, Failure<K>> {
    if history.generations.is_empty() {
        let mut name = None;
        for operation in history.operations.iter().filter(|operation| operation.generation.is_some()) {
            if name.is_some() && name != operation.generation {
                let reason = "several generations answered, and there is no list that gives their order";
                return Err(Failure::Malformed { operation: Box::new(operation.clone()), reason });
            }
            name = operation.generation;
        }
        return Ok(vec![Life { name, began: 0, ended: u64::MAX }]);
    }
    let mut lives: Vec<Life> = Vec::new();
    for &Generation { name, began, ended } in &history.generations {
        let ordered = lives.last().is_none_or(|last| last.began <= began && last.ended <= ended);
        if !ordered || ended < began || lives.iter().any(|life| life.name == Some(name)) {
            return Err(Failure::Generations { name });
        }
        lives.push(Life { name: Some(name), began, ended });
    }
    Ok(lives)
}

/// The only generation that lived at some moment of a call.
fn only_one(generations: &[Life], call: u64, ret: u64) -> Result<usize, &'static str> {
    let mut living = generations
        .iter()
        .enumerate()
        .filter(|(_, life)| life.began <= ret && call <= life.ended)
        .map(|(i, _)| i);
    match (living.next(), living.next()) {
        (Some(at), None) => Ok(at),
        (None, _) => Err("it was answered while no generation lived"),
        (Some(_), Some(_)) => Err("it does not say which of several generations answered it"),
    }
}

/// Of the answered operations of one generation: the one called last and the one answered first.
type Extremes = Option<((u64, usize), (u64, usize))>;

fn note(extremes: &mut Extremes, operation: usize, call: u64, ret: u64) {
    let (last, first) = extremes.get_or_insert(((call, operation), (ret, operation)));
    *last = (*last).max((call, operation));
    *first = (*first).min((ret, operation));
}

/// There is a moment between every two generations, before which the operations of the one took effect and after
/// which those of the other did.
fn disjoint<K: Clone + Debug>(history: &History<K>, answered_in: &[Extremes]) -> Result<(), Failure<K>> {
    let mut last_call: Option<(u64, usize)> = None;
    for &(call, (ret, newer)) in answered_in.iter().flatten() {
        if let Some((_, older)) = last_call.filter(|(call, _)| *call > ret) {
            let copy = |number: usize| Box::new(history.operations[number].clone());
            return Err(Failure::Overlap { older: copy(older), newer: copy(newer) });
        }
        last_call = last_call.max(Some(call));
    }
    Ok(())
}

/// Whether operation and outcome belong together.
fn check<K>(operation: &Operation<K>) -> Result<(), &'static str> {
    if operation.ret.is_some_and(|ret| ret < operation.call) {
        return Err("it was answered before it was called");
    }
    if let Op::Put { ttl: Some(window), .. } | Op::Increment { ttl: Some(window), .. } = &operation.op
        && window.latest < window.earliest
    {
        return Err("its value must be gone before it may be");
    }
    let Outcome::Done { index, answer } = &operation.outcome else { return Ok(()) };
    let version = match answer {
        Answer::Found(Some(seen)) => seen.version,
        _ => None,
    };
    if *index == Some(0) || version == Some(0) {
        return Err("log indices count from 1");
    }
    let fits = match (&operation.op, answer) {
        (Op::Read, Answer::Found(_)) => index.is_none(),
        (Op::Put { .. } | Op::Delete, Answer::Silent | Answer::Existed(_))
        | (Op::Put { .. }, Answer::ConditionFailed { .. })
        | (Op::Take, Answer::Found(_))
        | (Op::Increment { .. }, Answer::Number(_) | Answer::NotANumber)
        | (Op::Clear, Answer::Silent) => true,
        _ => false,
    };
    if fits { Ok(()) } else { Err("this is no answer to such an operation") }
}
