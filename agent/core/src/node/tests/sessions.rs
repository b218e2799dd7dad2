//! Rule 9 at the leader: what it knows of sessions when it begins to lead, and what it refuses.

use super::*;
use crate::log::{Op, Tag};
use crate::request::{Effect, Limit};

/// The session that the first entry after [`LAST`] opens.
const SESSION: Index = LAST.1 + 1;

fn open() -> Payload {
    Payload::Write { tag: None, op: Op::OpenSession }
}

fn tagged(seq: u64, floor: u64) -> Payload {
    let op = Op::Delete { cache: Arc::from(CACHE), key: "x".into() };
    Payload::Write { tag: Some(Tag { session: SESSION, seq, floor }), op }
}

fn stamped(node: &mut Node, seq: u64, floor: u64) -> Option<Result<Done, Refusal>> {
    stamped_in(node, GENERATION, seq, floor)
}

fn stamped_in(
    node: &mut Node,
    generation: Generation,
    seq: u64,
    floor: u64,
) -> Option<Result<Done, Refusal>> {
    let stamp = Stamp { generation, session: SESSION, seq, floor };
    write(node, put("k"), Some(stamp), AckLevel::Quorum)
}

const UNKNOWN: Option<Result<Done, Refusal>> = Some(Err(Refusal::UnknownOutcome));

#[test]
fn a_new_leader_knows_the_sessions_of_the_one_before() {
    let mut node = serving_after(settings(), vec![open()]);
    assert_eq!(stamped(&mut node, 1, 1), None, "taken");
    let mut node = serving();
    assert_eq!(stamped(&mut node, 1, 1), UNKNOWN, "nobody opened it");
    let mut node = serving_after(settings(), vec![open(), Payload::EndSession { session: SESSION }]);
    assert_eq!(stamped(&mut node, 1, 1), UNKNOWN, "it has ended");
    let mut node = serving_after(settings(), vec![open(), tagged(3, 3)]);
    assert_eq!(stamped(&mut node, 2, 2), UNKNOWN, "below its floor");
    assert_eq!(stamped(&mut node, 4, 3), None);
}

#[test]
fn another_generations_request_is_never_applied() {
    let mut node = serving_after(settings(), vec![open()]);
    let last = inside(&mut node).log.last_index();
    assert_eq!(stamped_in(&mut node, Generation(8), 1, 1), UNKNOWN);
    assert_eq!(inside(&mut node).log.last_index(), last);
}

#[test]
fn what_was_applied_before_is_answered_and_not_applied_again() {
    let mut node = serving_after(settings(), vec![open(), tagged(1, 1)]);
    let last = inside(&mut node).log.last_index();
    let stamp = Stamp { generation: GENERATION, session: SESSION, seq: 1, floor: 1 };
    let delete = Request::Delete { cache: Arc::from(CACHE), key: "x".into() };
    let done = Done { version: SESSION + 1, effect: Effect::Deleted { existed: false } };
    assert_eq!(write(&mut node, delete, Some(stamp), AckLevel::Quorum), Some(Ok(done)));
    assert_eq!(inside(&mut node).log.last_index(), last);
}

#[test]
fn a_window_is_full_at_its_size() {
    let full = Some(Err(Refusal::Limit(Limit::Window)));
    for (floor, seq, expected) in [(1, 8, None), (1, 9, full.clone()), (3, 10, None), (3, 11, full)] {
        let mut node = serving_after(Settings { session_window: 8, ..settings() }, vec![open()]);
        assert_eq!(stamped(&mut node, seq, floor), expected, "{floor}, {seq}");
    }
}

#[test]
fn a_refusal_is_certain_only_where_no_copy_can_be_in_the_log() {
    let none = Settings { pending_bytes: 0, ..settings() };
    let mut node = serving_after(none, vec![open(), tagged(3, 1)]);
    for (seq, expected) in [(2, UNKNOWN), (4, Some(Err(Refusal::Limit(Limit::Pending))))] {
        assert_eq!(stamped(&mut node, seq, 1), expected, "{seq}");
    }
}

#[test]
fn where_no_result_can_be_remembered_nothing_is_taken() {
    let mut node = serving_after(settings(), vec![open(), tagged(1, 1)]);
    let held = node.replica.store().dedup_bytes();
    assert!(held > 0);
    let full = Some(Err(Refusal::Limit(Limit::Dedup)));
    for (dedup_bytes, seq, expected) in [(held + 1, 4, None), (held, 5, full)] {
        node.settings.dedup_bytes = dedup_bytes;
        assert_eq!(stamped(&mut node, seq, 1), expected);
    }
    assert_eq!(write(&mut node, put("k"), None, AckLevel::Quorum), None, "nothing to remember");
}

#[test]
fn sessions_are_bounded() {
    let mut node = serving_after(Settings { sessions: 2, ..settings() }, vec![open()]);
    assert_eq!(write(&mut node, Request::OpenSession, None, AckLevel::Quorum), None);
    let full = Some(Err(Refusal::Limit(Limit::Sessions)));
    assert_eq!(write(&mut node, Request::OpenSession, None, AckLevel::Quorum), full);
}

#[test]
fn a_session_that_nobody_uses_is_ended_and_one_in_use_is_not() {
    let idle = settings().session_idle;
    let ended = |node: &mut Node| {
        let log = &inside(node).log;
        let last = log.get(log.last_index()).map(|entry| entry.payload.clone());
        last == Some(Payload::EndSession { session: SESSION })
    };
    for (used, after, expected) in
        [(false, idle, false), (false, Span(idle.0 + 1), true), (true, Span(idle.0 + 1), false)]
    {
        let mut node = serving_after(settings(), vec![open()]);
        node.now = NOW + Span(1);
        if used {
            let stamp = Stamp { generation: GENERATION, session: SESSION, seq: 1, floor: 1 };
            leader(&mut node).sessions.used(stamp, NOW + Span(1));
        }
        node.now = NOW + after;
        leader(&mut node).lease_end = node.now + L; // it serves
        node.end_idle_sessions();
        assert_eq!(ended(&mut node), expected, "{used}, {after:?}");
    }
}

#[test]
fn where_results_take_half_of_what_they_may_the_log_says_which_are_over() {
    let appended = |node: &mut Node| {
        let log = &inside(node).log;
        log.get(log.last_index()).map(|entry| entry.payload.clone())
    };
    let floor = Some(Payload::Floor { session: SESSION, floor: 3 });
    let new = || serving_after(settings(), vec![open(), tagged(3, 3)]);
    let held = new().replica.store().dedup_bytes();
    for (dedup_bytes, says) in [(2 * held, false), (2 * held - 1, true), (held, true)] {
        let mut node = new();
        node.settings.dedup_bytes = dedup_bytes;
        node.forget_results();
        assert_eq!(appended(&mut node) == floor, says, "{dedup_bytes}");
        let last = inside(&mut node).log.last_index();
        node.forget_results();
        assert_eq!(inside(&mut node).log.last_index(), last, "once");
    }
    let mut node = new();
    node.settings.dedup_bytes = held;
    leader(&mut node).lease_end = NOW;
    node.forget_results();
    assert_ne!(appended(&mut node), floor, "it does not serve");
}

#[test]
fn where_room_for_results_is_short_an_unused_session_ends_soon() {
    let soon = L.times(5);
    let held = serving_after(settings(), vec![open(), tagged(1, 1)]).replica.store().dedup_bytes();
    for (dedup_bytes, after, ends) in [
        (2 * held, Span(soon.0 + 1), false),
        (2 * held - 1, Span(soon.0 + 1), true),
        (2 * held - 1, soon, false),
    ] {
        let mut node = serving_after(settings(), vec![open(), tagged(1, 1)]);
        node.settings.dedup_bytes = dedup_bytes;
        node.now = NOW + after;
        leader(&mut node).lease_end = node.now + L;
        node.end_idle_sessions();
        let log = &inside(&mut node).log;
        let last = log.get(log.last_index()).map(|entry| entry.payload.clone());
        assert_eq!(last == Some(Payload::EndSession { session: SESSION }), ends, "{dedup_bytes}, {after:?}");
    }
}
