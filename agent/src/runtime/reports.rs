//! What members tell each other about themselves, once a second: for people, and to notice replicas that differ.
//!
//! Two replicas that applied the same index hold the same data, so their digests are equal there. Under load they are
//! never seen at the same index; but all pass the multiples of [`CHECKPOINT`](rauthy_core::store::CHECKPOINT), and keep
//! their digests there for a while.

use std::sync::Arc;
use std::time::Duration;

use rauthy_core::Slot;
use rauthy_proto::cache::{Mark, NodeStatus, Report};
use tokio_util::sync::CancellationToken;

use super::handle::Handle;
use crate::mesh::{Board, Compared, Mesh};

/// How often.
const INTERVAL: Duration = Duration::from_secs(1);
/// Checkpoints that a report names: the others keep more of theirs.
const CHECKPOINTS: usize = 4;

/// Tells and compares until the agent stops.
pub(super) async fn exchange(mesh: Mesh, board: Arc<Board>, handle: Handle, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
        let status = handle.status().await;
        let known = marks(&status, handle.replica().store().checkpoints());
        for member in status.members.iter().filter(|member| !member.me) {
            let Some(report) = &member.report else { continue };
            if let Some((index, equal)) = compare(&known, &status.generation, report) {
                let peer = Slot::new(&member.slot);
                handle.metrics().compared(&member.slot, equal);
                let generation = status.generation.clone();
                if board.compared(&peer, Compared { generation, index, equal }) {
                    tracing::error!(
                        %peer,
                        index,
                        "its data differs from that of this node, which must never be: please report it"
                    );
                }
            }
        }
        mesh.report(&report(&status, &known));
    }
}

/// The digests of this replica that are known, in the order of their indices.
fn marks(status: &NodeStatus, checkpoints: Vec<(u64, u64)>) -> Vec<Mark> {
    let mut marks: Vec<Mark> =
        checkpoints.into_iter().map(|(index, digest)| Mark { index, digest }).collect();
    // The status is older than the checkpoints: a newer one may be among them.
    if let Ok(digest) = u64::from_str_radix(&status.digest, 16)
        && let Err(place) = marks.binary_search_by_key(&status.applied, |mark| mark.index)
    {
        marks.insert(place, Mark { index: status.applied, digest });
    }
    marks
}

fn report(status: &NodeStatus, known: &[Mark]) -> Report {
    let mut marks: Vec<Mark> = known.iter().rev().take(CHECKPOINTS + 1).copied().collect();
    if let Some(now) = known.iter().find(|mark| mark.index == status.applied)
        && !marks.contains(now)
    {
        marks.push(*now);
    }
    let connected = status.members.iter().filter(|m| m.connected && !m.me);
    Report {
        generation: status.generation.clone(),
        role: status.role,
        ready: status.ready,
        marks,
        applied: status.applied,
        entries: status.entries,
        bytes: status.bytes,
        version: status.version.clone(),
        uptime_ms: status.uptime_ms,
        certificate_expires_in_s: status.certificate_expires_in_s,
        connected: connected.map(|m| m.slot.clone()).collect(),
        age_ms: 0,
    }
}

/// The last index at which both are known, and whether they are equal there.
fn compare(known: &[Mark], generation: &str, theirs: &Report) -> Option<(u64, bool)> {
    if generation.is_empty() || generation != theirs.generation {
        return None;
    }
    let both = theirs.marks.iter().filter_map(|mark| {
        let ours = known.iter().find(|ours| ours.index == mark.index)?;
        Some((mark.index, ours.digest == mark.digest))
    });
    both.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(applied: u64, digest: &str) -> NodeStatus {
        NodeStatus { generation: "g".into(), applied, digest: digest.into(), ..NodeStatus::default() }
    }

    #[test]
    fn replicas_are_compared_where_both_have_been() {
        let ours = marks(&status(9000, "00000000000000ff"), vec![(4096, 1), (8192, 2)]);
        assert_eq!(ours.iter().map(|m| m.index).collect::<Vec<_>>(), [4096, 8192, 9000]);
        let theirs = |applied, digest, checkpoints: &[(u64, u64)]| {
            let status = status(applied, digest);
            report(&status, &marks(&status, checkpoints.to_vec()))
        };
        // Under load: at the last checkpoint. Idle: where both are.
        let table = [
            (theirs(8200, "99", &[(4096, 1), (8192, 2)]), Some((8192, true))),
            (theirs(8200, "99", &[(4096, 1), (8192, 3)]), Some((8192, false))),
            (theirs(5000, "99", &[(4096, 1)]), Some((4096, true))),
            (theirs(9000, "ff", &[(4096, 1), (8192, 2)]), Some((9000, true))),
            (theirs(9000, "fe", &[(4096, 1), (8192, 2)]), Some((9000, false))),
            (theirs(9000, "", &[]), None),
            (theirs(12, "ff", &[]), None),
        ];
        for (theirs, wanted) in table {
            assert_eq!(compare(&ours, "g", &theirs), wanted, "{theirs:?}");
            assert_eq!(compare(&ours, "another", &theirs), None);
        }
    }
}
