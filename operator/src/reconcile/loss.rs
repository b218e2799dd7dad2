//! Says that the cache began again, empty, and why. Pure. It is seen by the generation: the status keeps the last one
//! that was known, so that neither a time without a leader nor a restart of the operator hides the change.

use rauthy_proto::cache::NodeStatus;

use super::events::Note;
use crate::agents::Report;
use crate::crd::{RauthyCluster, RauthyClusterStatus};

/// The event about a new generation; none where it is the one of the previous status, or the first.
#[must_use]
pub fn note(cluster: &RauthyCluster, new: &RauthyClusterStatus, reports: &[Report]) -> Option<Note> {
    let before = cluster.status.as_ref()?.generation.as_ref()?;
    let after = new.generation.as_ref().filter(|after| *after != before)?;
    let why = reason(reports, &cluster.spec.cache.invalidate_after);
    let number = new.generation_number.map(|number| format!(" {number}")).unwrap_or_default();
    let text = format!("the cache began again, empty: generation{number} ({after} after {before}); {why}");
    Some(Note { warning: true, reason: "CacheLost", text })
}

/// By what the members say of themselves: who has wiped its data was there and had no quorum; all others were not.
fn reason(reports: &[Report], patience: &str) -> String {
    let answers = || reports.iter().filter_map(|report| Some((report, report.answer.as_ref().ok()?)));
    let names = |those: &dyn Fn(&NodeStatus) -> bool| {
        let names: Vec<&str> =
            answers().filter(|(_, node)| those(node)).map(|(report, _)| report.pod.as_str()).collect();
        names.join(", ")
    };
    let wiped = names(&|node| node.wipes > 0);
    let fresh = names(&|node| node.wipes == 0);
    if wiped.is_empty() {
        return format!("no member was left that had it: {fresh} started anew");
    }
    let rest = if fresh.is_empty() { String::new() } else { format!("; {fresh} started anew") };
    format!(
        "{wiped} had no quorum for longer than spec.cache.invalidateAfter, {patience}, and wiped it{rest}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_new_generation_is_told_with_the_reason_and_the_first_one_is_not() {
        let cluster = |generation: Option<&str>| -> RauthyCluster {
            serde_json::from_value(json!({
                "apiVersion": "rauthy.dev/v1alpha1", "kind": "RauthyCluster", "spec": {},
                "metadata": { "name": "rauthy" }, "status": { "generation": generation },
            }))
            .unwrap()
        };
        let status = |generation: &str| RauthyClusterStatus {
            generation: Some(generation.to_owned()),
            generation_number: Some(2),
            ..RauthyClusterStatus::default()
        };
        let report = |pod: &str, wipes: u64| Report {
            pod: pod.to_owned(),
            answer: Ok(NodeStatus { wipes, ..NodeStatus::default() }),
        };
        assert_eq!(note(&cluster(None), &status("a"), &[]), None);
        assert_eq!(note(&cluster(Some("a")), &status("a"), &[]), None);
        let told = |reports: &[Report]| note(&cluster(Some("a")), &status("b"), reports).unwrap().text;
        assert!(told(&[report("x", 0), report("y", 0)]).ends_with("had it: x, y started anew"));
        let mixed = told(&[report("x", 2), report("y", 0)]);
        assert!(mixed.contains("generation 2 (b after a); x had no quorum for longer than"), "{mixed}");
        assert!(mixed.ends_with("10s, and wiped it; y started anew"), "{mixed}");
    }
}
