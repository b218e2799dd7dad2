//! The change feed: everything that changed, or a gap.

use super::*;

fn since(log: &Log, after: Index) -> Vec<(Index, Changed)> {
    let all = log.store.changes(after, None, usize::MAX);
    all.expect("no gap").into_iter().map(|c| (c.index, c.change)).collect()
}

fn removed(key: &str, why: Removal) -> Changed {
    Changed::Removed { key: bytes(key), why }
}

fn stored(key: &str, value: &str) -> Changed {
    Changed::Put { key: bytes(key), value: bytes(value) }
}

#[test]
fn what_changed_is_told_in_order_and_nothing_else() {
    let mut log = log();
    log.write(put("a", "1", Some(50))); // 1
    log.write(increment("a", 2, None)); // 2
    log.write(delete("none"));
    log.write(take("none"));
    log.write(put_if("a", "x", None, Condition::Absent));
    log.write(Op::OpenSession);
    log.apply(Payload::Noop);
    log.remove("a", 1, Why::Evicted);
    assert_eq!(since(&log, 0), [(1, stored("a", "1")), (2, stored("a", "3"))]);
    assert_eq!(log.store.feed_end(), 8, "also what changes nothing moves it on");
    log.write(take("a")); // 9
    log.put("b", "v"); // 10
    log.write(delete("b")); // 11
    log.write(put("c", "v", Some(50))); // 12
    log.at(50).write(delete("c")); // 13
    log.put("d", "v"); // 14
    log.remove("d", 14, Why::Evicted); // 15
    log.write(clear()); // 16: nothing is there
    log.put("e", "v"); // 17
    log.write(clear()); // 18
    let expected = [
        (9, removed("a", Removal::Taken)),
        (10, stored("b", "v")),
        (11, removed("b", Removal::Deleted)),
        (12, stored("c", "v")),
        (13, removed("c", Removal::Expired)),
        (14, stored("d", "v")),
        (15, removed("d", Removal::Evicted)),
        (17, stored("e", "v")),
        (18, Changed::Cleared),
    ];
    assert_eq!(since(&log, 8), expected);
    assert_eq!(since(&log, 17), expected[8..]);
    assert!(since(&log, 18).is_empty() && since(&log, 1000).is_empty());
    assert_eq!(log.store.changes(8, None, 2).map(|c| c.len()), Ok(2));
    assert_eq!(log.store.changes(0, Some("other"), 9), Ok(Vec::new()));
    assert_eq!(log.store.changes(0, Some(CACHE), 1).map(|c| c[0].index), Ok(1));
}

/// An entry that writes this much, and how a feed is told of it.
fn written(index: Index, value: usize) -> Arc<Entry> {
    written_to("k", index, value)
}

fn written_to(key: &str, index: Index, value: usize) -> Arc<Entry> {
    let op = put(key, &"v".repeat(value), None);
    Arc::new(Entry { term: 1, index, time: LogTime(0), payload: Payload::Write { tag: None, op } })
}

fn told(seen: Seen) -> Option<(Arc<str>, Seen)> {
    Some((Arc::from(CACHE), seen))
}

#[test]
fn who_is_too_late_is_told_so() {
    let (by_number, by_bytes) = (Feed::bounded(usize::MAX, 3), Feed::bounded(2000, usize::MAX));
    for (feed, held) in [(by_number, 3), (by_bytes, 2)] {
        for index in 1..=10 {
            // What is known from the entry, and what is not, by turns.
            let change = Changed::Put { key: bytes("k"), value: Bytes::from(vec![0; 800]) };
            let seen = if index % 2 == 0 { Seen::AsWritten } else { Seen::Changed(change) };
            feed.push(&written(index, 800), told(seen));
        }
        feed.push(&written(11, 0), None);
        assert_eq!(feed.after(10 - held, None, 99).map(|c| c.len() as Index), Ok(held));
        assert_eq!(feed.after(9 - held, None, 99), Err(Gap));
        assert_eq!(feed.end(), 11);
    }
    // Keys count as values do, whichever way a change is held.
    let key = "k".repeat(400);
    for known in [true, false] {
        let feed = Feed::bounded(2000, usize::MAX);
        for index in 1..=3 {
            let change = Changed::Put { key: bytes(&key), value: Bytes::from(vec![0; 400]) };
            let seen = if known { Seen::AsWritten } else { Seen::Changed(change) };
            feed.push(&written_to(&key, index, 400), told(seen));
        }
        assert_eq!(feed.after(1, None, 9).map(|c| c.len()), Ok(2));
        assert_eq!(feed.after(0, None, 9), Err(Gap));
    }
    // An entry is told of once.
    let feed = Feed::default();
    let again = |index| feed.push(&written(index, 1), told(Seen::AsWritten));
    assert_eq!([1, 2, 2, 1].map(again), [true, true, false, false]);
    assert_eq!(feed.after(0, None, 9).map(|c| c.len()), Ok(2));
    // One that does not fit at all is a gap for whoever has not seen it.
    let small = Feed::bounded(100, 99);
    small.push(&written(1, 800), told(Seen::AsWritten));
    assert_eq!((small.after(0, None, 9), small.after(1, None, 9)), (Err(Gap), Ok(Vec::new())));
}

#[test]
fn what_a_snapshot_brought_is_a_gap() {
    let mut log = log();
    (0..20).for_each(|i| drop(log.put(&format!("k{i}"), "v")));
    let base = log.store.applied();
    let copy = Store::default();
    for shard in 0..SHARDS {
        copy.install_copy(shard, log.store.copy(shard));
        log.put(&format!("k{shard}"), "w");
    }
    let covered = log.last - 1; // what the last shard had in it
    copy.begin_at(base);
    assert!(log.store.is_whole() && !copy.is_whole(), "its digest means nothing yet");
    let (_, seen) = copy.look_up(CACHE, b"k0");
    assert!(seen > base, "what is read there may be of a later entry than is applied everywhere");
    assert_eq!(copy.changes(base, None, 9), Err(Gap));
    assert_eq!(copy.changes(covered - 1, None, 9), Err(Gap), "some shards' part of it is not known");
    assert_eq!((copy.changes(covered, None, 9), copy.feed_end()), (Ok(Vec::new()), covered));
    for index in base + 1..=log.last + 1 {
        let key = format!("k{}", index - base - 1);
        let payload = Payload::Write { tag: None, op: put(&key, "w", None) };
        copy.apply(&Arc::new(Entry { term: 1, index, time: LogTime(0), payload }));
        assert_eq!(copy.is_whole(), index >= covered);
    }
    let changes: Vec<_> = copy.changes(covered, None, 9).into_iter().flatten().map(|c| c.index).collect();
    assert_eq!(changes, [covered + 1, covered + 2]);
    assert_eq!(copy.changes(covered - 1, None, 9), Err(Gap));
    copy.clear();
    assert_eq!((copy.changes(0, None, 9), copy.feed_end()), (Ok(Vec::new()), 0));
}
