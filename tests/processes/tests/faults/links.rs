//! One link of three is cut, both ways or one way: nobody flaps, nobody serves what is over, nothing is lost.

use std::time::Duration;

use futures::future::join_all;
use rauthy_processes::{Cluster, Elections, Load, PATIENCE, Setup, Stalls, always, span};

/// What is cut between whom.
#[derive(Clone, Copy, Debug)]
enum Cut {
    /// The leader and a follower do not hear each other; both hear the third.
    LeaderAndFollower,
    /// The leader is not heard by one follower.
    FromLeader,
    /// The leader does not hear one follower.
    ToLeader,
    /// The followers do not hear each other.
    Followers,
}

/// A processor that is kept from us for longer than this may cost an election by itself.
pub(crate) const STALLED: Duration = Duration::from_millis(300);

/// Nobody who serves leaves its clients without an answered write for longer than this: two elections and a little.
pub(crate) const SILENT: Duration = Duration::from_secs(5);

/// Panics if there were elections, unless this machine stood still for so long that it may have cost one. How often
/// that was said can be counted by the first word.
pub(crate) fn nothing_elected(what: &str, before: &Elections, after: &Elections, stalls: Stalls) {
    let longest = stalls.longest();
    println!("{what}: {before:?} before, {after:?} after; this machine stood still for {longest:?} at most");
    let elected = (after.term - before.term).max(after.candidacies - before.candidacies);
    if elected > 0 && longest > STALLED {
        println!("EXCUSED: {what}: {elected} elections, the machine stood still for {longest:?}");
    }
    let excused = if longest > STALLED { 2 } else { 0 };
    assert!(
        elected <= excused,
        "{what}: {elected} elections, stood still for {longest:?}: {before:?}, {after:?}"
    );
}

async fn cut(what: Cut, long: Duration) {
    let cluster = Cluster::start(Setup::default()).await;
    let before = cluster.elections().await;
    let generation = cluster.node(1).status().await.unwrap().generation;
    let leader = cluster.leader().await;
    let others = cluster.others(leader);
    let pause = Duration::from_millis(80);
    let recorder = cluster.record(Load { each: 2, pause, ..Load::default() }).await;
    let marker = recorder.marker();
    let stalls = Stalls::watch();
    // Whoever hears a majority, and is heard by it, serves on.
    let serve = match what {
        Cut::LeaderAndFollower | Cut::FromLeader | Cut::ToLeader => vec![leader, others[1]],
        Cut::Followers => vec![1, 2, 3],
    };
    match what {
        Cut::LeaderAndFollower => cluster.net.cut_link(leader, others[0]),
        Cut::FromLeader => cluster.net.cut_one_way(leader, others[0]),
        Cut::ToLeader => cluster.net.cut_one_way(others[0], leader),
        Cut::Followers => cluster.net.cut_link(others[0], others[1]),
    }
    marker.mark();
    // A follower that does not hear its leader must not serve. But the two others do, and nobody throws its copy away.
    always(&format!("{what:?}: nobody wipes"), long, async || {
        for node in cluster.nodes() {
            let view = node.status().await?;
            if view.wipes > 0 || view.generation != generation {
                return Err(format!("{view:?}"));
            }
        }
        Ok(())
    })
    .await;
    marker.mark();
    cluster.net.heal_links();
    let after = cluster.elections().await;
    let record = recorder.stop(PATIENCE).await.unwrap();
    let what = format!("{what:?} for {long:?}");
    let summary = record.holds(&what, 100);
    for node in serve {
        let (written, gap) = (summary.through[1][&node.to_string()], summary.gaps[1][&node.to_string()][0]);
        println!(
            "{what}: node {node} acknowledged {written} writes meanwhile, the longest pause was {gap:?}"
        );
        let least = 2 * long.as_secs() as usize;
        assert!(written >= least, "{what}: {written} writes at node {node}, not even {least}");
        assert!(gap < SILENT, "{what}: no write was answered at node {node} for {gap:?}");
    }
    nothing_elected(&what, &before, &after, stalls);
    cluster.same_data().await;
}

/// All four at once: each waits most of the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_link_of_three_is_cut() {
    let long = span(Duration::from_secs(20), Duration::from_secs(60));
    let all = [Cut::LeaderAndFollower, Cut::FromLeader, Cut::ToLeader, Cut::Followers];
    join_all(all.map(|what| cut(what, long))).await;
}
