//! Each operation, and what it takes for absent.

use super::*;

#[test]
fn a_value_is_replaced_and_removed() {
    let mut log = log();
    assert_eq!(log.put("a", "one"), Effect::Put { existed: false });
    assert_eq!(log.put("a", "two"), Effect::Put { existed: true });
    assert_eq!(log.value("a"), Some((bytes("two"), 2)));
    assert_eq!((log.store.entries(), log.store.applied()), (1, 2));
    assert_eq!(log.store.bytes(), Store::cost(1, 3));
    assert_eq!(log.write(delete("a")), Effect::Deleted { existed: true });
    assert_eq!(log.write(delete("a")), Effect::Deleted { existed: false });
    let store = &log.store;
    assert_eq!((log.value("a"), store.entries(), store.bytes(), store.digest()), (None, 0, 0, 0));
}

#[test]
fn an_entry_that_is_in_a_shard_already_does_nothing_there() {
    let mut log = log();
    log.write(increment("n", 5, None));
    let before = log.store.digest();
    log.last -= 1;
    log.write(increment("n", 5, None));
    assert_eq!((log.text("n").as_deref(), log.store.digest()), (Some("5"), before));
}

#[test]
fn nothing_is_left_of_a_cache_that_is_empty() {
    let mut log = log();
    log.put("a", "v");
    log.write(delete("a"));
    log.put("b", "v");
    log.write(clear());
    assert_eq!(log.write(increment("c", 1, Some(1))), Effect::Number(1));
    log.write(take("c"));
    assert_eq!((0..SHARDS).map(|shard| log.store.read(shard).caches().count()).sum::<usize>(), 0);
    assert!(log.store.caches().is_empty());
}

#[test]
fn a_condition_is_judged_where_the_entry_stands() {
    let mut log = log();
    let mut put = |condition| {
        let effect = log.write(put_if("a", "x", Some(100), condition));
        (effect, log.last)
    };
    assert_eq!(put(Condition::Version(1)).0, Effect::Unmet { version: None });
    let (effect, first) = put(Condition::Absent);
    assert_eq!(effect, Effect::Put { existed: false });
    assert_eq!(put(Condition::Absent).0, Effect::Unmet { version: Some(first) });
    let (effect, second) = put(Condition::Version(first));
    assert_eq!(effect, Effect::Put { existed: true });
    assert_eq!(put(Condition::Version(first)).0, Effect::Unmet { version: Some(second) });
    assert_eq!(log.value("a").map(|(_, version)| version), Some(second), "what was unmet wrote nothing");
    // From its end on it is as if it were not there, though nobody has removed it yet.
    assert_eq!(
        log.at(100).write(put_if("a", "x", None, Condition::Version(second))),
        Effect::Unmet { version: None }
    );
    assert_eq!(log.write(put_if("a", "y", None, Condition::Absent)), Effect::Put { existed: false });
    assert_eq!(log.text("a").as_deref(), Some("y"));
}

#[test]
fn what_has_ended_counts_as_absent() {
    let mut log = log();
    for key in ["put", "delete", "take", "add", "stays"] {
        log.write(put(key, "7", Some(50)));
    }
    log.at(49);
    assert_eq!(log.write(put("stays", "7", Some(50))), Effect::Put { existed: true }, "not yet");
    log.at(50);
    assert_eq!(log.write(put("put", "8", None)), Effect::Put { existed: false });
    assert_eq!(log.write(delete("delete")), Effect::Deleted { existed: false });
    assert_eq!(log.write(take("take")), Effect::Taken(None));
    assert_eq!(log.write(increment("add", 1, Some(90))), Effect::Number(1));
    assert_eq!(log.store.entries(), 3, "what has ended is gone all the same");
    let ended = log.store.ended(LogTime(60), 10);
    assert_eq!(ended.iter().map(|e| &*e.key).collect::<Vec<_>>(), [b"stays"], "no old end is left");
    assert_eq!(log.store.ended(LogTime(90), 10).len(), 2, "the new number ends as its own entry says");
    assert_eq!(log.write(clear()), Effect::Cleared { values: 2 });
    assert_eq!((log.store.entries(), log.store.bytes(), log.store.digest()), (0, 0, 0));
    assert!(log.store.ended(LogTime(u64::MAX), 10).is_empty());
}

#[test]
fn a_take_gives_the_value_once() {
    let mut log = log();
    log.put("a", "once");
    assert_eq!(log.write(take("a")), Effect::Taken(Some(bytes("once"))));
    assert_eq!(log.write(take("a")), Effect::Taken(None));
    assert_eq!(log.value("a"), None);
}

#[test]
fn a_number_is_added_to() {
    let mut log = log();
    assert_eq!(log.write(increment("n", 5, Some(100))), Effect::Number(5));
    assert_eq!(log.write(increment("n", -7, Some(900))), Effect::Number(-2));
    assert_eq!(log.text("n").as_deref(), Some("-2"));
    let end = log.store.get(CACHE, b"n").and_then(|v| v.expires_at());
    assert_eq!(end, Some(LogTime(100)), "it keeps its end");
    log.put("n", &i64::MAX.to_string());
    assert_eq!(log.write(increment("n", 1, None)), Effect::NotANumber);
    assert_eq!(log.write(increment("n", -1, None)), Effect::Number(i64::MAX - 1));
    log.put("text", "seven");
    let before = (log.value("text"), log.store.digest());
    assert_eq!(log.write(increment("text", 1, None)), Effect::NotANumber);
    assert_eq!((log.value("text"), log.store.digest()), before, "nothing is written");
}

#[test]
fn a_cleared_cache_leaves_the_others_alone() {
    let mut log = log();
    let other = |key: &str| Op::Put {
        cache: Arc::from("other"),
        key: bytes(key),
        value: bytes("v"),
        expires_at: None,
        condition: Condition::Always,
    };
    for i in 0..100 {
        log.put(&format!("k{i}"), "v");
        log.write(other(&format!("k{i}")));
    }
    assert_eq!(log.write(clear()), Effect::Cleared { values: 100 });
    assert_eq!(log.write(clear()), Effect::Cleared { values: 0 });
    assert_eq!((log.store.entries(), log.value("k1")), (100, None));
    assert_eq!(log.store.usage(CACHE), Usage::default());
    assert_eq!(log.store.usage("other").entries, 100);
    assert!(log.store.get("other", b"k1").is_some());
}

#[test]
fn a_removal_concerns_only_the_value_it_was_decided_for() {
    let mut log = log();
    log.write(put("a", "one", Some(50)));
    log.write(put("b", "one", Some(40)));
    assert!(log.store.ended(LogTime(39), 10).is_empty());
    let ended: Vec<_> = log.store.ended(LogTime(60), 10).into_iter().map(|e| e.version).collect();
    assert_eq!(ended, [2, 1], "first ended first");
    assert_eq!(log.store.ended(LogTime(60), 1).len(), 1);
    log.put("a", "new");
    assert_eq!(
        log.remove("a", 1, Why::Expired),
        Effect::Deleted { existed: false },
        "it was replaced meanwhile"
    );
    assert_eq!(log.remove("b", 2, Why::Expired), Effect::Deleted { existed: true });
    assert_eq!(log.value("a"), Some((bytes("new"), 3)));
    assert_eq!(log.value("b"), None);
    assert!(log.store.ended(LogTime(1000), 10).is_empty(), "nothing is left of the old ends");
}

#[test]
fn a_digest_says_what_is_there_not_how_it_came_there() {
    let (mut one, mut other) = (log(), log());
    one.put("a", "x");
    one.put("b", "y");
    other.last = 1;
    other.put("b", "y");
    let before = other.store.digest();
    assert_ne!(one.store.digest(), before);
    other.store.clear();
    other.last = 0;
    other.put("a", "x");
    other.put("b", "y");
    assert_eq!(one.store.digest(), other.store.digest());
    other.put("b", "z");
    assert_ne!(one.store.digest(), other.store.digest());
}

#[test]
fn what_every_shard_keeps_shows_in_the_digest() {
    let mut log = log();
    let empty = log.store.digest();
    log.write(declare(Limits { entries: Some(1), ..Limits::default() }));
    let declared = log.store.digest();
    assert_ne!(declared, empty);
    log.write(declare(Limits { bytes: Some(1), ..Limits::default() }));
    assert_ne!(log.store.digest(), declared);
    log.write(declare(Limits { entries: Some(1), ..Limits::default() }));
    assert_eq!(log.store.digest(), declared);
    log.write(Op::OpenSession);
    assert_ne!(log.store.digest(), declared);
    log.apply(Payload::EndSession { session: log.last });
    assert_eq!(log.store.digest(), declared);
}

#[test]
fn the_digest_is_the_same_in_every_version() {
    // Members of two versions that run side by side compare theirs.
    let mut log = log();
    log.write(declare(Limits { entries: Some(10), ..Limits::default() }));
    log.write(Op::OpenSession);
    (0..40).for_each(|i| drop(log.put(&format!("k{i}"), "v")));
    assert_eq!(log.store.digest(), 14_734_859_951_285_025_321);
}
