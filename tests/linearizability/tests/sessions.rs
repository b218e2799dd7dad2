//! What reads of a replica promise.

use rauthy_linearizability::session::{Broken, Observation, Promise, acknowledged, monotonic, written};
use rauthy_linearizability::{Answer, History, Op, Outcome, Seen, Value};

fn saw(client: u64, (call, ret): (u64, u64), seen: Option<(&str, u64)>) -> Observation<&'static str> {
    let seen = seen.map(|(value, version)| Seen { value: value.into(), version: Some(version) });
    Observation { client, generation: 1, key: "k", call, ret, seen }
}

#[test]
fn a_client_never_goes_back() {
    let first = saw(1, (0, 5), Some(("b", 7)));
    let went_back = |later: Observation<&'static str>| monotonic(&[first.clone(), later]).is_err();
    assert!(went_back(saw(1, (6, 7), Some(("a", 6)))));
    assert!(!went_back(saw(1, (6, 7), Some(("b", 7)))));
    assert!(!went_back(saw(1, (6, 7), Some(("c", 8)))));
    assert!(!went_back(saw(1, (6, 7), None)), "it may have been removed");
    assert!(!went_back(saw(1, (5, 7), Some(("a", 6)))), "concurrent");
    assert!(!went_back(saw(2, (6, 7), Some(("a", 6)))), "another client");
    assert!(!went_back(Observation { generation: 2, ..saw(1, (6, 7), Some(("a", 6))) }));
    assert!(!went_back(Observation { key: "other", ..saw(1, (6, 7), Some(("a", 6))) }));
}

#[test]
fn what_was_gone_does_not_come_back() {
    let until_gone = [saw(1, (0, 5), Some(("b", 7))), saw(1, (6, 8), None)];
    let back = |later| monotonic(&[until_gone.as_slice(), &[later]].concat()).is_err();
    assert!(back(saw(1, (9, 10), Some(("b", 7)))));
    assert!(!back(saw(1, (9, 10), Some(("c", 8)))));
    assert!(!back(saw(1, (7, 10), Some(("b", 7)))), "concurrent with the one that found nothing");
    // Nothing was there yet, or who found nothing asked while the value was on its way.
    assert!(monotonic(&[saw(1, (0, 5), None), saw(1, (6, 7), Some(("b", 7)))]).is_ok());
    assert!(
        monotonic(&[saw(1, (0, 5), Some(("b", 7))), saw(1, (4, 8), None), saw(1, (9, 9), Some(("b", 7)))])
            .is_ok()
    );
}

#[test]
fn the_highest_of_many_counts() {
    let mut all: Vec<_> = (1..100).map(|n| saw(1, (n * 10, n * 10 + 5), Some(("v", n)))).collect();
    monotonic(&all).unwrap();
    all.push(saw(1, (500, 1000), Some(("v", 49))));
    monotonic(&all).unwrap();
    all.push(saw(1, (500, 1000), Some(("v", 48))));
    let Err(Broken::WentBack { earlier, later }) = monotonic(&all) else { panic!() };
    assert_eq!((earlier.ret, later.call), (495, 500));
}

#[test]
fn only_what_was_written_is_read() {
    let mut history = History::default();
    let number = history.called(1, "k", 0, Op::put("a"), Some(1));
    history.answered(number, 5, Some(1), Outcome::at(7, Answer::Silent));
    history.called(1, "k", 10, Op::put("lost"), None);
    let number = history.called(1, "k", 10, Op::put("refused"), Some(1));
    history.answered(number, 12, Some(1), Outcome::Failed);
    let ok = |read| written(&history, &[read]).is_ok();
    assert!(ok(saw(2, (6, 7), Some(("a", 7)))));
    assert!(ok(saw(2, (6, 7), None)));
    assert!(!ok(saw(2, (6, 7), Some(("z", 7)))));
    assert!(!ok(saw(2, (6, 7), Some(("lost", 8)))), "not called yet");
    assert!(ok(saw(2, (6, 10), Some(("lost", 8)))));
    assert!(!ok(saw(2, (20, 30), Some(("refused", 8)))));
    assert!(!ok(saw(2, (20, 30), Some(("lost", 7)))), "another value has this version");
    assert!(!ok(Observation { generation: 2, ..saw(2, (6, 7), Some(("a", 7))) }));
    assert!(!ok(Observation { key: "other", ..saw(2, (6, 7), Some(("a", 7))) }));

    let two = [saw(2, (20, 30), Some(("lost", 9))), saw(3, (20, 30), Some(("lost", 9)))];
    written(&history, &two).unwrap();
    let two = [saw(2, (20, 30), Some(("lost", 9))), saw(3, (20, 30), Some(("a", 9)))];
    assert!(matches!(written(&history, &two), Err(Broken::TwoValues { .. })));

    // A number may be a sum, where somebody adds.
    let number = Seen { value: Value::from(5), version: None };
    let read = Observation { seen: Some(number), ..saw(2, (20, 30), None) };
    assert!(matches!(written(&history, std::slice::from_ref(&read)), Err(Broken::NeverWritten(_))));
    history.called(1, "k", 10, Op::Increment { by: 5, ttl: None }, Some(1));
    written(&history, &[read]).unwrap();
}

fn promise(entry: u64, acked_at: u64, stays_until: u64) -> Promise<&'static str> {
    Promise { generation: 2, key: "k", entry, acked_at, stays_until }
}

fn read((call, ret): (u64, u64), version: Option<u64>) -> Observation<&'static str> {
    Observation { generation: 2, ..saw(1, (call, ret), version.map(|version| ("v", version))) }
}

#[test]
fn after_all_nobody_reads_anything_older() {
    let promises = [promise(3, 5, 100), promise(7, 10, 100), promise(5, 20, 100)];
    let ok = |read| acknowledged(&[1, 2, 3], &promises, &[read]).is_ok();
    assert!(ok(read((11, 12), Some(7))));
    assert!(ok(read((11, 12), Some(8))));
    assert!(!ok(read((11, 12), Some(6))));
    assert!(ok(read((10, 12), Some(6))), "it began before the answer");
    assert!(!ok(read((10, 12), Some(2))), "but after the one before");
    assert!(!ok(read((21, 22), Some(6))), "an older one that is acknowledged later changes nothing");
    assert!(!ok(read((11, 12), None)));
    assert!(ok(read((1, 12), None)));
    assert!(ok(read((11, 100), None)), "it may have been gone by then");
    assert!(!ok(Observation { generation: 1, ..read((11, 12), Some(900)) }), "an older generation");
    assert!(ok(Observation { generation: 3, ..read((11, 12), Some(1)) }), "a newer one");
    assert!(ok(Observation { key: "other", ..read((11, 12), Some(1)) }));
}

#[test]
fn after_a_removal_with_all_the_value_is_gone_everywhere() {
    let removed = [promise(8, 10, 0)];
    let ok = |read| acknowledged(&[2], &removed, &[read]).is_ok();
    assert!(ok(read((11, 12), None)));
    assert!(ok(read((11, 12), Some(9))));
    assert!(!ok(read((11, 12), Some(7))));
}
