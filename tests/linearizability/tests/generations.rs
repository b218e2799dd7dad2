//! Generations: what one knew is gone with it, and they follow each other in time.

mod support;

use rauthy_linearizability::{Answer, Failure, Generation, History, Op, Outcome, check};
use support::violation;

/// The first lives until 100 at the latest, the second from 90 on at the earliest.
fn two() -> History<u8> {
    let generations = vec![
        Generation { name: 1, began: 0, ended: 100 },
        Generation { name: 2, began: 90, ended: u64::MAX },
    ];
    History { generations, ..History::default() }
}

fn op(history: &mut History<u8>, in_: u128, (call, ret): (u64, u64), op: Op, outcome: Outcome) {
    let number = history.called(1, 0, call, op, None);
    history.answered(number, ret, Some(in_), outcome);
}

fn done() -> Outcome {
    Outcome::saw(Answer::Silent)
}

fn found(value: &str) -> Outcome {
    Outcome::found(value, None)
}

#[test]
fn a_generation_takes_everything_along() {
    let mut history = two();
    op(&mut history, 1, (10, 20), Op::put("a"), done());
    op(&mut history, 2, (110, 120), Op::Read, Outcome::nothing());
    check(&history).unwrap();
    op(&mut history, 2, (130, 140), Op::Read, found("a"));
    assert_eq!(violation(check(&history)).generation, Some(2));
}

#[test]
fn a_new_generation_begins_with_low_versions() {
    let mut history = two();
    op(&mut history, 1, (10, 20), Op::put("a"), Outcome::at(500, Answer::Silent));
    op(&mut history, 2, (110, 120), Op::put("b"), Outcome::at(3, Answer::Silent));
    op(&mut history, 2, (130, 140), Op::Read, Outcome::found("b", Some(3)));
    check(&history).unwrap();
}

#[test]
fn an_unknown_write_stays_in_its_generation() {
    let mut history = two();
    history.called(2, 0, 50, Op::put("a"), Some(1));
    op(&mut history, 1, (60, 70), Op::Read, found("a"));
    check(&history).unwrap();
    op(&mut history, 2, (110, 120), Op::Read, found("a"));
    assert_eq!(violation(check(&history)).generation, Some(2));

    // If nobody knows its stamp it can be in any that lives after its call.
    let mut history = two();
    history.called(2, 0, 50, Op::put("a"), None);
    op(&mut history, 2, (110, 120), Op::Read, found("a"));
    check(&history).unwrap();
    let mut history = two();
    history.called(2, 0, 150, Op::put("a"), None);
    op(&mut history, 2, (110, 120), Op::Read, found("a"));
    violation(check(&history));
}

#[test]
fn a_call_may_span_two_generations() {
    let mut history = two();
    op(&mut history, 1, (80, 300), Op::put("a"), done());
    op(&mut history, 2, (10, 300), Op::put("b"), done());
    op(&mut history, 2, (150, 300), Op::Read, found("b"));
    check(&history).unwrap();
    // It was put into the first one, which is over at 100: a read there afterwards cannot be.
    op(&mut history, 1, (101, 300), Op::Read, found("a"));
    assert!(matches!(check(&history), Err(Failure::OutsideGeneration { name: 1, .. })));
}

#[test]
fn no_generation_answers_after_its_successor() {
    let mut history = two();
    op(&mut history, 1, (10, 20), Op::put("a"), done());
    op(&mut history, 2, (91, 94), Op::put("b"), done());
    check(&history).unwrap();
    // Both boundaries would allow it, but the second had answered before this was called; on another key, too.
    let number = history.called(7, 9, 95, Op::Read, None);
    history.answered(number, 96, Some(1), Outcome::nothing());
    let Err(Failure::Overlap { older, newer }) = check(&history) else { panic!() };
    assert_eq!((older.call, newer.ret), (95, Some(94)));
}

#[test]
fn who_answered_must_be_clear() {
    let mut history = two();
    let number = history.called(1, 0, 10, Op::put("a"), None);
    history.answered(number, 20, None, done());
    check(&history).unwrap();
    let number = history.called(1, 0, 80, Op::put("a"), None);
    history.answered(number, 95, None, done());
    assert!(matches!(check(&history), Err(Failure::Malformed { .. })));

    let mut history = two();
    op(&mut history, 3, (10, 20), Op::put("a"), done());
    assert!(matches!(check(&history), Err(Failure::Malformed { .. })));
    let mut history = two();
    history.generations.swap(0, 1);
    assert!(matches!(check(&history), Err(Failure::Generations { name: 1 })));

    // Without a list there can be one name only.
    let mut history = History::default();
    op(&mut history, 3, (10, 20), Op::put("a"), done());
    check(&history).unwrap();
    op(&mut history, 4, (30, 40), Op::put("a"), done());
    assert!(matches!(check(&history), Err(Failure::Malformed { .. })));
}
