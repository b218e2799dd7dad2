//! What Kubernetes says of a pod. Pure.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::ResourceExt;

use crate::names::{AGENT, RESTARTED_AT, TEMPLATE_HASH};

/// Ready, and not on its way out.
#[must_use]
pub fn ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    !ends(pod) && conditions.into_iter().any(|c| c.type_ == "Ready" && c.status == "True")
}

/// It was deleted, but is not gone yet.
#[must_use]
pub fn ends(pod: &Pod) -> bool {
    pod.metadata.deletion_timestamp.is_some()
}

/// The containers' states, the native sidecars' first.
pub fn statuses(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    let status = pod.status.iter();
    status
        .flat_map(|s| s.init_container_statuses.iter().flatten().chain(s.container_statuses.iter().flatten()))
}

/// The state of one container.
#[must_use]
pub fn container<'p>(pod: &'p Pod, name: &str) -> Option<&'p ContainerStatus> {
    statuses(pod).find(|container| container.name == name)
}

/// The kubelet says that the agent's container does not run: nothing is lost with this pod. A kubelet that is gone goes
/// on to say what it said last, so that a pod on a node that is dead, or only out of reach, never looks like this unless
/// it did before.
#[must_use]
pub fn agent_is_down(pod: &Pod) -> bool {
    container(pod, AGENT).is_none_or(|agent| agent.state.as_ref().is_none_or(|state| state.running.is_none()))
}

/// Whether a pod was made from another template than the StatefulSet has now, or before `kubectl rollout restart`. Never
/// by the StatefulSet's `currentRevision`, which OnDelete leaves behind.
#[must_use]
pub fn outdated(pod: &Pod, set: &StatefulSet) -> bool {
    let template = set.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
    let wanted = |key: &str| template.and_then(|meta| meta.annotations.as_ref()?.get(key));
    let differs = |key: &str| wanted(key).is_some_and(|value| pod.annotations().get(key) != Some(value));
    differs(TEMPLATE_HASH) || differs(RESTARTED_AT)
}
