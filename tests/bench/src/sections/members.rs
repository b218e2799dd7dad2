//! What a write costs with more members.

use rauthy_load::What;

use super::name;
use crate::driver::{Cluster, Plan, Programs, System};
use crate::results::Results;

/// Sizes of clusters.
pub const SIZES: [usize; 4] = [3, 5, 7, 9];

/// Measures each size once.
///
/// # Errors
/// If a cluster does not start or stops to answer.
pub async fn visit(
    round: usize,
    plan: &Plan,
    programs: &Programs,
    results: &mut Results,
) -> anyhow::Result<()> {
    for members in SIZES {
        let mut cluster = Cluster::start(System::Ours, members, programs).await?;
        let load = plan.closed(What::Put, 64);
        let used = cluster.cpu()?;
        let seen = cluster.leader().load(load).await?;
        let used = cluster.cpu()? - used;
        let counted = plan.millis as f64 / (plan.warm + plan.millis) as f64;
        results.load(round, name::MEMBERS, members, "ours", &seen);
        results.add(round, name::MEMBERS, members, "ours", "cpu µs", used * counted * 1e6 / seen.done as f64);
        cluster.stop().await;
    }
    Ok(())
}
