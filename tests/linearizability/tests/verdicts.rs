//! Histories written by hand: for each kind of operation what is right and what is not.

mod support;

use rauthy_linearizability::{Answer, Condition, Failure, Limits, Op, Outcome, check_within};
use support::{Tale, add, done, existed, failed, found, number, put_until, written};

#[test]
fn a_read_sees_the_last_write() {
    let tale = Tale::new().op(1, (0, 5), Op::put("a"), written(1)).op(1, (6, 9), Op::put("b"), written(2));
    tale.holds();
    let stale = tale.op(2, (10, 12), Op::Read, found("a"));
    let violation = stale.fails();
    assert_eq!((violation.key, violation.operations[violation.stuck].client), ("k", 2));
}

#[test]
fn a_read_during_a_write_sees_either() {
    for value in ["a", "b"] {
        let tale = Tale::new().op(1, (0, 5), Op::put("a"), done()).op(1, (6, 9), Op::put("b"), done());
        tale.op(2, (7, 8), Op::Read, found(value)).op(3, (10, 11), Op::Read, found("b")).holds();
    }
}

#[test]
fn once_the_new_value_was_seen_the_old_one_is_gone() {
    let tale = Tale::new().op(1, (0, 5), Op::put("a"), done()).op(1, (6, 20), Op::put("b"), done());
    let tale = tale.op(2, (7, 8), Op::Read, found("b"));
    tale.holds();
    tale.op(3, (9, 10), Op::Read, found("a")).fails();
}

#[test]
fn what_touches_is_concurrent() {
    let tale = Tale::new().op(1, (0, 5), Op::put("a"), done());
    tale.op(2, (5, 6), Op::Read, Outcome::nothing()).holds();
    let tale = Tale::new().op(1, (0, 5), Op::put("a"), done());
    tale.op(2, (6, 7), Op::Read, Outcome::nothing()).fails();
}

#[test]
fn an_acknowledged_write_is_not_lost() {
    Tale::new().op(1, (0, 5), Op::put("a"), done()).op(2, (6, 7), Op::Read, Outcome::nothing()).fails();
    let tale = Tale::new().op(1, (0, 5), Op::put("a"), written(1));
    // Two read version 1 and both write on top of it: one of the two updates is lost.
    let (one, two) = (Op::put_if("b", Condition::IfVersion(1)), Op::put_if("c", Condition::IfVersion(1)));
    let tale = tale.op(1, (6, 9), one, written(2));
    tale.holds();
    tale.op(2, (6, 9), two, written(3)).fails();
}

#[test]
fn nothing_is_read_that_was_never_written() {
    Tale::new().op(1, (0, 5), Op::put("a"), done()).op(2, (6, 7), Op::Read, found("z")).fails();
    Tale::new().op(2, (6, 7), Op::Read, found("z")).fails();
}

#[test]
fn a_value_is_taken_once() {
    let tale = Tale::new().op(1, (0, 5), Op::put("a"), done()).op(2, (6, 10), Op::Take, found("a"));
    tale.holds();
    tale.op(3, (7, 9), Op::Take, found("a")).fails();
    let tale = Tale::new().op(1, (0, 5), Op::put("a"), done()).op(2, (6, 10), Op::Take, found("a"));
    tale.op(3, (7, 9), Op::Take, Outcome::nothing()).holds();
}

#[test]
fn a_taken_value_is_gone() {
    let tale = Tale::new().op(1, (0, 5), Op::put("a"), done()).op(2, (6, 8), Op::Take, found("a"));
    tale.op(3, (9, 10), Op::Read, found("a")).fails();
}

#[test]
fn a_delete_says_what_was_there() {
    let tale =
        Tale::new().op(1, (0, 5), Op::put("a"), existed(false)).op(1, (6, 7), Op::Delete, existed(true));
    tale.op(1, (8, 9), Op::Delete, existed(false)).op(1, (10, 11), Op::put("b"), existed(false)).holds();
    let tale = Tale::new().op(1, (0, 5), Op::put("a"), done());
    tale.op(1, (6, 7), Op::Delete, existed(false)).fails();
    Tale::new().op(1, (6, 7), Op::Delete, existed(true)).fails();
    let tale = Tale::new().op(1, (0, 5), Op::put("a"), done()).op(1, (6, 7), Op::put("b"), existed(false));
    tale.fails();
}

#[test]
fn a_deleted_value_does_not_come_back() {
    let tale = Tale::new().op(1, (0, 5), Op::put("a"), done()).op(1, (6, 7), Op::Delete, done());
    tale.op(2, (8, 9), Op::Read, found("a")).fails();
}

#[test]
fn a_cleared_value_is_gone() {
    let tale = Tale::new().op(1, (0, 5), Op::put("a"), done()).op(2, (6, 8), Op::Clear, done());
    tale.op(3, (9, 10), Op::Read, found("a")).fails();
    let tale = Tale::new().op(1, (0, 5), Op::put("a"), done()).op(2, (6, 8), Op::Clear, done());
    tale.op(3, (9, 10), Op::Read, Outcome::nothing()).holds();
}

#[test]
fn no_increment_is_lost() {
    let both = |one, two| Tale::new().op(1, (0, 5), add(1), number(one)).op(2, (2, 6), add(1), number(two));
    both(1, 2).holds();
    both(2, 1).holds();
    both(1, 1).fails();
    both(1, 3).fails();
    both(1, 2).op(3, (7, 8), Op::Read, Outcome::found(2, None)).holds();
    both(1, 2).op(3, (7, 8), Op::Read, Outcome::found(1, None)).fails();
}

#[test]
fn an_increment_needs_a_number() {
    let not_a_number = Outcome::saw(Answer::NotANumber);
    let tale = |value: i64| Tale::new().op(1, (0, 5), Op::put(value), done());
    tale(i64::MAX).op(1, (6, 7), add(1), not_a_number.clone()).holds();
    tale(7).op(1, (6, 7), add(1), not_a_number.clone()).fails();
    tale(7).op(1, (6, 7), add(-9), number(-2)).holds();
    let text = Tale::new().op(1, (0, 5), Op::put("a"), done());
    text.op(1, (6, 7), add(1), not_a_number).op(1, (8, 9), Op::Read, found("a")).holds();
    Tale::new().op(1, (0, 5), Op::put("a"), done()).op(1, (6, 7), add(1), number(1)).fails();
}

#[test]
fn if_absent_succeeds_once() {
    let once = || Op::put_if("a", Condition::IfAbsent);
    let tale = || Tale::new().op(1, (0, 5), once(), written(1));
    tale().op(2, (1, 6), once(), failed(1)).holds();
    tale().op(2, (1, 6), once(), written(2)).fails();
    tale().op(1, (7, 8), Op::Delete, done()).op(2, (9, 10), once(), written(3)).holds();
    tale().op(1, (7, 8), Op::Delete, done()).op(2, (9, 10), once(), failed(1)).fails();
    Tale::new().op(2, (1, 6), once(), failed(1)).fails();
}

#[test]
fn if_version_compares() {
    let tale = || Tale::new().op(1, (0, 5), Op::put("a"), written(4));
    let on = |version| Op::put_if("b", Condition::IfVersion(version));
    tale().op(2, (6, 7), on(4), written(5)).holds();
    tale().op(2, (6, 7), on(3), written(5)).fails();
    tale().op(2, (6, 7), on(3), failed(4)).holds();
    tale().op(2, (6, 7), on(4), failed(4)).fails();
    tale().op(2, (6, 7), on(4), failed(0)).fails();
    Tale::new().op(2, (6, 7), on(4), failed(0)).holds();
}

#[test]
fn versions_tell_the_order_of_writes() {
    // Without versions the two could be in either order.
    let tale = |one, two| Tale::new().op(1, (0, 9), Op::put("a"), one).op(2, (0, 9), Op::put("b"), two);
    tale(done(), done()).op(3, (10, 11), Op::Read, found("a")).holds();
    tale(written(1), written(2)).op(3, (10, 11), Op::Read, found("a")).fails();
    tale(written(1), written(2)).op(3, (10, 11), Op::Read, found("b")).holds();
    // A later write with a lower one.
    let tale = Tale::new().op(1, (0, 5), Op::put("a"), written(7));
    tale.op(1, (6, 8), Op::put("b"), written(6)).fails();
    // A read that gives the right value another version.
    let tale = Tale::new().op(1, (0, 5), Op::put("a"), written(7));
    tale.op(1, (6, 8), Op::Read, Outcome::found("a", Some(8))).fails();
}

#[test]
fn beyond_its_limits_it_gives_up_instead_of_accepting() {
    let mut tale = Tale::new();
    for n in 0..18 {
        tale = tale.op(n, (0, 100), Op::put(n as i64), done());
    }
    tale.holds();
    let hard = tale.op(99, (101, 102), Op::Read, found("z"));
    let limits = Limits { states: 1000, ..Limits::default() };
    assert!(matches!(check_within(&hard.0, limits), Err(Failure::GaveUp { key: "k", states: 1001, .. })));
    let limits = Limits { tries: 1000, ..Limits::default() };
    assert!(matches!(check_within(&hard.0, limits), Err(Failure::GaveUp { .. })));
}

#[test]
fn a_recorder_that_contradicts_itself_is_told() {
    let reason = |tale: Tale| match rauthy_linearizability::check(&tale.0) {
        Err(Failure::Malformed { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    reason(Tale::new().op(1, (5, 4), Op::Read, Outcome::nothing()));
    reason(Tale::new().op(1, (4, 5), Op::Read, done()));
    reason(Tale::new().op(1, (4, 5), Op::Delete, failed(1)));
    reason(Tale::new().op(1, (4, 5), Op::put("a"), written(0)));
    reason(Tale::new().op(1, (4, 5), put_until("a", 9, 8), written(1)));
    let mut tale = Tale::new().op(1, (4, 5), Op::Read, Outcome::nothing());
    tale.0.operations[0].ret = None;
    reason(tale);
}

#[test]
fn a_violation_reads_like_a_story() {
    let tale = Tale::new()
        .op(1, (0, 5), Op::put("old"), written(3))
        .op(2, (4, 6), Op::Read, Outcome::found("old", Some(3)))
        .op(1, (8, 9), Op::put("a"), written(4))
        .op(2, (8, 20), Op::put_if("b", Condition::IfVersion(4)), written(5))
        .lost(3, 12, put_until("c", 100, u64::MAX))
        .op(4, (14, 15), Op::Read, Outcome::found("b", Some(5)))
        .op(6, (16, 17), Op::Delete, existed(true))
        .op(4, (17, 18), Op::Increment { by: 7, ttl: None }, number(7))
        .op(5, (19, 22), Op::Read, Outcome::found("a", Some(4)))
        .op(6, (30, 31), Op::Read, Outcome::found("b", Some(5)));
    let told = tale.fails().to_string();
    let expected = "\
key \"k\" is not linearizable
  after 5, whatever came before, it held 'old', version 3
             8..9           client 1    put 'a'                      → done (entry 4)
             8..20          client 2    put 'b' if version 4         → done (entry 5)
            12..            client 3    put 'c', may end from 100 on → no answer
            14..15          client 4    read                         → 'b', version 5
            16..17          client 6    delete                       → done, there was a value
            17..18          client 4    increment +7                 → 7
  ▶         19..22          client 5    read                         → 'a', version 4
  stuck at ▶: before its answer the key could hold only
    7
  and no order of the operations that were open then leads on from there";
    assert_eq!(told, expected, "\n{told}\n");
}
