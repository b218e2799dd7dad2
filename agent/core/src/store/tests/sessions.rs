//! Rule 9: a request is applied at most once.

use super::*;

fn tagged(session: Index, seq: u64, floor: u64, op: Op) -> Payload {
    Payload::Write { tag: Some(Tag { session, seq, floor }), op }
}

fn key(key: &str) -> Option<(&str, &[u8])> {
    Some((CACHE, key.as_bytes()))
}

fn session(log: &mut Log) -> Index {
    assert_eq!(log.write(Op::OpenSession), Effect::Opened);
    log.last
}

#[test]
fn a_repeated_request_gets_its_first_answer() {
    let mut log = log();
    let s = session(&mut log);
    assert_eq!(log.apply(tagged(s, 1, 0, increment("n", 5, None))), Effect::Number(5));
    let (digest, version) = (log.store.digest(), log.last);
    assert_eq!(log.apply(tagged(s, 1, 0, increment("n", 5, None))), Effect::Number(5));
    assert_eq!((log.text("n").as_deref(), log.store.digest()), (Some("5"), digest));
    assert_eq!(
        log.store.recorded(key("n"), s, 1),
        Some(Done { version, effect: Effect::Number(5) }),
        "with the version of the entry that was applied"
    );
    assert_eq!(log.store.recorded(key("n"), s, 2), None);
    assert_eq!(log.store.recorded(key("n"), s + 1, 1), None);
    log.put("t", "once");
    assert_eq!(log.apply(tagged(s, 2, 0, take("t"))), Effect::Taken(Some(bytes("once"))));
    log.put("t", "twice");
    assert_eq!(log.apply(tagged(s, 2, 0, take("t"))), Effect::Taken(Some(bytes("once"))));
    assert_eq!(log.text("t").as_deref(), Some("twice"));
}

#[test]
fn below_the_floor_nothing_is_applied() {
    let mut log = log();
    let s = session(&mut log);
    log.apply(tagged(s, 1, 0, increment("n", 1, None)));
    log.apply(tagged(s, 2, 0, increment("n", 1, None)));
    let before = log.store.dedup_bytes();
    log.apply(tagged(s, 4, 3, increment("n", 1, None)));
    assert!(log.store.dedup_bytes() < before, "results below the floor are forgotten");
    for seq in [1, 2] {
        assert_eq!(log.apply(tagged(s, seq, 0, increment("n", 1, None))), Effect::Unknown);
    }
    assert_eq!(log.text("n").as_deref(), Some("3"));
    assert_eq!(log.store.sessions(), [(s, 3)]);
    assert_eq!(
        log.apply(tagged(s, 3, 3, increment("n", 1, None))),
        Effect::Number(4),
        "the floor itself is in"
    );
    assert_eq!(
        log.apply(tagged(s, 4, 3, increment("n", 1, None))),
        Effect::Number(3),
        "recorded, out of order"
    );
    assert_eq!(log.apply(tagged(s, 9, 4, increment("n", 1, None))), Effect::Number(5));
    assert_eq!(log.apply(tagged(s, 4, 4, increment("n", 1, None))), Effect::Number(3), "still remembered");
}

#[test]
fn a_clear_is_counted_once() {
    let mut log = log();
    let s = session(&mut log);
    (0..40).for_each(|i| drop(log.put(&format!("k{i}"), "v")));
    assert_eq!(log.apply(tagged(s, 1, 1, clear())), Effect::Cleared { values: 40 });
    let version = log.last;
    (0..40).for_each(|i| drop(log.put(&format!("k{i}"), "v")));
    assert_eq!(log.apply(tagged(s, 1, 1, clear())), Effect::Cleared { values: 40 });
    assert_eq!(log.store.entries(), 40, "the second time it was not done");
    assert_eq!(
        log.store.recorded(None, s, 1),
        Some(Done { version, effect: Effect::Cleared { values: 40 } })
    );
    assert_eq!(log.apply(tagged(s, 2, 1, declare(Limits::default()))), Effect::Declared);
    assert_eq!(log.store.sessions(), [(s, 1)]);
    let done = Done { version: log.last, effect: Effect::Declared };
    assert_eq!(log.store.recorded(None, s, 2), Some(done));
    assert_eq!(log.store.recorded(None, s, 3), None);
}

#[test]
fn a_floor_by_itself_holds_for_all_keys() {
    let mut log = log();
    let s = session(&mut log);
    let empty = log.store.dedup_bytes();
    (1..=40).for_each(|seq| drop(log.apply(tagged(s, seq, 0, increment(&format!("n{seq}"), 1, None)))));
    assert_eq!(log.apply(Payload::Floor { session: s, floor: 40 }), Effect::Nothing);
    assert_eq!(log.store.sessions(), [(s, 40)]);
    for seq in 1..40 {
        let again = tagged(s, seq, 0, increment(&format!("n{seq}"), 1, None));
        assert_eq!(log.apply(again), Effect::Unknown);
    }
    assert_eq!(log.apply(tagged(s, 40, 0, increment("n40", 1, None))), Effect::Number(1), "still remembered");
    assert_eq!(log.text("n1").as_deref(), Some("1"));
    log.apply(Payload::Floor { session: s, floor: 3 });
    assert_eq!(log.store.sessions(), [(s, 40)], "it never goes back");
    log.apply(Payload::Floor { session: s, floor: 41 });
    assert_eq!(log.store.dedup_bytes(), empty);
}

#[test]
fn a_clear_that_a_shard_has_given_up_has_an_unknown_outcome() {
    // Leaders do not append this: they know the highest floor.
    for key in ["a", "b", "c", "d", "e"] {
        let mut log = log();
        let s = session(&mut log);
        log.apply(tagged(s, 9, 9, put(key, "v", None)));
        assert_eq!(log.apply(tagged(s, 1, 1, clear())), Effect::Unknown);
        assert_eq!(log.text(key).as_deref(), Some("v"));
        assert_eq!(log.store.recorded(None, s, 1), None);
    }
}

#[test]
fn an_ended_session_is_forgotten_and_nothing_more_is_applied_for_it() {
    let mut log = log();
    let (s, other) = (session(&mut log), session(&mut log));
    let empty = log.store.dedup_bytes();
    log.apply(tagged(s, 1, 0, put("a", "v", None)));
    log.apply(tagged(other, 1, 0, put("b", "v", None)));
    log.apply(tagged(s, 2, 0, clear()));
    assert_eq!(log.apply(Payload::EndSession { session: s }), Effect::Nothing);
    assert_eq!(log.store.sessions(), [(other, 0)]);
    assert_eq!(log.store.recorded(key("a"), s, 1), None);
    assert_eq!(log.apply(tagged(s, 1, 0, put("a", "v", None))), Effect::Unknown);
    assert_eq!(log.value("a"), None);
    assert_eq!(log.apply(tagged(77, 1, 0, clear())), Effect::Unknown, "there never was such a session");
    log.apply(Payload::EndSession { session: other });
    assert_eq!((log.store.dedup_bytes(), log.store.sessions().len()), (0, 0));
    assert!(empty > 0);
}

#[test]
fn a_taken_value_that_is_remembered_is_charged() {
    let mut log = log();
    let s = session(&mut log);
    log.put("a", &"v".repeat(1000));
    let before = log.store.dedup_bytes();
    log.apply(tagged(s, 1, 0, take("a")));
    assert!(log.store.dedup_bytes() >= before + 1000);
    log.store.clear();
    assert_eq!((log.store.dedup_bytes(), log.store.digest()), (0, 0));
}

#[test]
fn a_repetition_after_a_snapshot_is_known() {
    let mut log = log();
    let s = session(&mut log);
    (0..40).for_each(|i| drop(log.put(&format!("k{i}"), "v")));
    log.apply(tagged(s, 1, 0, increment("n", 5, None)));
    log.apply(tagged(s, 2, 0, clear()));
    let mut copy = Log { store: Store::default(), last: log.last, now: log.now };
    (0..SHARDS).for_each(|shard| copy.store.install_copy(shard, log.store.copy(shard)));
    copy.store.begin_at(log.last);
    assert_eq!(copy.store.digest(), log.store.digest());
    assert_eq!(copy.store.dedup_bytes(), log.store.dedup_bytes());
    assert_eq!(copy.store.recorded(None, s, 2), log.store.recorded(None, s, 2));
    assert_eq!(copy.apply(tagged(s, 1, 0, increment("n", 5, None))), Effect::Number(5));
    assert_eq!(copy.apply(tagged(s, 2, 0, clear())), Effect::Cleared { values: 41 });
    assert_eq!(copy.value("n"), None);
    assert_eq!(copy.store.sessions(), [(s, 0)]);
}

#[cfg(feature = "testing")]
#[test]
fn without_the_rule_a_repetition_is_applied_again() {
    let testing = Testing { mutant: Some(Mutant::NoDedup), ..Testing::default() };
    let mut log = Log { store: Store::new(testing), last: 0, now: LogTime(0) };
    let s = session(&mut log);
    log.apply(tagged(s, 1, 0, increment("n", 5, None)));
    assert_eq!(log.apply(tagged(s, 1, 0, increment("n", 5, None))), Effect::Number(10));
    assert_eq!(log.store.recorded(key("n"), s, 1), None);
}

#[cfg(feature = "testing")]
#[test]
fn a_log_alone_is_passed_and_not_applied() {
    let testing = Testing { no_store: true, ..Testing::default() };
    let mut log = Log { store: Store::new(testing), last: 0, now: LogTime(0) };
    log.put("a", "v");
    assert_eq!((log.store.applied(), log.store.entries(), log.store.digest()), (1, 0, 0));
}
