//! What the state machine does with entries, and that equal histories give equal bytes.

use super::*;

fn put(index: Index, key: &str, value: &str, expires_at: Option<u64>) -> Entry {
    let payload = Payload::Put {
        cache: Arc::from("codes"),
        key: Bytes::from(key.to_owned()),
        value: Bytes::from(value.to_owned()),
        expires_at: expires_at.map(LogTime),
    };
    Entry { term: 1, index, time: LogTime(index), payload }
}

fn expire(index: Index, key: &str, version: Index) -> Entry {
    let payload = Payload::Expire { cache: Arc::from("codes"), key: Bytes::from(key.to_owned()), version };
    Entry { term: 1, index, time: LogTime(index), payload }
}

fn delete(index: Index, key: &str) -> Entry {
    let payload = Payload::Delete { cache: Arc::from("codes"), key: Bytes::from(key.to_owned()) };
    Entry { term: 1, index, time: LogTime(index), payload }
}

fn value(store: &Store, key: &str) -> Option<(Bytes, Index)> {
    store.get("codes", key.as_bytes()).map(|v| (v.value, v.version))
}

#[test]
fn a_value_is_replaced_and_removed() {
    let store = Store::default();
    assert!(!store.apply(&put(1, "a", "one", None)));
    assert!(store.apply(&put(2, "a", "two", None)));
    assert_eq!(value(&store, "a"), Some((Bytes::from("two"), 2)));
    assert_eq!((store.entries(), store.applied()), (1, 2));
    assert!(store.apply(&delete(3, "a")));
    assert!(!store.apply(&delete(4, "a")));
    assert_eq!((value(&store, "a"), store.entries(), store.bytes(), store.digest()), (None, 0, 0, 0));
}

#[test]
fn an_end_removes_only_the_value_it_was_decided_for() {
    let store = Store::default();
    store.apply(&put(1, "a", "one", Some(50)));
    store.apply(&put(2, "b", "one", Some(40)));
    assert!(store.ended(LogTime(39), 10).is_empty());
    let ended: Vec<_> = store.ended(LogTime(60), 10).into_iter().map(|r| r.version).collect();
    assert_eq!(ended.len(), 2);
    assert_eq!(store.ended(LogTime(60), 1).len(), 1);
    store.apply(&put(3, "a", "new", None));
    assert!(!store.apply(&expire(4, "a", 1)), "it was replaced in the meantime");
    assert!(store.apply(&expire(5, "b", 2)));
    assert_eq!(value(&store, "a"), Some((Bytes::from("new"), 3)));
    assert_eq!(value(&store, "b"), None);
    assert!(store.ended(LogTime(1000), 10).is_empty(), "nothing is left of the old ends");
}

#[test]
fn a_copied_shard_takes_only_what_came_after_it() {
    let (source, copy) = (Store::default(), Store::default());
    let history: Vec<Entry> = (1..200)
        .map(|i| match i % 5 {
            0 => delete(i, &format!("k{}", i % 20)),
            _ => put(i, &format!("k{}", i % 23), &format!("v{i}"), (i % 3 == 0).then_some(i * 10)),
        })
        .collect();
    // While the shards are copied one after the other, writes go on.
    let mut next = history.iter();
    for entry in next.by_ref().take(60) {
        source.apply(entry);
    }
    let base = source.applied();
    for shard in 0..SHARDS {
        copy.install(shard, source.copy(shard));
        for entry in next.by_ref().take(7) {
            source.apply(entry);
        }
    }
    for entry in next {
        source.apply(entry);
    }
    copy.begin_at(base);
    for entry in history.iter().filter(|e| e.index > base) {
        copy.apply(entry);
    }
    assert_eq!(copy.digest(), source.digest());
    assert_eq!((copy.entries(), copy.bytes()), (source.entries(), source.bytes()));
    for i in 0..23 {
        assert_eq!(value(&copy, &format!("k{i}")), value(&source, &format!("k{i}")));
    }
}

#[test]
fn a_digest_says_what_is_there_not_how_it_came_there() {
    let (one, other) = (Store::default(), Store::default());
    one.apply(&put(1, "a", "x", None));
    one.apply(&put(2, "b", "y", None));
    other.apply(&put(2, "b", "y", None));
    let before = other.digest();
    assert_ne!(one.digest(), before);
    other.clear();
    other.apply(&put(1, "a", "x", None));
    other.apply(&put(2, "b", "y", None));
    assert_eq!(one.digest(), other.digest());
    other.apply(&put(3, "b", "z", None));
    assert_ne!(one.digest(), other.digest());
}

#[test]
fn cache_and_key_are_told_apart() {
    assert_ne!(hash::hash([b"a".as_slice(), b"bc"]), hash::hash([b"ab".as_slice(), b"c"]));
}
