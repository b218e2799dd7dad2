//! Watchers on all members see the same, and are told when all of it is gone.

use rauthy_agent::runtime::{Filter, Watched, Watcher};
use rauthy_core::store::{Change, Changed};
use tokio::time::timeout;

use crate::support::*;

async fn next(watcher: &mut Watcher) -> Watched {
    timeout(DEADLINE, watcher.next()).await.expect("nothing more is told").expect("the agent stopped")
}

/// What is told up to the change of this key, that included.
async fn up_to(watcher: &mut Watcher, last: &str) -> Vec<Change> {
    let mut all = Vec::new();
    loop {
        match next(watcher).await {
            Watched::At(_) => {}
            Watched::Changes(changes, _) => all.extend(changes),
            other => panic!("{other:?} is told instead of the change of {last}"),
        }
        let is_last = |change: &Change| matches!(&change.change, Changed::Put { key, .. } if key == last);
        if all.last().is_some_and(is_last) {
            return all;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watchers_of_all_members_see_the_same_until_it_is_gone() {
    let mut cluster = Cluster::new(3, None);
    cluster.env.insert("CACHE_INVALIDATE_AFTER".into(), "3s".into());
    for node in 0..3 {
        cluster.start(node).await;
    }
    cluster.settled().await;
    let filter = Filter { cache: Some("test".into()), ..Filter::default() };
    let mut watchers: Vec<Watcher> =
        (0..3).map(|node| cluster.handle(node).watch(filter.clone(), None)).collect();
    let mut begin = None;
    for watcher in &mut watchers {
        let Watched::At(position) = next(watcher).await else { panic!("it does not say where it begins") };
        begin = begin.max(Some(position));
    }
    for n in 0..300 {
        cluster.put(n % 3, &format!("k{}", n % 7), &n.to_string()).await.unwrap();
    }
    cluster.put(1, "last", "v").await.unwrap();
    let mut seen = Vec::new();
    for watcher in &mut watchers {
        seen.push(up_to(watcher, "last").await);
    }
    assert_eq!(seen[0].len(), 301);
    assert!(seen.iter().all(|other| *other == seen[0]), "members tell different things");
    assert!(seen[0].windows(2).all(|pair| pair[0].index < pair[1].index));
    // Whoever watched one member goes on at another, from where he was.
    let middle = rauthy_core::replica::Position { index: seen[0][150].index, ..begin.unwrap() };
    let mut moved = cluster.handle(2).watch(filter, Some(middle));
    assert_eq!(up_to(&mut moved, "last").await, seen[0][151..]);

    // The quorum is gone, and with it, after a while, the data; then another generation begins.
    cluster.stop(0).await;
    cluster.stop(1).await;
    assert_eq!(next(&mut watchers[2]).await, Watched::Gone);
    assert_eq!(cluster.handle(2).status().await.entries, 0);
    cluster.start(0).await;
    cluster.start(1).await;
    cluster.settled().await;
    let Watched::At(again) = next(&mut watchers[2]).await else { panic!("it does not say where it begins") };
    assert_ne!(again.generation, middle.generation);
    cluster.put(0, "anew", "v").await.unwrap();
    assert_eq!(up_to(&mut watchers[2], "anew").await.len(), 1);
    assert_eq!(next(&mut moved).await, Watched::Gone, "also told to somebody who did not look meanwhile");
    // Of members that stopped nothing is told any more.
    assert_eq!(timeout(DEADLINE, watchers[0].next()).await.unwrap(), None);
}
