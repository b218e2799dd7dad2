//! A long history of many clients: accepted with little search, and refused when one value is older than it may be.

mod support;

use std::collections::HashMap;

use rauthy_linearizability::{Answer, Condition, Generation, History, Op, Outcome, Seen, Value, check};
use support::{Random, violation};

const OPERATIONS: usize = 100_000;
const KEYS: u64 = 8;
const CLIENTS: u64 = 16;

type Held = HashMap<u64, (Value, u64)>;

/// Clients one call after the other each, on an object that does one thing after the other. `told`: the answers to
/// writes give the index of their entry. Now and then an answer is lost, and sometimes its effect too; twice the
/// whole object is.
fn long(seed: u64, told: bool) -> History<u64> {
    let mut random = Random(seed);
    let mut history = History::default();
    let (mut held, mut index, mut generation) = (Held::new(), 0, 0);
    let mut free_at = [0u64; CLIENTS as usize];
    let mut time = 0;
    history.generations.push(Generation { name: 0, began: 0, ended: u64::MAX });
    for number in 0..OPERATIONS {
        // The point of effect; the call is before it and after the client's last answer.
        time += 1 + random.below(20);
        if number == OPERATIONS / 3 || number == OPERATIONS * 2 / 3 {
            generation += 1;
            (held, index) = (Held::new(), 0);
            if let Some(last) = history.generations.last_mut() {
                last.ended = time - 1;
            }
            history.generations.push(Generation { name: generation, began: time, ended: u64::MAX });
        }
        let client = random.below(CLIENTS);
        let call = time.saturating_sub(random.below(150)).max(free_at[client as usize]).min(time);
        let ret = time + random.below(150);
        free_at[client as usize] = ret + 1;
        let key = random.below(KEYS);
        let op = match random.below(10) {
            0..=4 => Op::Read,
            5..=6 => Op::put(number as i64),
            7 => Op::put_if(number as i64, Condition::IfAbsent),
            8 => Op::Take,
            _ => Op::Increment { by: 1, ttl: None },
        };
        let id = history.called(client, key, call, op.clone(), Some(generation));
        let (lost, never) = (random.chance(1), random.chance(50));
        if lost && never {
            continue;
        }
        index += u64::from(op != Op::Read);
        let found = held
            .get(&key)
            .map(|(value, version)| Seen { value: value.clone(), version: told.then_some(*version) });
        let answer = match &op {
            Op::Put { condition: Condition::IfAbsent, .. } if found.is_some() => {
                Answer::ConditionFailed { version: held.get(&key).map(|held| held.1).filter(|_| told) }
            }
            Op::Put { value, .. } => {
                held.insert(key, (value.clone(), index));
                Answer::Silent
            }
            Op::Increment { by, .. } => {
                let before = match held.get(&key) {
                    Some((Value::Number(number), _)) => *number,
                    _ => 0,
                };
                held.insert(key, (Value::Number(before + by), index));
                Answer::Number(before + by)
            }
            Op::Take => {
                held.remove(&key);
                Answer::Found(found)
            }
            _ => Answer::Found(found),
        };
        if !lost {
            let index = (told && op != Op::Read).then_some(index);
            history.answered(id, ret, Some(generation), Outcome::Done { index, answer });
        }
    }
    history
}

#[test]
fn a_long_history_needs_little_search() {
    for (told, states, tries) in [(true, 2, 4), (false, 2, 20)] {
        let history = long(7, told);
        let stats = check(&history).unwrap_or_else(|failure| panic!("{failure}"));
        println!("{stats:?}");
        assert!(
            stats.answered > OPERATIONS * 98 / 100 && stats.unknown > 100 && stats.concurrency > 4,
            "{stats:?}"
        );
        assert!(stats.states < states * OPERATIONS && stats.tries < tries * OPERATIONS, "{stats:?}");
    }
}

#[test]
fn one_stale_read_in_it_is_found() {
    for seed in 0..4 {
        let mut history = long(seed, true);
        // What each put wrote, and when it was acknowledged.
        let written: Vec<(u64, u128, u64, i64, u64)> = history
            .operations
            .iter()
            .filter_map(|operation| match (&operation.op, &operation.outcome) {
                (
                    Op::Put { value: Value::Number(value), .. },
                    Outcome::Done { index: Some(index), answer: Answer::Silent },
                ) => Some((operation.key, operation.generation?, *index, *value, operation.ret?)),
                _ => None,
            })
            .collect();
        let from = OPERATIONS / 2 + seed as usize * 1000;
        let (at, stale, value) = (from..OPERATIONS)
            .find_map(|at| {
                let read = &history.operations[at];
                let Outcome::Done { answer: Answer::Found(Some(_)), .. } = read.outcome else { return None };
                let mut before = written.iter().filter(|(key, generation, .., acked)| {
                    *key == read.key && Some(*generation) == read.generation && *acked < read.call
                });
                // The last but one that was acknowledged.
                let (last, previous) = (before.next_back()?, before.next_back()?);
                (read.op == Op::Read && previous.2 < last.2).then_some((at, previous.2, previous.3))
            })
            .unwrap();
        history.operations[at].outcome = Outcome::found(value, Some(stale));
        let violation = violation(check(&history));
        assert_eq!(violation.key, history.operations[at].key, "{violation}");
        assert!(violation.operations.contains(&history.operations[at]), "{violation}");
        assert!(violation.operations.len() < 60, "{violation}");
    }
}
