//! Rule 10: limits are judged by the leader before it appends, and count what is appended and not applied yet.

use super::*;
use crate::log::{Op, Why};
use crate::request::{Limit, Limits, WhenFull};
use crate::store::Store;

/// What one value of [`put`] costs.
fn cost() -> u64 {
    Store::cost(1, 1) as u64
}

fn cache() -> Arc<str> {
    Arc::from(CACHE)
}

fn declare(limits: Limits) -> Payload {
    Payload::Write { tag: None, op: Op::Declare { cache: cache(), limits } }
}

fn entries(most: u64, when_full: WhenFull) -> Limits {
    Limits { entries: Some(most), when_full, ..Limits::default() }
}

fn bytes(most: u64, when_full: WhenFull) -> Limits {
    Limits { bytes: Some(most), when_full, ..Limits::default() }
}

/// It serves, with this cache declared.
fn limited(limits: Limits) -> Node {
    serving_after(settings(), vec![declare(limits)])
}

fn writes(node: &mut Node, request: Request) -> Result<(), Refusal> {
    match write(node, request, None, AckLevel::Quorum) {
        None => Ok(()),
        Some(Err(refusal)) => Err(refusal),
        Some(Ok(done)) => panic!("answered with {done:?} before it is committed"),
    }
}

fn puts(node: &mut Node, key: &str) -> bool {
    match writes(node, put(key)) {
        Ok(()) => true,
        Err(refusal) => {
            assert_eq!(refusal, Refusal::Limit(Limit::Cache));
            false
        }
    }
}

/// Versions that the log evicts, in order.
fn evicted(node: &mut Node) -> Vec<Index> {
    let log = &inside(node).log;
    let all = (1..=log.last_index()).filter_map(|index| match log.get(index)?.payload {
        Payload::Remove { version, why: Why::Evicted, .. } => Some(version),
        _ => None,
    });
    all.collect()
}

#[test]
fn what_is_not_applied_yet_counts() {
    for limits in [entries(2, WhenFull::Reject), bytes(2 * cost(), WhenFull::Reject)] {
        let mut node = limited(limits);
        let first = inside(&mut node).log.last_index() + 1;
        assert_eq!(["a", "b", "c"].map(|key| puts(&mut node, key)), [true, true, false], "{limits:?}");
        commit_up_to(&mut node, first);
        assert!(!puts(&mut node, "c"), "one is applied, one is not: {limits:?}");
        commit_all(&mut node);
        assert!(!puts(&mut node, "c"), "both are applied: {limits:?}");
        assert!(!puts(&mut node, "a"), "each counts as a new one until it is applied: {limits:?}");
        assert_eq!(writes(&mut node, Request::Delete { cache: cache(), key: "a".into() }), Ok(()));
        assert!(!puts(&mut node, "c"), "the deletion is not applied yet: {limits:?}");
        commit_all(&mut node);
        assert!(puts(&mut node, "c"), "{limits:?}");
    }
}

#[test]
fn a_limit_is_met_exactly() {
    for (limits, fits) in [
        (bytes(cost(), WhenFull::Reject), true),
        (bytes(cost() - 1, WhenFull::Reject), false),
        (bytes(cost() - 1, WhenFull::Evict), false),
        (entries(1, WhenFull::Evict), true),
        (entries(0, WhenFull::Evict), false),
        (entries(0, WhenFull::Reject), false),
        (Limits { entries: Some(1), ..bytes(cost(), WhenFull::Evict) }, true),
        (Limits { entries: Some(1), ..bytes(cost() - 1, WhenFull::Evict) }, false),
    ] {
        assert_eq!(puts(&mut limited(limits), "a"), fits, "{limits:?}");
    }
}

#[test]
fn a_number_counts_as_long_as_it_may_become() {
    let number = Store::cost(1, 20) as u64;
    let increment = || Request::Increment { cache: cache(), key: "n".into(), by: 1, ttl: None };
    assert_eq!(writes(&mut limited(bytes(number, WhenFull::Reject)), increment()), Ok(()));
    let refused = Err(Refusal::Limit(Limit::Cache));
    assert_eq!(writes(&mut limited(bytes(number - 1, WhenFull::Reject)), increment()), refused);
    let mut node = limited(bytes(number + cost() - 1, WhenFull::Reject));
    assert_eq!(writes(&mut node, increment()), Ok(()));
    assert!(!puts(&mut node, "a"), "also while it is not applied");
    commit_all(&mut node);
    assert!(puts(&mut node, "a"), "it is one digit long");
}

#[test]
fn all_caches_together_are_bounded_with_what_is_not_applied_yet() {
    let most = 2 * cost();
    for (store_bytes, third) in [(most, false), (most + cost() - 1, false), (most + cost(), true)] {
        let mut node = serving_with(Settings { store_bytes: store_bytes as usize, ..settings() }, list(0));
        assert_eq!((writes(&mut node, put("a")), writes(&mut node, put("b"))), (Ok(()), Ok(())));
        let expected = if third { Ok(()) } else { Err(Refusal::Limit(Limit::Store)) };
        assert_eq!(writes(&mut node, put("c")), expected);
    }
}

#[test]
fn what_was_written_longest_ago_makes_room_and_is_evicted_once() {
    for limits in [entries(2, WhenFull::Evict), bytes(2 * cost(), WhenFull::Evict)] {
        let mut node = limited(limits);
        let first = inside(&mut node).log.last_index() + 1;
        assert!(puts(&mut node, "a") && puts(&mut node, "b"));
        assert!(!puts(&mut node, "c"), "what is not applied cannot be evicted: {limits:?}");
        commit_all(&mut node);
        assert!(puts(&mut node, "c"));
        assert_eq!(evicted(&mut node), [first]);
        let removed = inside(&mut node).log.last_index();
        assert!(puts(&mut node, "d"), "{limits:?}");
        assert_eq!(evicted(&mut node), [first, first + 1], "the next one");
        // a is gone and c is there; b is being evicted and d is to come. So c makes room for e.
        commit_up_to(&mut node, removed);
        assert!(puts(&mut node, "e"));
        assert_eq!(evicted(&mut node), [first, first + 1, removed], "{limits:?}");
        commit_all(&mut node);
        let usage = node.replica.store().usage(CACHE);
        assert_eq!((usage.entries, usage.bytes), (2, 2 * cost()));
    }
}

#[test]
fn a_new_leader_counts_what_the_one_before_appended() {
    let op = |key: &str| Payload::Write {
        tag: None,
        op: Op::Put {
            cache: cache(),
            key: Bytes::from(key.to_owned()),
            value: "v".into(),
            expires_at: None,
            condition: Condition::Always,
        },
    };
    let mut node = bound();
    let payloads = [declare(entries(4, WhenFull::Reject)), op("a"), op("b")];
    for (index, payload) in (LAST.1 + 1..).zip(payloads) {
        inside(&mut node).push(Arc::new(Entry { term: LAST.0, index, time: LogTime(index), payload }));
    }
    node.commit_to(LAST.1 + 2); // a, and not b
    node.lead(TERM);
    let fits = |node: &mut Node, key| node.make_room(&put(key)).is_ok();
    assert!(fits(&mut node, "c"));
    let op = op("c");
    node.append(op.clone());
    assert!(fits(&mut node, "d"), "a, b, c and this");
    node.append(op);
    assert!(!fits(&mut node, "e"));
}

#[test]
fn what_waits_in_the_log_is_bounded() {
    let request = || put("a");
    // (bytes that may wait, those in the log) → fits
    let size = request().size();
    for (pending_bytes, fits) in [(size, true), (size - 1, false)] {
        let mut node = serving_with(Settings { pending_bytes, ..settings() }, list(0));
        let expected = if fits { Ok(()) } else { Err(Refusal::Limit(Limit::Pending)) };
        assert_eq!(writes(&mut node, request()), expected);
        if fits {
            assert_eq!(writes(&mut node, request()), Err(Refusal::Limit(Limit::Pending)), "one waits");
            commit_all(&mut node);
            assert_eq!(writes(&mut node, request()), Ok(()));
        }
    }
    // Kept for a member that joins: twice the ring, and what may wait.
    for (short, fits) in [(0, true), (1, false)] {
        let mut node = serving();
        let held = inside(&mut node).log.bytes() + size;
        let ring_bytes = (held - size) / 2 - 50;
        node.settings = Settings { ring_bytes, pending_bytes: held - 2 * ring_bytes - short, ..settings() };
        let expected = if fits { Ok(()) } else { Err(Refusal::Limit(Limit::Log)) };
        assert_eq!(writes(&mut node, request()), expected);
    }
}
