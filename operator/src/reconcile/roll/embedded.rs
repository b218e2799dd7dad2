//! The same where the application has the cache inside: there are no seats to look at, only whether pods are ready.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{Facts, Step, replace};
use crate::names::{AGENT, ordinal};
use crate::reconcile::pods;

/// Whether the pods have no agent.
pub(super) fn is(set: &StatefulSet) -> bool {
    let pod = set.spec.as_ref().and_then(|spec| spec.template.spec.as_ref());
    pod.is_some_and(|pod| {
        let mut all = pod.containers.iter().chain(pod.init_containers.iter().flatten());
        !all.any(|container| container.name == AGENT)
    })
}

/// The next step: one that is not ready first, then the highest ordinal, each when all others are there and ready.
pub(super) fn step(facts: &Facts<'_>, outdated: &[&Pod]) -> Step {
    if facts.running.change.is_some() || !facts.running.written {
        return Step::soon("the change of the size comes first".to_owned());
    }
    let number = |pod: &&&Pod| pod.metadata.name.as_deref().and_then(ordinal);
    let staying = outdated.iter().filter(|pod| !pods::ends(pod));
    let Some(first) = staying.max_by_key(|pod| (!pods::ready(pod), number(pod))) else {
        return Step::wait("waiting for a pod to end".to_owned());
    };
    let name = first.name_any();
    let others = (0..facts.running.list.size()).map(|ordinal| facts.names.pod(ordinal));
    for other in others.filter(|other| *other != name) {
        match facts.pod(&other) {
            // With one that is not ready nothing is lost that was there.
            Some(pod) if !pods::ends(pod) && (pods::ready(pod) || !pods::ready(first)) => {}
            Some(_) => return Step::wait(format!("waiting for the pod {other} to be ready")),
            None => return Step::wait(format!("waiting for the pod {other} to be created")),
        }
    }
    replace(first, None)
}
