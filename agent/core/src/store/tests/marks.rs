//! What replicas are compared by, and what is counted.

use super::*;

fn result(log: &mut Log, session: Index, seq: u64) -> Effect {
    let tag = Some(Tag { session, seq, floor: 0 });
    log.apply(Payload::Write { tag, op: delete("none") })
}

#[test]
fn the_digest_of_a_shard_is_the_sum_of_its_parts() {
    // Each part alone, at the same positions of the log, and all of them.
    let digests = |session: bool, value: bool, answer: bool| -> Vec<u64> {
        let mut log = log();
        let _ = if session { log.write(Op::OpenSession) } else { log.apply(Payload::Noop) };
        let _ = if value { log.put("key", "value") } else { log.apply(Payload::Noop) };
        if answer {
            result(&mut log, 1, 1);
        }
        (0..SHARDS).map(|shard| log.store.read(shard).digest()).collect()
    };
    let sum =
        |one: &[u64], other: &[u64]| -> Vec<u64> { one.iter().zip(other).map(|(a, b)| a ^ b).collect() };
    assert!(digests(false, false, false).iter().all(|digest| *digest == 0));
    let (session, value) = (digests(true, false, false), digests(false, true, false));
    let answer = sum(&digests(true, false, true), &session);
    for (part, shards) in [(&session, SHARDS as usize), (&value, 1), (&answer, 1)] {
        let some: Vec<u64> = part.iter().copied().filter(|digest| *digest != 0).collect();
        assert_eq!(some.len(), shards);
        // Neither a constant nor a few bits.
        assert!(some.iter().all(|digest| (8..=56).contains(&digest.count_ones())), "{some:x?}");
    }
    assert_eq!(digests(true, true, false), sum(&session, &value));
    assert_eq!(digests(true, true, true), sum(&sum(&session, &value), &answer));
}

#[test]
fn the_digest_tells_sessions_floors_and_answers_apart() {
    let mut all = Vec::new();
    let mut log = log();
    for _ in 0..3 {
        log.write(Op::OpenSession);
        all.push(log.store.digest());
    }
    for (session, floor) in [(1, 1), (1, 2), (2, 1)] {
        log.apply(Payload::Floor { session, floor });
        all.push(log.store.digest());
    }
    for (session, seq) in [(1, 5), (1, 6), (2, 5)] {
        result(&mut log, session, seq);
        all.push(log.store.digest());
    }
    let before = *all.last().expect("some");
    for session in 1..=3 {
        log.apply(Payload::EndSession { session });
        all.push(log.store.digest());
    }
    assert_eq!(log.store.digest(), 0, "nothing is left");
    assert_eq!(log.store.dedup_bytes(), 0);
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count);
    assert_ne!(before, 0);
}

#[test]
fn digests_are_kept_at_positions_that_every_replica_passes() {
    let mut log = log();
    assert_eq!(log.store.checkpoints(), []);
    log.put("key", "value");
    while log.last < 2 * CHECKPOINT {
        log.apply(Payload::Noop);
    }
    let digest = log.store.digest();
    assert_eq!(log.store.checkpoints(), [(CHECKPOINT, digest), (2 * CHECKPOINT, digest)]);
}

#[test]
fn what_was_removed_without_being_asked_for_is_counted() {
    let mut log = log();
    assert_eq!(log.store.removals(), Removals::default());
    for why in [Why::Evicted, Why::Expired, Why::Expired] {
        log.put("key", "value");
        let version = log.last;
        log.remove("key", version, why);
    }
    log.put("key", "value");
    log.write(delete("key"));
    assert_eq!(log.store.removals(), Removals { expired: 2, evicted: 1 });
}

#[test]
fn a_record_is_charged_with_what_it_brings() {
    let outcome = |effect| Record::Outcome { session: 1, seq: 1, done: Done { version: 1, effect } };
    let less = outcome(Effect::Taken(None)).size();
    assert_eq!(outcome(Effect::Taken(Some(bytes("0123456789")))).size(), less + 10);
}
