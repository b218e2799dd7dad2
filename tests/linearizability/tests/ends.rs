//! Values with a time to live.

mod support;

use rauthy_linearizability::{Condition, Op, Outcome, Window};
use support::{Tale, add, done, existed, found, number, put_until, written};

#[test]
fn a_value_may_end_in_its_window_and_must_after_it() {
    let tale = || Tale::new().op(1, (0, 5), put_until("a", 10, 20), done());
    for at in [10, 15, 19] {
        tale().op(2, (at, at + 1), Op::Read, found("a")).holds();
        tale().op(2, (at, at + 1), Op::Read, Outcome::nothing()).holds();
    }
    tale().op(2, (6, 9), Op::Read, Outcome::nothing()).fails();
    tale().op(2, (21, 22), Op::Read, found("a")).fails();
    tale().op(2, (21, 22), Op::Read, Outcome::nothing()).holds();
    // Called in time, answered later: it may have read in time.
    tale().op(2, (20, 30), Op::Read, found("a")).holds();
    // Once gone it is gone.
    let gone = tale().op(2, (11, 12), Op::Read, Outcome::nothing());
    gone.op(2, (13, 14), Op::Read, found("a")).fails();
}

#[test]
fn the_end_of_a_value_is_not_that_of_its_successor() {
    let tale =
        || Tale::new().op(1, (0, 5), put_until("a", 10, 20), done()).op(1, (6, 7), Op::put("b"), done());
    tale().op(2, (15, 16), Op::Read, Outcome::nothing()).fails();
    tale().op(2, (25, 26), Op::Read, found("b")).holds();
}

#[test]
fn what_depends_on_a_value_happens_before_its_end() {
    // All three are answered after the end, and can only have been done before it, in this order.
    let tale = || {
        let tale = Tale::new().op(1, (0, 5), put_until("a", 10, 20), written(1));
        tale.op(2, (15, 30), Op::put_if("b", Condition::IfVersion(1)), done()).op(
            3,
            (15, 30),
            Op::Take,
            found("b"),
        )
    };
    tale().op(4, (15, 30), Op::put("c"), existed(false)).op(5, (31, 32), Op::Read, found("c")).holds();
    tale().op(4, (15, 30), Op::put("c"), existed(true)).op(5, (31, 32), Op::Read, found("c")).fails();
    let late = Tale::new().op(1, (0, 5), put_until("a", 10, 20), written(1));
    late.op(2, (21, 30), Op::put_if("b", Condition::IfVersion(1)), done()).fails();
}

#[test]
fn an_unknown_write_may_depend_on_a_value_that_ends_before_it_is_seen() {
    let tale = || {
        let tale = Tale::new().op(1, (0, 5), put_until("a", 10, 20), written(1));
        tale.lost(2, 12, Op::put_if("b", Condition::IfVersion(1)))
    };
    tale().op(3, (30, 31), Op::Read, found("b")).op(3, (32, 33), Op::Read, found("b")).holds();
    let gone = tale().op(3, (21, 22), Op::Read, Outcome::nothing());
    gone.op(3, (30, 31), Op::Read, found("b")).fails();
    let other = tale().lost(9, 12, Op::put_if("c", Condition::IfVersion(1)));
    other.op(3, (30, 31), Op::Read, found("b")).holds();
    // The value that ends is that of an unknown write itself.
    let tale =
        Tale::new().lost(1, 0, put_until("a", 10, 20)).lost(2, 12, Op::put_if("b", Condition::IfVersion(1)));
    tale.op(3, (30, 31), Op::Read, found("b")).holds();
}

#[test]
fn an_increment_keeps_the_end() {
    let add_until = Op::Increment { by: 1, ttl: Some(Window { earliest: 10, latest: 20 }) };
    let tale = || Tale::new().op(1, (0, 5), add_until.clone(), number(1)).op(1, (6, 7), add(1), number(2));
    tale().op(2, (15, 16), Op::Read, Outcome::nothing()).holds();
    tale().op(2, (21, 22), add(1), number(3)).fails();
    tale().op(2, (21, 22), add(1), number(1)).holds();
}

#[test]
fn an_evicted_value_may_be_gone_at_any_time() {
    let tale = || Tale::new().op(1, (0, 5), put_until("a", 0, u64::MAX), done());
    tale().op(2, (6, 7), Op::Read, Outcome::nothing()).holds();
    tale().op(2, (600, 700), Op::Read, found("a")).holds();
    let tale = tale().op(2, (6, 7), Op::Read, Outcome::nothing());
    tale.op(2, (8, 9), Op::Read, found("a")).fails();
}

#[test]
fn an_unknown_write_may_come_after_the_end_of_its_value_and_leave_nothing() {
    // "b" again, by the unknown put, with version 3; replaced by what has ended; then "a", if absent.
    let over = Op::Put {
        value: "x".into(),
        condition: Condition::IfVersion(3),
        ttl: Some(Window { earliest: 0, latest: 0 }),
    };
    let tale = Tale::new().lost(1, 0, over).op(2, (0, 1), Op::put("b"), written(2));
    let tale = tale.lost(3, 0, Op::put_if("a", Condition::IfAbsent)).lost(4, 4, Op::put("b"));
    tale.op(5, (6, 7), Op::Read, found("a")).holds();
}
