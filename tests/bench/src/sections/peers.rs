//! Everything that is measured beside the peers: quorum writes, reads in process, the weaker levels. One visit starts a
//! system, measures all of it, and stops it again, so that nothing runs beside what is measured.

use rauthy_load::What;

use super::{RATE, TASKS, name};
use crate::driver::{Cluster, Plan, Programs, System};
use crate::results::Results;

/// Measures a system once.
///
/// # Errors
/// If it does not start or stops to answer; what was measured before stays.
pub async fn visit(
    system: System,
    round: usize,
    plan: &Plan,
    programs: &Programs,
    results: &mut Results,
) -> anyhow::Result<()> {
    let mut cluster = Cluster::start(system, 3, programs).await?;
    let done = measure(&mut cluster, system, round, plan, results).await;
    cluster.stop().await;
    done
}

async fn measure(
    cluster: &mut Cluster,
    system: System,
    round: usize,
    plan: &Plan,
    results: &mut Results,
) -> anyhow::Result<()> {
    let of = system.name();
    for tasks in TASKS {
        let used = cluster.cpu()?;
        let seen = cluster.leader().load(plan.closed(What::Put, tasks)).await?;
        let used = cluster.cpu()? - used;
        results.load(round, name::LEADER, tasks, of, &seen);
        // The load is warm before it counts: its share of the time is taken off.
        let counted = plan.millis as f64 / (plan.warm + plan.millis) as f64;
        results.add(round, name::LEADER, tasks, of, "cpu µs", used * counted * 1e6 / seen.done as f64);
    }
    let seen = cluster.leader().load(plan.paced(What::Put, RATE)).await?;
    results.load(round, name::PACED, "leader", of, &seen);
    if system.has_followers() {
        for tasks in TASKS {
            let seen = cluster.follower().load(plan.closed(What::Put, tasks)).await?;
            results.load(round, name::FOLLOWER, tasks, of, &seen);
        }
        let seen = cluster.follower().load(plan.paced(What::Put, RATE)).await?;
        results.load(round, name::PACED, "follower", of, &seen);
    }
    if system.has_levels() {
        for (section, what) in [(name::LEVEL_LEADER, What::PutLeader), (name::LEVEL_DIRECT, What::PutDirect)]
        {
            for tasks in [1, 64] {
                let seen = cluster.leader().load(plan.closed(what, tasks)).await?;
                results.load(round, section, tasks, of, &seen);
            }
        }
    }
    if system.reads() {
        reads(cluster, system, round, plan, results).await?;
    }
    Ok(())
}

async fn reads(
    cluster: &mut Cluster,
    system: System,
    round: usize,
    plan: &Plan,
    results: &mut Results,
) -> anyhow::Result<()> {
    let of = system.name();
    cluster.leader().fill().await?;
    for threads in [1, 2] {
        let seen = cluster.leader().read(plan.closed(What::Get, threads)).await?;
        results.load(round, name::READ, threads, of, &seen);
        if system == System::Ours {
            for (what, of) in [(What::BareBorrowed, "bare map, borrowed"), (What::BareCloned, "bare map")] {
                let seen = cluster.leader().read(plan.closed(what, threads)).await?;
                results.load(round, name::READ, threads, of, &seen);
            }
        }
    }
    let (leader, follower) = cluster.both()?;
    let (writes, reads) = (plan.closed(What::Put, 16), plan.closed(What::Get, 1));
    let (written, seen) = tokio::join!(leader.load(writes), follower.read(reads));
    results.load(round, name::READ_LOADED, 1, of, &seen?);
    results.add(round, name::READ_LOADED, 1, of, "writes per s", written?.rate());
    Ok(())
}
