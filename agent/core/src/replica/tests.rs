//! The order of rule 7, what each kind of read requires, and what is shown in advance.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::*;
use crate::log::Why;
use crate::request::{Condition, Limits};
use crate::store::Changed;

const CACHE: &str = "codes";
const END: Time = Time(1000);
const GENERATION: Generation = Generation(1);

fn lease(generation: u128, commit: Index) -> Lease {
    Lease {
        generation: Generation(generation),
        term: 1,
        commit,
        end: END,
        log_time: LogTime(0),
        log_time_at: Time(0),
    }
}

fn put(replica: &Replica, index: Index, value: &str, expires_at: Option<LogTime>) {
    let (cache, key, value) = (Arc::from(CACHE), Bytes::from("k"), Bytes::from(value.to_owned()));
    write(replica, index, Op::Put { cache, key, value, expires_at, condition: Condition::Always });
}

fn write(replica: &Replica, index: Index, op: Op) {
    let payload = Payload::Write { tag: None, op };
    replica.apply(&Arc::new(Entry { term: 1, index, time: LogTime(0), payload }));
}

/// Bound, with one value applied at index 1.
fn replica(expires_at: Option<LogTime>) -> Replica {
    with(Testing::default(), expires_at)
}

fn with(testing: Testing, expires_at: Option<LogTime>) -> Replica {
    let replica = Replica::new(testing);
    replica.begin(GENERATION, Time(0));
    put(&replica, 1, "v", expires_at);
    replica
}

fn get(replica: &Replica, clock: impl Fn() -> Time) -> Result<bool, ReadRefusal> {
    replica.get(CACHE, b"k", clock).map(|found| found.value.is_some())
}

fn text(replica: &Replica, now: u64) -> Option<String> {
    let found = replica.get(CACHE, b"k", || Time(now)).expect("leased");
    found.value.map(|(value, _)| String::from_utf8_lossy(&value).into_owned())
}

fn position(generation: u128, index: Index) -> Position {
    Position { generation: Generation(generation), index }
}

fn point(generation: u128, index: Index, log_time: u64) -> ReadPoint {
    ReadPoint { generation: Generation(generation), index, log_time: LogTime(log_time) }
}

#[test]
fn a_read_needs_a_lease_that_still_stands_after_it() {
    let replica = replica(None);
    assert_eq!(get(&replica, || Time(1)), Err(ReadRefusal::NoLease));
    replica.set_lease(Some(lease(1, 1)));
    assert_eq!(get(&replica, || Time(999)), Ok(true));
    assert_eq!(get(&replica, || END), Err(ReadRefusal::NoLease), "the end itself is past");
}

/// The clock is asked once the value is there: what happens meanwhile counts.
fn wiped_while_reading(replica: &Replica, then: impl Fn(&Replica)) -> Result<bool, ReadRefusal> {
    replica.set_lease(Some(lease(1, 1)));
    let asked = Cell::new(0);
    let result = get(replica, || {
        asked.set(asked.get() + 1);
        then(replica);
        Time(5)
    });
    assert_eq!(asked.get(), 1);
    result
}

#[test]
fn the_clock_is_read_after_the_value() {
    let other = |replica: &Replica| replica.set_lease(Some(lease(2, 0)));
    assert_eq!(wiped_while_reading(&replica(None), other), Err(ReadRefusal::NoLease));
    assert_eq!(wiped_while_reading(&replica(None), Replica::clear), Err(ReadRefusal::NoLease));
}

#[test]
fn another_life_in_the_same_generation_is_another() {
    let again = |replica: &Replica| {
        replica.clear();
        replica.begin(GENERATION, Time(5));
        replica.set_lease(Some(lease(1, 0)));
    };
    assert_eq!(wiped_while_reading(&replica(None), again), Err(ReadRefusal::NoLease));
}

#[test]
fn what_the_lease_requires_must_be_applied() {
    let replica = replica(None);
    replica.set_lease(Some(lease(1, 2)));
    assert_eq!(get(&replica, || Time(5)), Err(ReadRefusal::Syncing));
    assert_eq!(get(&replica, || END), Err(ReadRefusal::NoLease));
}

#[test]
fn a_value_ends_early_never_late() {
    // The log's clock may run faster than this one by (1+ρ)/(1−ρ): 990 here can be 1010 there.
    let ends = replica(Some(LogTime(900)));
    ends.set_lease(Some(lease(1, 1)));
    assert_eq!(get(&ends, || Time(870)), Ok(true));
    assert_eq!(get(&ends, || Time(885)), Ok(false));
}

#[test]
fn a_session_reads_what_it_has_seen_or_waits() {
    let replica = replica(None);
    let after = |generation, index| {
        replica.get_after(CACHE, b"k", position(generation, index), || Time(5)).map(|found| found.index)
    };
    assert_eq!(after(1, 1), Err(ReadRefusal::NoLease));
    assert_eq!(after(2, 1), Err(ReadRefusal::Gap), "also without a lease: waiting helps nothing");
    replica.set_lease(Some(lease(1, 1)));
    assert_eq!(after(1, 1), Ok(1));
    assert_eq!(after(1, 2), Err(ReadRefusal::Syncing));
    assert_eq!(after(2, 1), Err(ReadRefusal::Gap));
    assert_eq!(after(2, 9), Err(ReadRefusal::Gap));
    put(&replica, 2, "w", None);
    assert_eq!(after(1, 2), Ok(2));
    let late = replica.get_after(CACHE, b"k", position(1, 3), || END);
    assert_eq!(late, Err(ReadRefusal::NoLease));
    replica.set_lease(Some(lease(1, 3)));
    assert_eq!(after(1, 2), Err(ReadRefusal::Syncing), "the lease requires more than the session");
}

#[test]
fn a_linearizable_read_needs_its_point_and_no_lease() {
    let replica = replica(Some(LogTime(900)));
    let at = |point| replica.get_at(CACHE, b"k", point).map(|f| (f.value.is_some(), f.index, f.term));
    assert_eq!(at(point(1, 1, 899)), Ok((true, 1, 0)));
    assert_eq!(at(point(1, 1, 900)), Ok((false, 1, 0)), "expiry is judged by the point's time");
    assert_eq!(at(point(1, 2, 0)), Err(ReadRefusal::Syncing));
    assert_eq!(at(point(2, 1, 0)), Err(ReadRefusal::Gap));
    replica.clear();
    assert_eq!(at(point(1, 1, 0)), Err(ReadRefusal::Gap));
}

#[test]
fn a_wipe_while_reading_is_noticed() {
    // Also if the next life is in the same generation again, and has got nothing of it yet.
    let wipe = |replica: &Replica| {
        replica.clear();
        replica.begin(GENERATION, Time(5));
    };
    let one = replica(None);
    let found = one.get_at_while(CACHE, b"k", point(1, 1, 0), || wipe(&one));
    assert_eq!(found, Err(ReadRefusal::Gap));
    let one = replica(None);
    assert_eq!(one.changes_while(position(1, 0), None, 9, || wipe(&one)), Err(Gap));
}

fn show(replica: &Replica, value: Option<&str>, until: u64, ttl_end: Option<u64>) -> bool {
    let value = value.map(|value| Bytes::from(value.to_owned()));
    replica.overlay.show(
        &Arc::from(CACHE),
        &Bytes::from("k"),
        value.as_ref(),
        Time(until),
        ttl_end.map(Time),
        || true,
    ) == Shows::Yes
}

#[test]
fn what_is_shown_in_advance_goes_when_the_log_speaks() {
    let (cache, key) = (Arc::<str>::from(CACHE), Bytes::from("k"));
    let speaks: [&dyn Fn(&Replica); 4] = [
        &|r| put(r, 2, "v", None),
        &|r| write(r, 2, Op::Clear { cache: cache.clone() }),
        &|r| write(r, 2, Op::Delete { cache: cache.clone(), key: key.clone() }),
        &|r| {
            let (cache, key) = (cache.clone(), key.clone());
            let payload = Payload::Remove { cache, key, version: 1, why: Why::Expired };
            r.apply(&Arc::new(Entry { term: 1, index: 2, time: LogTime(0), payload }));
        },
    ];
    for speaks in speaks {
        let replica = replica(None);
        assert!(show(&replica, Some("direct"), 500, None));
        assert_eq!(get(&replica, || Time(1)), Err(ReadRefusal::NoLease), "under a lease only");
        replica.set_lease(Some(lease(1, 1)));
        assert_eq!(text(&replica, 499).as_deref(), Some("direct"));
        let found = replica.get_after(CACHE, b"k", position(1, 1), || Time(5)).expect("leased");
        assert_eq!(found.value.map(|(_, version)| version), Some(0));
        let linearizable = replica.get_at(CACHE, b"k", point(1, 1, 0)).expect("applied");
        assert_eq!(linearizable.value.map(|(_, version)| version), Some(1), "the log only");
        speaks(&replica);
        assert_ne!(text(&replica, 499).as_deref(), Some("direct"));
    }
}

#[test]
fn what_is_shown_in_advance_ends() {
    let replica = replica(None);
    replica.set_lease(Some(lease(1, 1)));
    assert!(show(&replica, Some("direct"), 500, Some(300)));
    assert_eq!(text(&replica, 299).as_deref(), Some("direct"));
    assert_eq!(text(&replica, 300), None, "its own end");
    assert_eq!(text(&replica, 500).as_deref(), Some("v"), "the log has not heard of it");
    assert!(show(&replica, None, 500, None));
    assert_eq!(text(&replica, 1), None, "removed in advance");
    assert!(show(&replica, Some("direct"), 500, None));
    replica.clear();
    replica.begin(GENERATION, Time(0));
    replica.set_lease(Some(lease(1, 0)));
    assert_eq!(text(&replica, 1), None, "a wipe forgets it");
}

/// The same, in a cache that is declared so, under a lease.
fn direct() -> Replica {
    let replica = replica(None);
    let (cache, limits) = (CACHE.into(), Limits { direct: true, ttl: Some(Span(300)), ..Limits::default() });
    write(&replica, 2, Op::Declare { cache, limits });
    replica.set_lease(Some(lease(1, 2)));
    replica
}

fn request(condition: Condition) -> Request {
    let (cache, key, value) = (CACHE.into(), Bytes::from("k"), Bytes::from("direct"));
    Request::Put { cache, key, value, ttl: None, condition }
}

#[test]
fn what_a_caller_shows_is_seen_until_it_ends() {
    let replica = direct();
    assert_eq!(replica.show_directly(&request(Condition::Always), Time(10)), Directly::Shown(GENERATION));
    assert_eq!(text(&replica, 309).as_deref(), Some("direct"));
    assert_eq!(text(&replica, 310), None, "the cache has a time to live");
    let delete = Request::Delete { cache: CACHE.into(), key: Bytes::from("k") };
    assert_eq!(replica.show_directly(&delete, Time(10)), Directly::Shown(GENERATION));
    assert_eq!(text(&replica, 309), None);
    put(&replica, 3, "log", None);
    assert_eq!(text(&replica, 309).as_deref(), Some("log"));
}

#[test]
fn a_caller_shows_nothing_that_only_the_node_can_judge() {
    let plain = request(Condition::Always);
    let replica = direct();
    assert_eq!(replica.show_directly(&request(Condition::Absent), Time(1)), Directly::AskNode, "a condition");
    let take = Request::Take { cache: CACHE.into(), key: Bytes::from("k") };
    assert_eq!(replica.show_directly(&take, Time(1)), Directly::AskNode);
    assert_eq!(replica.show_directly(&plain, END), Directly::AskNode, "the lease has ended");
    replica.set_lease(Some(lease(1, 3)));
    assert_eq!(replica.show_directly(&plain, Time(1)), Directly::AskNode, "what it requires is not applied");
    replica.set_lease(None);
    assert_eq!(replica.show_directly(&plain, Time(1)), Directly::AskNode, "no lease");
    let undeclared = self::replica(None);
    undeclared.set_lease(Some(lease(1, 1)));
    assert_eq!(undeclared.show_directly(&plain, Time(1)), Directly::AskNode, "not declared");
    for replica in [replica, undeclared] {
        replica.set_lease(Some(lease(1, 1)));
        assert_eq!(text(&replica, 2).as_deref(), Some("v"), "nothing is shown");
    }
}

#[test]
fn a_caller_is_told_that_there_is_no_room() {
    let replica = direct();
    let one = |n: u32| {
        let key = Bytes::from(n.to_be_bytes().to_vec());
        replica.overlay.show(&CACHE.into(), &key, None, Time(900), None, || true) == Shows::Yes
    };
    assert!((0..4096).all(one));
    assert_eq!(replica.show_directly(&request(Condition::Always), Time(1)), Directly::NoRoom);
    let (cache, key) = (CACHE.into(), Bytes::from(7_u32.to_be_bytes().to_vec()));
    write(&replica, 3, Op::Delete { cache, key });
    assert_eq!(
        replica.show_directly(&request(Condition::Always), Time(1)),
        Directly::Shown(GENERATION),
        "one is in the log"
    );
}

#[test]
fn what_is_shown_stays_where_there_is_no_room_for_what_comes_after_it() {
    let replica = direct();
    assert!(show(&replica, Some("direct"), 900, None));
    let (key, half) = (Bytes::from("other"), Bytes::from(vec![0; 4_194_000]));
    let fills = replica.overlay.show(&CACHE.into(), &key, Some(&half), Time(900), None, || true);
    assert_eq!(fills, Shows::Yes);
    assert!(!show(&replica, Some(&"longer".repeat(100)), 900, None));
    assert_eq!(text(&replica, 5).as_deref(), Some("direct"));
    assert!(show(&replica, Some("equal!"), 900, None), "in place of what it replaces");
}

#[test]
fn what_a_caller_shows_is_seen_for_a_second() {
    let replica = replica(None);
    let limits = Limits { direct: true, ..Limits::default() };
    write(&replica, 2, Op::Declare { cache: CACHE.into(), limits });
    replica.set_lease(Some(Lease { end: Time(9_000_000), ..lease(1, 2) }));
    let plain = request(Condition::Always);
    assert!(replica.may_show(&plain, Time(10)) && !replica.may_show(&plain, Time(9_000_000)));
    assert!(!replica.may_show(&request(Condition::Absent), Time(10)));
    assert_eq!(replica.show_directly(&plain, Time(10)), Directly::Shown(GENERATION));
    assert_eq!(text(&replica, 1_000_009).as_deref(), Some("direct"));
    assert_eq!(text(&replica, 1_000_010).as_deref(), Some("v"));
}

#[test]
fn what_a_caller_shows_while_all_is_wiped_is_not_of_the_next_life() {
    let replica = direct();
    let wipe = || {
        replica.clear();
        replica.begin(GENERATION, Time(5));
        replica.set_lease(Some(lease(1, 0)));
    };
    assert_eq!(replica.show_directly_while(&request(Condition::Always), Time(1), wipe), Directly::AskNode);
    assert_eq!(text(&replica, 6), None);
    // A renewed lease is none of that.
    let replica = direct();
    let renew = || replica.set_lease(Some(Lease { end: Time(5000), ..lease(1, 2) }));
    assert_eq!(
        replica.show_directly_while(&request(Condition::Always), Time(1), renew),
        Directly::Shown(GENERATION)
    );
}

#[test]
fn what_is_shown_in_advance_is_bounded() {
    let replica = replica(None);
    let cache: Arc<str> = Arc::from(CACHE);
    let one = |i: u32, size: usize, until| {
        let key = Bytes::from(i.to_be_bytes().to_vec());
        replica.overlay.show(&cache, &key, Some(&Bytes::from(vec![0; size])), Time(until), None, || true)
            == Shows::Yes
    };
    let shown = (0..10_000).filter(|i| one(*i, 10, 500)).count();
    assert_eq!(shown, 4096);
    assert!(one(0, 20, 600), "one that is there already may be replaced");
    assert!(!one(5000, 10, 600));
    replica.set_lease(Some(Lease { log_time_at: Time(500), ..lease(1, 1) }));
    let large = (20_000..20_100).filter(|i| one(*i, 1 << 20, 600)).count();
    assert_eq!(large, 3, "what is not shown any more makes room, within the bytes");
    write(&replica, 2, Op::Clear { cache: cache.clone() });
    assert!(one(1, (4 << 20) - 200, 600), "all of it is free again");
    let half = (2 << 20) - 200;
    assert!(one(1, half, 600) && one(2, half, 600) && one(1, 10, 600) && one(3, half / 2, 600));
    assert!(!one(4, half, 600), "one half is free, the other one is not");
}

#[test]
fn its_tables_are_hashed_with_the_keys_of_its_seed() {
    // It shows in the order of what is in a table.
    let shown = |seed| {
        let replica = Replica::seeded(seed, Testing::default());
        replica.begin(GENERATION, Time(0));
        for index in 1..=64 {
            let op = Op::Put {
                cache: Arc::from(CACHE),
                key: Bytes::from(vec![index as u8]),
                value: Bytes::from("v"),
                expires_at: None,
                condition: Condition::Always,
            };
            write(&replica, index, op);
        }
        format!("{:?}", replica.store())
    };
    assert_eq!(shown(1), shown(1));
    assert_ne!(shown(1), shown(2), "or clients could choose keys that collide");
}

#[test]
fn changes_of_another_generation_are_a_gap() {
    let replica = replica(None);
    let changes = |after| replica.changes(after, Some(CACHE), 9).map(|changes| changes.len());
    assert_eq!(changes(position(1, 0)), Ok(1));
    assert_eq!(changes(position(2, 0)), Err(Gap));
    assert_eq!(replica.feed_end(), Some(position(1, 1)));
    replica.clear();
    assert_eq!((changes(position(1, 0)), replica.feed_end()), (Err(Gap), None));
}

#[test]
#[allow(clippy::disallowed_methods, reason = "readers are on other threads")]
fn a_reader_never_mixes_two_lives() {
    // Until it has got so many answers of each kind; on a busy machine it hardly runs at the same time.
    const ENOUGH: u64 = 1000;
    const LIVES: u64 = 200_000;
    let replica = Replica::default();
    let (life, answers) = (AtomicU64::new(0), [const { AtomicU64::new(0) }; 3]);
    let got = |kind: usize| answers[kind].fetch_add(1, Ordering::Relaxed);
    let of = |life: u64| u128::from(1 + life % 2);
    let text = |life: u64| Bytes::from(of(life).to_string());
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while life.load(Ordering::Relaxed) < LIVES {
                let now = life.load(Ordering::Relaxed);
                // A value is there from index 1 on in each life, and says which generation it is of.
                let answer = |found: Result<Found, _>| {
                    found.ok().map(|f| (f.value.map(|(value, _)| Bytes::from(value)), f.generation))
                };
                let expected = (Some(text(now)), Generation(of(now)));
                let check = |kind: usize, found| {
                    if let Some((value, generation)) = answer(found) {
                        got(kind);
                        if generation == expected.1 {
                            assert_eq!(value, expected.0);
                        } else {
                            assert_eq!(value, Some(text(now + 1)));
                        }
                    }
                };
                check(0, replica.get(CACHE, b"k", || Time(5)));
                check(1, replica.get_at(CACHE, b"k", point(of(now), 1, 0)));
                for change in replica.changes(position(of(now), 0), None, 9).into_iter().flatten() {
                    got(2);
                    assert_eq!(change.change, Changed::Put { key: Bytes::from("k"), value: text(now) });
                }
            }
        });
        for now in 0..LIVES {
            replica.clear();
            replica.begin(Generation(of(now)), Time(0));
            life.store(now, Ordering::Relaxed);
            put(&replica, 1, &of(now).to_string(), None);
            replica.set_lease(Some(lease(of(now), 1)));
            let enough = answers.iter().all(|answers| answers.load(Ordering::Relaxed) >= ENOUGH);
            if enough || reader.is_finished() {
                break;
            }
        }
        life.store(LIVES, Ordering::Relaxed);
        assert!(reader.join().is_ok());
    });
}

#[cfg(feature = "testing")]
mod mutants {
    use super::*;

    fn lacking(mutant: Mutant) -> Testing {
        Testing { mutant: Some(mutant), ..Testing::default() }
    }

    #[test]
    fn a_lease_checked_too_early_serves_what_is_replaced() {
        let replica = with(lacking(Mutant::ValueAfterLeaseCheck), None);
        // It asks the clock first: what is written then is read all the same, and what ends then is not noticed.
        let result = wiped_while_reading(&replica, |replica| put(replica, 2, "late", None));
        assert_eq!(result, Ok(true));
        replica.set_lease(Some(lease(1, 1)));
        let found = replica.get(CACHE, b"k", || {
            put(&replica, 3, "later", None);
            Time(5)
        });
        assert_eq!(found.ok().and_then(|f| f.value).map(|(_, version)| version), Some(3));
    }

    #[test]
    fn the_local_clock_lets_values_live_too_long() {
        let replica = with(lacking(Mutant::ExpiryByLocalClock), Some(LogTime(900)));
        replica.set_lease(Some(Lease { log_time: LogTime(2000), ..lease(1, 1) }));
        assert_eq!(get(&replica, || Time(5)), Ok(true));
    }
}
