//! Rule 11: a joiner that gets the shards one after the other, while writes go on, ends up with the same bytes.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::*;

const CACHES: [&str; 3] = ["codes", "sessions", "users"];
const SESSIONS: u64 = 3;
const SEQS: u64 = 8;

/// One entry, with what it refers to relative to the log that it ends up in.
#[derive(Clone, Debug)]
enum Step {
    Write(Op),
    /// Session, number of the request in it, floor; what is wanted follows from the first two, as for a repetition.
    Tagged(u64, u64, u64),
    /// Remove the value of this key, of the version so many entries ago.
    Remove(usize, u64, Index, Why),
    Floor(u64, u64),
    EndSession(u64),
    Noop,
}

#[derive(Clone, Debug)]
struct History {
    /// What the requests of sessions want.
    wanted: Vec<Op>,
    steps: Vec<(Step, u64)>,
    /// Entries before the first shard is copied, and between two shards.
    before: usize,
    between: Vec<usize>,
}

fn caches() -> impl Strategy<Value = Arc<str>> {
    (0..CACHES.len()).prop_map(|i| Arc::from(CACHES[i]))
}

fn keys() -> impl Strategy<Value = Bytes> {
    (0..12_u64).prop_map(|i| bytes(&format!("key-{i}")))
}

fn ends() -> impl Strategy<Value = Option<LogTime>> {
    proptest::option::of((0..300_u64).prop_map(LogTime))
}

fn operations() -> impl Strategy<Value = Op> {
    let condition = prop_oneof![
        3 => Just(Condition::Always),
        1 => Just(Condition::Absent),
        1 => (0..200_u64).prop_map(Condition::Version),
    ];
    let value =
        prop_oneof!["[0-9]{1,4}".prop_map(|v| bytes(&v)), vec(any::<u8>(), 0..40).prop_map(Bytes::from)];
    let limits = (any::<bool>(), proptest::option::of(0..9_u64)).prop_map(|(evict, entries)| Limits {
        entries,
        when_full: if evict { WhenFull::Evict } else { WhenFull::Reject },
        ..Limits::default()
    });
    prop_oneof![
        8 => (caches(), keys(), value, ends(), condition).prop_map(|(cache, key, value, expires_at, condition)| {
            Op::Put { cache, key, value, expires_at, condition }
        }),
        2 => (caches(), keys()).prop_map(|(cache, key)| Op::Delete { cache, key }),
        2 => (caches(), keys()).prop_map(|(cache, key)| Op::Take { cache, key }),
        4 => (caches(), keys(), -5..5_i64, ends()).prop_map(|(cache, key, by, expires_at)| {
            Op::Increment { cache, key, by, expires_at }
        }),
        1 => caches().prop_map(|cache| Op::Clear { cache }),
        1 => (caches(), limits).prop_map(|(cache, limits)| Op::Declare { cache, limits }),
    ]
}

fn histories() -> impl Strategy<Value = History> {
    let step = prop_oneof![
        10 => operations().prop_map(Step::Write),
        10 => (0..SESSIONS, 1..=SEQS, 0..=3_u64).prop_map(|(s, seq, back)| Step::Tagged(s, seq, seq - back.min(seq))),
        2 => (0..CACHES.len(), 0..12_u64, 1..30_u64, any::<bool>()).prop_map(|(cache, key, back, ended)| {
            Step::Remove(cache, key, back, if ended { Why::Expired } else { Why::Evicted })
        }),
        1 => (0..SESSIONS, 0..=SEQS).prop_map(|(session, floor)| Step::Floor(session, floor)),
        1 => (0..SESSIONS).prop_map(Step::EndSession),
        1 => Just(Step::Write(Op::OpenSession)),
        1 => Just(Step::Noop),
    ];
    let wanted = vec(operations(), (SESSIONS * SEQS) as usize);
    (wanted, vec((step, 0..3_u64), 40..220), 0..120_usize, vec(0..12_usize, SHARDS as usize))
        .prop_map(|(wanted, steps, before, between)| History { wanted, steps, before, between })
}

impl History {
    fn entries(&self) -> Vec<Arc<Entry>> {
        let open = (0..SESSIONS).map(|_| Payload::Write { tag: None, op: Op::OpenSession });
        let mut now = 0;
        let mut times = vec![0; SESSIONS as usize];
        let mut index = SESSIONS;
        let mut payloads: Vec<_> = open.collect();
        for (step, later) in &self.steps {
            index += 1;
            now += later;
            times.push(now);
            payloads.push(match step.clone() {
                Step::Write(op) => Payload::Write { tag: None, op },
                Step::Tagged(session, seq, floor) => {
                    let op = self.wanted[(session * SEQS + seq - 1) as usize].clone();
                    Payload::Write { tag: Some(Tag { session: session + 1, seq, floor }), op }
                }
                Step::Remove(cache, key, back, why) => {
                    let (cache, key) = (Arc::from(CACHES[cache]), bytes(&format!("key-{key}")));
                    Payload::Remove { cache, key, version: index.saturating_sub(back), why }
                }
                Step::Floor(session, floor) => Payload::Floor { session: session + 1, floor },
                Step::EndSession(session) => Payload::EndSession { session: session + 1 },
                Step::Noop => Payload::Noop,
            });
        }
        let entry =
            |((index, time), payload)| Arc::new(Entry { term: 1, index, time: LogTime(time), payload });
        (1..).zip(times).zip(payloads).map(entry).collect()
    }

    /// Applies it to one store; copies that shard by shard meanwhile into another, that one into the next before it has
    /// caught up, and brings the last one up to the end.
    fn run(&self, testing: Testing) -> (Store, Store) {
        let [source, first, copy] = [1, 2, 3].map(|seed| Store::seeded(seed, testing));
        let entries = self.entries();
        let mut next = entries.iter();
        let mut go_on = |n| {
            source.look_ahead(next.clone().take(n).map(Arc::as_ref));
            next.by_ref().take(n).for_each(|entry| drop(source.apply(entry)));
        };
        go_on(self.before);
        let base = source.applied();
        for (shard, between) in (0..SHARDS).zip(&self.between) {
            first.install_copy(shard, source.copy(shard));
            go_on(*between);
        }
        go_on(usize::MAX);
        first.begin_at(base);
        (0..SHARDS).for_each(|shard| copy.install_copy(shard, first.copy(shard)));
        copy.begin_at(base);
        for entry in entries.iter().filter(|e| e.index > base) {
            copy.apply(entry);
        }
        (source, copy)
    }
}

/// Everything that can be seen of a store.
fn seen(store: &Store) -> String {
    // Their order is no part of what they are.
    let copied = |copy: Frozen| {
        let (applied, len) = (copy.applied, copy.len());
        let mut records: Vec<_> = copy.map(|record| format!("{record:#?}")).collect();
        assert_eq!(records.len(), len);
        records.sort_unstable();
        (applied, records)
    };
    let shards: Vec<_> = (0..SHARDS).map(|shard| copied(store.copy(shard))).collect();
    let totals = (store.applied(), store.entries(), store.bytes(), store.dedup_bytes());
    let oldest: Vec<_> = CACHES.iter().map(|cache| store.oldest(cache, 0, usize::MAX)).collect();
    let ended = [3, usize::MAX].map(|limit| store.ended(LogTime(u64::MAX), limit));
    format!("{totals:?} {:?} {:?} {oldest:?} {ended:?} {shards:#?}", store.caches(), store.sessions())
}

#[cfg(feature = "testing")]
fn differs(history: &History, testing: Testing) -> bool {
    let (source, copy) = history.run(testing);
    source.digest() != copy.digest() || seen(&source) != seen(&copy)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_copied_shard_takes_only_what_came_after_it(history in histories()) {
        let (source, copy) = history.run(Testing::default());
        prop_assert_eq!(seen(&source), seen(&copy));
        prop_assert_eq!(source.digest(), copy.digest());
        // The sums that are kept along are those of what is there.
        let again = Store::seeded(4, Testing::default());
        (0..SHARDS).for_each(|shard| again.install_copy(shard, source.copy(shard)));
        again.begin_at(source.applied());
        prop_assert_eq!(seen(&source), seen(&again));
        prop_assert_eq!(source.digest(), again.digest());
        again.clear();
        prop_assert_eq!(seen(&again), seen(&Store::default()));
        prop_assert_eq!(again.digest(), 0);
    }
}

#[test]
fn histories_say_something() {
    // Replaying what a shard has in it already must show in most of them, or the test above proves nothing.
    let twice = samples(50).filter(|history| {
        let (source, copy) = history.run(Testing::default());
        for entry in history.entries().iter().skip(history.before) {
            (0..SHARDS).for_each(|shard| copy.write(shard).forget_applied());
            copy.apply(entry);
        }
        source.digest() != copy.digest()
    });
    assert!(twice.count() > 25);
}

#[cfg(feature = "testing")]
#[test]
fn results_apart_from_their_keys_diverge() {
    let testing = Testing { mutant: Some(Mutant::DedupApart), ..Testing::default() };
    let diverged = samples(200).filter(|history| differs(history, testing)).count();
    assert!(diverged > 10, "only {diverged} of 200");
}

/// The same ones each time.
fn samples(number: usize) -> impl Iterator<Item = History> {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let history = move || histories().new_tree(&mut runner).map(|tree| tree.current());
    std::iter::repeat_with(history).take(number).map(|history| history.expect("nothing is filtered out"))
}
