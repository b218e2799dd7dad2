//! Limits, what caches hold, and the order in which values are evicted.

use super::*;

fn evicting() -> Limits {
    Limits { entries: Some(10), when_full: WhenFull::Evict, ..Limits::default() }
}

fn oldest(log: &Log, after: Index, limit: usize) -> Vec<Index> {
    log.store.oldest(CACHE, after, limit).into_iter().map(|(_, version, _)| version).collect()
}

#[test]
fn the_order_of_eviction_is_that_of_writing() {
    let mut log = log();
    (0..50).for_each(|i| drop(log.put(&format!("k{i}"), "v"))); // 1 … 50
    assert!(oldest(&log, 0, 10).is_empty(), "nobody asked for an order");
    log.write(declare(evicting())); // 51
    assert_eq!(oldest(&log, 0, 4), [1, 2, 3, 4]);
    assert_eq!(oldest(&log, 2, 2), [3, 4]);
    log.put("k0", "again"); // 52
    log.write(delete("k1"));
    assert_eq!(oldest(&log, 0, 2), [3, 4]);
    assert_eq!(oldest(&log, 49, 10), [50, 52]);
    assert_eq!(log.store.oldest(CACHE, 51, 9), [(bytes("k0"), 52, Store::cost(2, 5))]);
    assert_eq!(log.remove("k2", 3, Why::Evicted), Effect::Deleted { existed: true });
    assert_eq!(oldest(&log, 0, 1), [4]);
    log.write(declare(Limits::default()));
    assert!(oldest(&log, 0, 10).is_empty(), "it is dropped when it is not needed");
    log.write(declare(evicting()));
    log.write(clear());
    assert!(oldest(&log, 0, 10).is_empty());
    log.put("k", "v");
    assert_eq!(oldest(&log, 0, 10), [log.last], "the limits outlive the values");
}

#[test]
fn the_account_of_a_cache_is_exact() {
    let mut log = log();
    log.write(declare(evicting()));
    log.put("a", "1234");
    log.put("b", "");
    log.put("a", "12");
    let other = Op::Put {
        cache: Arc::from("another"),
        key: bytes("key"),
        value: bytes("v"),
        expires_at: None,
        condition: Condition::Always,
    };
    log.write(other);
    let usage = |entries, bytes: usize| Usage { entries, bytes: bytes as u64 };
    let codes = usage(2, Store::cost(1, 2) + Store::cost(1, 0));
    let another = usage(1, Store::cost(3, 1));
    assert_eq!(log.store.usage(CACHE), codes);
    let all = log.store.caches();
    let expected = [(Arc::from("another"), another, None), (Arc::from(CACHE), codes, Some(evicting()))];
    assert_eq!(all, expected);
    assert_eq!(log.store.limits(CACHE), Some(evicting()));
    assert_eq!(log.store.limits("another"), None);
    assert_eq!(log.store.bytes() as u64, codes.bytes + another.bytes);
    log.write(delete("a"));
    log.write(delete("b"));
    assert_eq!(log.store.caches()[1], (Arc::from(CACHE), Usage::default(), Some(evicting())));
}

#[test]
fn a_table_that_was_full_once_gives_its_memory_back() {
    let mut log = log();
    (0..20_000).for_each(|i| drop(log.put(&format!("k{i}"), "v")));
    (0..19_990).for_each(|i| drop(log.write(delete(&format!("k{i}")))));
    let slots: usize =
        (0..SHARDS).map(|shard| log.store.read(shard).cache(CACHE).map_or(0, cache::Cache::capacity)).sum();
    assert!(slots < 500, "{slots} slots for 10 values");
    assert!((19_990..20_000).all(|i| log.value(&format!("k{i}")).is_some()));
}
