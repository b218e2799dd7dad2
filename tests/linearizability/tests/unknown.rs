//! Writes without an answer: they happen at any time after their call, or never, but not twice.

mod support;

use rauthy_linearizability::{Answer, Condition, Limits, Op, Outcome, check_within};
use support::{Tale, add, done, existed, found, number, written};

#[test]
fn a_version_that_nobody_told_is_learned_from_the_first_read() {
    let tale = || Tale::new().op(1, (0, 5), Op::put("a"), done()).lost(2, 0, Op::put("b"));
    let read =
        |tale: Tale, at, version| tale.op(3, (at, at + 1), Op::Read, Outcome::found("b", Some(version)));
    read(read(tale(), 6, 9), 8, 9).holds();
    read(read(tale(), 6, 9), 8, 10).fails();
    let on = |version| Op::put_if("c", Condition::IfVersion(version));
    read(tale(), 6, 9).op(4, (8, 9), on(9), written(10)).holds();
    read(tale(), 6, 9).op(4, (8, 9), on(9), written(8)).fails();
}

#[test]
fn an_unknown_write_may_appear_late_or_never() {
    let tale = || Tale::new().op(1, (0, 5), Op::put("a"), done()).lost(2, 1, Op::put("b"));
    tale().op(3, (100, 101), Op::Read, found("a")).holds();
    tale().op(3, (100, 101), Op::Read, found("b")).holds();
    let late = tale().op(3, (100, 101), Op::Read, found("a")).op(3, (102, 103), Op::Read, found("b"));
    late.holds();
    // Not before its call.
    Tale::new().lost(2, 10, Op::put("b")).op(3, (5, 6), Op::Read, found("b")).fails();
}

#[test]
fn an_unknown_write_that_appeared_does_not_disappear() {
    let tale = || Tale::new().op(1, (0, 5), Op::put("a"), done()).lost(2, 1, Op::put("b"));
    let seen = || tale().op(3, (10, 11), Op::Read, found("b"));
    seen().op(3, (12, 13), Op::Read, found("a")).fails();
    seen().op(3, (12, 13), Op::Read, Outcome::nothing()).fails();
    // Nor does it happen twice.
    let over = seen().op(1, (12, 13), Op::put("c"), done());
    over.holds();
    let over = seen().op(1, (12, 13), Op::put("c"), done());
    over.op(3, (14, 15), Op::Read, found("b")).fails();
}

#[test]
fn unknown_removals_happen_at_most_once_each() {
    let put = |tale: Tale, at| tale.op(1, (at, at + 1), Op::put("a"), done());
    let gone = |tale: Tale, at| tale.op(2, (at, at + 1), Op::Read, Outcome::nothing());
    let tale = |removals: [Op; 2]| {
        let tale = removals.into_iter().fold(Tale::new(), |tale, op| tale.lost(3, 0, op));
        gone(put(gone(put(tale, 10), 20), 30), 40)
    };
    tale([Op::Delete, Op::Take]).holds();
    tale([Op::Clear, Op::Clear]).holds();
    gone(put(tale([Op::Delete, Op::Take]), 50), 60).fails();
}

#[test]
fn unknown_increments_happen_at_most_once_each() {
    let tale = || (0..5).fold(Tale::new(), |tale, client| tale.lost(client, 0, add(1)));
    let read = |tale: Tale, at, n| tale.op(9, (at, at + 1), Op::Read, Outcome::found(n, None));
    read(read(tale(), 10, 2), 20, 5).holds();
    read(read(tale(), 10, 2), 20, 6).fails();
    read(read(tale(), 10, 5), 20, 4).fails();
    tale().op(9, (10, 11), add(1), number(4)).op(9, (12, 13), add(1), number(5)).holds();
}

#[test]
fn an_unknown_condition_holds_when_it_is_applied() {
    let tale = || Tale::new().lost(2, 0, Op::put_if("b", Condition::IfAbsent));
    let put = |tale: Tale| tale.op(1, (1, 5), Op::put("a"), existed(false));
    put(tale()).op(3, (6, 7), Op::Read, found("b")).fails();
    let deleted = put(tale()).op(1, (6, 7), Op::Delete, done());
    deleted.op(3, (8, 9), Op::Read, found("b")).holds();
    // One unknown write that another depends on.
    let chain = Tale::new().lost(1, 0, Op::put("x")).lost(2, 0, Op::put_if("y", Condition::IfVersion(3)));
    chain.op(3, (5, 6), Op::Read, Outcome::found("y", Some(4))).holds();
    let chain = Tale::new().lost(1, 0, Op::put("x")).lost(2, 0, Op::put_if("y", Condition::IfVersion(3)));
    chain.op(3, (5, 6), Op::Read, Outcome::found("y", Some(2))).fails();
}

#[test]
fn which_unknown_write_was_there_matters_while_its_value_is_read() {
    // Something was deleted: not "b", of which the one write there was is needed later, but "c".
    let tale = || {
        let tale = Tale::new().lost(1, 0, Op::put("b")).lost(2, 0, Op::put("c"));
        tale.op(3, (10, 11), Op::Delete, existed(true)).op(3, (50, 51), Op::Read, found("b"))
    };
    tale().op(4, (52, 55), Op::put("c"), done()).op(3, (60, 61), Op::Read, found("c")).holds();
    tale().op(3, (60, 61), Op::Read, found("c")).fails();
}

#[test]
fn a_number_does_not_stand_for_some_text_where_somebody_increments() {
    let not_a_number = Outcome::saw(Answer::NotANumber);
    let tale = Tale::new().lost(1, 0, Op::put(1)).lost(2, 0, Op::put("text"));
    let tale = tale.op(3, (10, 11), Op::Delete, existed(true)).op(3, (12, 13), add(4), not_a_number.clone());
    tale.holds();
    tale.op(3, (14, 15), Op::Delete, done()).op(3, (16, 17), add(4), not_a_number).fails();
}

#[test]
fn unknown_increments_count_from_an_unknown_number() {
    let tale = |by| Tale::new().lost(1, 0, Op::put(100)).lost(2, 0, Op::put(200)).lost(3, 0, add(by));
    tale(1).op(4, (10, 11), Op::Read, Outcome::found(201, None)).holds();
    tale(-1).op(4, (10, 11), Op::Read, Outcome::found(199, None)).holds();
    tale(1).op(4, (10, 11), Op::Read, Outcome::found(202, None)).fails();
    // Which of the two was there matters although the delete does not say.
    let both = tale(1).op(4, (10, 20), Op::Delete, existed(true));
    both.op(5, (10, 20), Op::Read, Outcome::found(101, None)).holds();
    let full = Tale::new().lost(1, 0, Op::put(i64::MAX - 1)).lost(2, 0, add(1));
    full.op(3, (10, 11), add(1), Outcome::saw(Answer::NotANumber)).holds();
}

#[test]
fn values_that_nobody_reads_any_more_are_alike() {
    let mut tale = Tale::new();
    for n in 0..40 {
        let (at, value) = (10 * n, format!("v{n}"));
        tale =
            tale.lost(n, at, Op::put(value.as_str())).op(99, (at, at + 1), Op::put(value.as_str()), done());
        tale = tale.op(99, (at + 2, at + 3), Op::Read, found(&value));
    }
    tale = tale.op(99, (1000, 1001), Op::Delete, done());
    for n in 0..12 {
        // Something must be there for this to fail, and is deleted: any of 40 unknown writes.
        let at = 2000 + 10 * n;
        let failed = Outcome::saw(Answer::ConditionFailed { version: None });
        tale = tale.op(99, (at, at + 1), Op::put_if("w", Condition::IfAbsent), failed);
        tale = tale.op(99, (at + 2, at + 3), Op::Delete, done());
    }
    tale.holds();
    let limits = Limits { states: 20_000, ..Limits::default() };
    let tale = tale.op(99, (3000, 3001), Op::Read, found("z"));
    support::violation(check_within(&tale.0, limits));
}

#[test]
fn a_refused_write_has_no_effect() {
    let tale = || Tale::new().op(1, (0, 5), Op::put("a"), Outcome::Failed);
    tale().op(2, (6, 7), Op::Read, Outcome::nothing()).holds();
    tale().op(2, (6, 7), Op::Read, found("a")).fails();
}

#[test]
fn many_unknown_writes_cost_little() {
    // Values that nobody reads, one that somebody does, removals, increments: all open for ever.
    let mut tale = Tale::new();
    for n in 0..500 {
        tale = tale.lost(n, n, Op::put(n as i64 + 1000)).lost(n, n, Op::Delete);
        tale = tale.lost(n, n, Op::put(format!("v{n}").as_str()));
    }
    for n in 0..200 {
        let at = 1000 + 10 * n;
        tale = tale.op(1, (at, at + 1), Op::Read, Outcome::nothing());
        tale = tale.op(1, (at + 2, at + 3), Op::Read, found(&format!("v{}", n * 2)));
        tale = tale.op(1, (at + 4, at + 5), Op::Delete, existed(true)).op(
            1,
            (at + 6, at + 7),
            Op::put("w"),
            existed(true),
        );
    }
    let stats = tale.holds();
    assert!(stats.states < 3000, "{stats:?}");
    assert!(stats.tries < 2_000_000, "{stats:?}");
    // And a violation at the end is found, too.
    tale.op(1, (9000, 9001), Op::Read, found("v0")).fails();
}
