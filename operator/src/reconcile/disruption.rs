//! Says that a drain has to wait, and the way out. Pure. Nobody tells the operator that a node is being drained; what it
//! sees is that the budget lets nobody go, and has not for a while.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::dereference::Observed;
use super::events::Note;
use super::pods;

/// Reason of the event.
pub(super) const DRAINS_WAIT: &str = "DrainsWait";
/// A member that is away for less, in seconds, is only being replaced or restarted.
const PATIENCE: i64 = 120;

/// The event; none while a member may be drained.
#[must_use]
pub fn note(observed: &Observed, now: Timestamp) -> Option<Note> {
    let budget = observed.pdb.as_ref()?.status.as_ref()?;
    if budget.disruptions_allowed > 0 || observed.pods.len() < 2 {
        return None;
    }
    let away: Vec<String> =
        observed.pods.iter().filter(|pod| long_away(pod, now)).map(ResourceExt::name_any).collect();
    let first = away.first()?;
    let text = format!(
        "a drain of any node waits, for {} may hold values that the others lack; if its node will not come back: \
         kubectl delete pod {first} --force --grace-period=0",
        match away.len() {
            1 => format!("{first} is not ready and"),
            _ => format!("{} are not ready and", away.join(", ")),
        }
    );
    Some(Note { warning: true, reason: DRAINS_WAIT, text })
}

fn long_away(pod: &Pod, now: Timestamp) -> bool {
    if pods::ready(pod) {
        return false;
    }
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let since = conditions.filter(|c| c.type_ == "Ready").find_map(|c| c.last_transition_time.as_ref());
    let since =
        pod.metadata.deletion_timestamp.as_ref().or(since).or(pod.metadata.creation_timestamp.as_ref());
    since.is_some_and(|since| now.as_second().saturating_sub(since.0.as_second()) >= PATIENCE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_drain_that_waits_for_a_member_that_is_long_away_is_told() {
        let now: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let pod = |name: &str, ready: &str, since: &str| {
            json!({
                "metadata": { "name": name },
                "status": { "conditions": [{ "type": "Ready", "status": ready, "lastTransitionTime": since }] },
            })
        };
        let observed = |allowed: i32, since: &str| {
            let status = json!({
                "currentHealthy": 2, "desiredHealthy": 2, "disruptionsAllowed": allowed, "expectedPods": 3,
            });
            let pods = [pod("rauthy-0", "True", "2026-01-01T00:00:00Z"), pod("rauthy-1", "False", since)];
            Observed {
                pdb: Some(serde_json::from_value(json!({ "status": status })).unwrap()),
                pods: pods.map(|pod| serde_json::from_value(pod).unwrap()).into(),
                ..Observed::default()
            }
        };
        let long = "2026-01-01T00:55:00Z";
        let told = note(&observed(0, long), now).unwrap().text;
        assert!(
            told.contains("rauthy-1 is not ready") && told.contains("delete pod rauthy-1 --force"),
            "{told}"
        );
        assert_eq!(note(&observed(1, long), now), None, "the budget lets one go");
        assert_eq!(note(&observed(0, "2026-01-01T00:59:30Z"), now), None, "it is only being replaced");
        assert_eq!(note(&Observed::default(), now), None);
    }
}
