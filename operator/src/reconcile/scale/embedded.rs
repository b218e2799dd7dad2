//! The size changes where the application has the cache inside (`engine: Embedded`). It learns the number of members at its
//! start and never again, and members of two sizes would split: so all pods are stopped before any is started with the
//! new list. The cache is empty afterwards, which somebody has to allow. Pure.
//!
//! ```text
//! {A} ──spec.replicas = B, allowed──▶ {A} stopping, no pods ──all are gone──▶ {B}
//!  ▲                                      │ A is wanted again, or no longer allowed
//!  └──────────────────────────────────────┘
//! ```

use super::{Change, Facts, Progress, Running, Stage, Step};
use crate::names::ALLOW_CACHE_LOSS;

/// The next step; `allowed`: the cache may be emptied, `pods`: those that still exist.
#[must_use]
pub fn step(facts: &Facts<'_>, allowed: bool, pods: usize) -> Step {
    let Running { list, change, written } = facts.running;
    let (size, wanted) = (list.size(), facts.spec.replicas);
    let to = |change: Option<Change>, progress| Step {
        running: Running { list: list.clone(), written: *written && change == facts.running.change, change },
        progress,
    };
    if !written {
        let progress = match change {
            None if size == wanted => Progress::Rest,
            _ => Progress::Moving("the host list is written anew".to_owned()),
        };
        return to(change.clone(), progress);
    }
    if size == wanted {
        return to(None, Progress::Rest);
    }
    let what = format!("from {size} to {wanted} members");
    if !allowed {
        let text = format!(
            "{what}: with cache.engine Embedded all pods stop before any starts, and the cache is empty afterwards; to allow \
             it: kubectl annotate rauthycluster {} {ALLOW_CACHE_LOSS}=true",
            facts.names.cluster
        );
        return to(None, Progress::Blocked("CacheLossNotAllowed", text));
    }
    if pods == 0 && stopped(facts) {
        return Step {
            running: Running { list: facts.list(list.epoch + 1, wanted, None), change: None, written: false },
            progress: Progress::Moving(format!("{what}: all pods have stopped, new ones start")),
        };
    }
    let stopping = Change { stage: Stage::Stopping, pods: 0, since: facts.now };
    let stopping = change.clone().filter(|change| change.stage == Stage::Stopping).unwrap_or(stopping);
    to(Some(stopping), Progress::Moving(format!("{what}: waiting for {pods} pods to stop")))
}

/// The StatefulSet controller has seen that there shall be no pods, and starts none behind our back.
fn stopped(facts: &Facts<'_>) -> bool {
    facts.statefulset.is_none_or(|set| {
        let status = set.status.as_ref();
        set.spec.as_ref().and_then(|spec| spec.replicas) == Some(0)
            && status.and_then(|status| status.observed_generation) >= set.metadata.generation
            && status.is_none_or(|status| status.replicas == 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crd::RauthyClusterSpec;
    use crate::names::Names;
    use crate::reconcile::build::host_list::{HostList, hosts};
    use k8s_openapi::api::apps::v1::StatefulSet;
    use serde_json::json;

    fn spec(replicas: i32) -> RauthyClusterSpec {
        serde_json::from_value(json!({
            "replicas": replicas, "rauthy": { "image": "app:1" }, "cache": { "engine": "Embedded" },
        }))
        .unwrap()
    }

    fn set(replicas: i32, seen: bool) -> StatefulSet {
        serde_json::from_value(json!({
            "metadata": { "generation": 2 },
            "spec": { "replicas": replicas, "selector": {}, "serviceName": "rauthy", "template": {} },
            "status": { "replicas": 0, "observedGeneration": if seen { 2 } else { 1 } },
        }))
        .unwrap()
    }

    fn run(wanted: i32, allowed: bool, stopping: bool, set: &StatefulSet, pods: usize) -> Step {
        let (names, spec) = (Names::new("idm", "rauthy"), spec(wanted));
        let change = stopping.then_some(Change { stage: Stage::Stopping, pods: 0, since: 5 });
        let list = HostList { epoch: 7, now: hosts(&names, &spec, 3), next: None };
        let running = Running { list, change, written: true };
        let facts = Facts {
            running: &running,
            spec: &spec,
            names: &names,
            statefulset: Some(set),
            reports: &[],
            now: 9,
        };
        step(&facts, allowed, pods)
    }

    #[test]
    fn nothing_stops_unless_it_is_allowed() {
        let step = run(5, false, false, &set(3, true), 3);
        assert_eq!((step.running.list.size(), step.running.pods()), (3, 3));
        let Progress::Blocked("CacheLossNotAllowed", text) = step.progress else {
            panic!("{:?}", step.progress)
        };
        assert!(text.contains("annotate rauthycluster rauthy rauthy.dev/allow-cache-loss=true"), "{text}");
    }

    #[test]
    fn all_stop_before_any_starts() {
        let begin = run(5, true, false, &set(3, true), 3);
        assert_eq!((begin.running.list.size(), begin.running.pods(), begin.running.written), (3, 0, false));
        // Pods that are ending are still there, and a controller that has not looked yet could start some.
        for (set, pods) in [(set(0, true), 1), (set(0, false), 0), (set(3, true), 0)] {
            let wait = run(5, true, true, &set, pods);
            assert_eq!((wait.running.list.size(), wait.running.pods()), (3, 0));
            assert!(wait.running.written, "nothing is written while it waits");
        }
        let start = run(5, true, true, &set(0, true), 0);
        assert_eq!((start.running.list.size(), start.running.pods()), (5, 5));
        assert_eq!(start.running.list.epoch, 8);
    }

    #[test]
    fn a_changed_mind_starts_the_old_size_again() {
        let back = run(3, true, true, &set(0, true), 0);
        assert_eq!((back.running.list.size(), back.running.pods()), (3, 3));
        assert_eq!(back.progress, Progress::Rest);
        let forbidden = run(5, false, true, &set(0, true), 0);
        assert_eq!(forbidden.running.pods(), 3, "no longer allowed");
    }
}
