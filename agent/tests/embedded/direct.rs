//! Level Direct: what is answered is seen here at once, finds its way to the log, and is counted if it does not.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::*;

fn direct() -> (Limits, PutOptions) {
    let limits = Limits { direct: true, ..Limits::default() };
    (limits, PutOptions { ack: AckLevel::Direct, ..PutOptions::default() })
}

/// Waits until this holds.
async fn holds(what: &str, condition: impl Fn() -> bool) {
    eventually(async || if condition() { Ok(()) } else { Err(Error::Invalid(what.into())) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_writes_are_seen_when_they_are_answered_however_fast_they_come() {
    let (limits, options) = direct();
    let cache = alone().await;
    cache.limit("fast", limits).await.unwrap();
    // On a busy machine a lease may end for a moment; that is no miss.
    let read = async |key: &str| eventually(async || cache.get("fast", key)).await;
    // Many, and long ones of which fewer may be shown in advance.
    for (writes, keys, len) in [(10_000_usize, 10_000, 0), (3000, 500, 64 << 10)] {
        for n in 0..writes {
            let (key, mut value) = ((n % keys).to_string(), n.to_le_bytes().to_vec());
            value.resize(value.len() + len, 7);
            assert_eq!(cache.put("fast", key.clone(), value.clone(), options).await, Ok(0), "write {n}");
            assert_eq!(read(&key).await.as_deref(), Some(&*value), "write {n}");
        }
    }
    // In the order in which they were answered, also with what comes by another way.
    cache.put("fast", "0", "last", options).await.unwrap();
    cache.delete("fast", "0", AckLevel::Quorum).await.unwrap();
    assert_eq!(read("0").await, None);
    for n in 1..10_000 {
        assert!(read(&n.to_string()).await.is_some(), "write {n}");
    }
    assert_eq!(cache.handle().metrics().direct_lost.get(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_writes_of_many_at_a_time_find_room_and_are_not_lost() {
    let (limits, options) = direct();
    let cache = alone().await;
    cache.limit("fast", limits).await.unwrap();
    // More than may be under way of short ones; of long ones also where each takes the place of the one before.
    for (keys, writes, len) in [(64_u32, 300, 10), (1, 20, 256 << 10)] {
        let write = |task: u32| {
            let (cache, value) = (cache.clone(), vec![7_u8; len]);
            async move {
                for n in 0..writes {
                    let key = if keys == 1 { 0 } else { task * writes + n };
                    let written = cache.put("fast", format!("{len} {key}"), value.clone(), options).await;
                    assert_eq!(written, Ok(0), "task {task}, write {n}");
                }
            }
        };
        let tasks: Vec<_> = (0..64).map(|task| tokio::spawn(write(task))).collect();
        for task in tasks {
            task.await.unwrap();
        }
    }
    // Whatever was answered before this is in the log, or lost.
    cache.put("fast", "last", "v", PutOptions::default()).await.unwrap();
    assert_eq!(cache.handle().metrics().direct_lost.get(), 0);
    assert!(cache.get("fast", "10 19199").unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_writes_outlive_a_hand_over() {
    let (limits, options) = direct();
    let all = Members::new(3).start_all().await;
    eventually(|| all[0].declare::<u32>("fast", limits)).await;
    for cache in &all {
        eventually(|| cache.put("fast", "each knows", "v", options)).await;
    }
    let (over, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    // As fast as they can, so that some come in the few milliseconds without a leader.
    let write = |member: usize, cache: Cache, over: Arc<AtomicBool>, written: Arc<AtomicU64>| async move {
        let mut taken = BTreeSet::new();
        for n in 0.. {
            let key = format!("{member} {}", n % 200);
            // Without a lease the node is asked, and may have no leader.
            match cache.put("fast", key.clone(), "v", options).await {
                Ok(_) => {
                    taken.insert(key);
                    written.fetch_add(1, Ordering::Relaxed);
                }
                Err(refused) => {
                    assert!(matches!(refused, Error::NoQuorum | Error::Limit(_)), "{key}: {refused}")
                }
            }
            if over.load(Ordering::Relaxed) {
                break;
            }
            tokio::task::yield_now().await;
        }
        taken
    };
    let writers: Vec<_> = (0..)
        .zip(&all)
        .map(|(n, cache)| tokio::spawn(write(n, cache.clone(), over.clone(), written.clone())))
        .collect();
    for _ in 0..5 {
        let enough = written.load(Ordering::Relaxed) + 2000;
        holds("they write on", || written.load(Ordering::Relaxed) >= enough).await;
        for cache in &all {
            cache.handle().hand_over().await; // nobody but the leader has anything to hand over
        }
    }
    over.store(true, Ordering::Relaxed);
    let mut taken = BTreeSet::new();
    for writer in writers {
        taken.extend(writer.await.unwrap());
    }
    for key in &taken {
        let lacks = || Error::Invalid(format!("{key} was answered, and is not there"));
        eventually(async || all[0].get_linearizable("fast", key).await?.ok_or_else(lacks)).await;
    }
    assert_eq!(all.iter().map(|cache| cache.handle().metrics().direct_lost.get()).sum::<u64>(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn direct_writes_that_the_quorum_does_not_get_are_counted() {
    let (limits, options) = direct();
    let mut all = Members::new(3).start_all().await;
    eventually(|| all[0].declare::<u32>("fast", limits)).await;
    let follower = all.iter().position(|cache| !cache.health().borrow().leads).unwrap();
    let last = all.remove(follower);
    eventually(|| last.put("fast", "k", "v", options)).await;
    // It writes on while the others go, and its lease goes on for a while.
    let taken = Arc::new(AtomicU64::new(1));
    let writer = tokio::spawn({
        let (last, taken) = (last.clone(), taken.clone());
        async move {
            loop {
                match last.put("fast", "k", "v", options).await {
                    Ok(_) => taken.fetch_add(1, Ordering::Relaxed),
                    Err(refused) => return refused,
                };
                tokio::task::yield_now().await;
            }
        }
    });
    holds("it writes", || taken.load(Ordering::Relaxed) > 100).await;
    drop(all);
    // Not that there is no room, which there is not either.
    let refused = tokio::time::timeout(DEADLINE, writer).await.unwrap().unwrap();
    assert_eq!(refused, Error::NoQuorum);
    let (taken, lost) = (taken.load(Ordering::Relaxed), || last.handle().metrics().direct_lost.get());
    holds("some are lost", || lost() > 0).await;
    assert!(lost() <= taken, "{} of {taken}", lost());
}
