//! A cluster that has nothing to do allocates nothing: neither the leader's heartbeats and the leases that they
//! renew, nor the followers' answers, nor the gossip between all.
//!
//! The counter is this test's own global allocator and counts on this thread only.

#![allow(clippy::panic)]

mod trio;

use bytes::Bytes;
use rauthy_core::{Condition, Request, Settings, Span};
use trio::Trio;

/// Three nodes with a few values in their stores.
fn warm() -> Trio {
    let mut trio = Trio::new(Settings::new);
    let leader = trio.ready();
    for ticket in 0..100 {
        let request = Request::Put {
            cache: "sessions".into(),
            key: Bytes::from(format!("key {ticket}")),
            value: Bytes::from_static(&[7; 100]),
            condition: Condition::Always,
            ttl: (ticket % 2 == 0).then_some(Span::from_millis(3_600_000)),
        };
        trio.propose(leader, ticket, request);
        trio.settle();
    }
    assert_eq!((trio.done, trio.refused), (100, 0));
    // Buffers reach the size that they keep.
    trio.run_for(Span::from_millis(5000));
    trio
}

#[test]
fn heartbeats_allocate_nothing() {
    let mut trio = warm();
    let before = trio.sent;
    let counted = allocation_counter::measure(|| trio.run_for(Span::from_millis(10_000)));
    assert_eq!(counted.count_total, 0, "in ten seconds without a write: {counted:?}");
    // Every 100 ms the leader asks two followers, and both answer.
    assert!(trio.sent - before >= 400, "only {} messages", trio.sent - before);
}

/// The counter counts: a write does allocate.
#[test]
fn a_write_is_seen_by_the_counter() {
    let mut trio = warm();
    let leader = trio.ready();
    let request = Request::Delete { cache: "sessions".into(), key: Bytes::from_static(b"key 1") };
    let counted = allocation_counter::measure(|| {
        trio.propose(leader, 1000, request);
        trio.settle();
    });
    assert_eq!(trio.done, 101);
    assert!(counted.count_total > 0, "{counted:?}");
}
