//! How many members a drain may take away at a time.

use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::metadata;
use crate::reconcile::validate::Validated;

/// One at a time, and an unready member only while the others are ready: it may hold data that they lack. A
/// single member has no budget: it would only block drains.
#[must_use]
pub fn build(cluster: &Validated) -> Option<PodDisruptionBudget> {
    (cluster.size() > 1 && cluster.spec.disruption.enabled).then(|| PodDisruptionBudget {
        metadata: metadata(cluster, cluster.names.cluster.clone()),
        spec: Some(PodDisruptionBudgetSpec {
            max_unavailable: Some(IntOrString::Int(1)),
            unhealthy_pod_eviction_policy: Some("IfHealthyBudget".to_owned()),
            selector: Some(LabelSelector {
                match_labels: Some(cluster.names.selector()),
                ..LabelSelector::default()
            }),
            ..PodDisruptionBudgetSpec::default()
        }),
        ..PodDisruptionBudget::default()
    })
}
