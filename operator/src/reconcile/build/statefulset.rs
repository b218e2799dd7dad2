//! The StatefulSet: stable names, all pods at once, and a pod restarts only when the operator deletes it.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{BuildError, metadata, template};
use crate::names::IMAGE_IN_USE;
use crate::reconcile::validate::Validated;

/// The StatefulSet.
///
/// # Errors
/// The template has no JSON form (never in practice).
pub fn build(cluster: &Validated) -> Result<StatefulSet, BuildError> {
    let mut metadata = metadata(cluster, cluster.names.cluster.clone());
    let image = (IMAGE_IN_USE.to_owned(), cluster.agent_image.clone());
    metadata.annotations.get_or_insert_default().extend([image]);
    Ok(StatefulSet {
        metadata,
        spec: Some(StatefulSetSpec {
            replicas: Some(cluster.size()),
            service_name: Some(cluster.names.cluster.clone()),
            // A founding cluster needs all members at once.
            pod_management_policy: Some("Parallel".to_owned()),
            // The StatefulSet controller knows neither quorum nor leader.
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                ..StatefulSetUpdateStrategy::default()
            }),
            selector: LabelSelector {
                match_labels: Some(cluster.names.selector()),
                ..LabelSelector::default()
            },
            template: template::build(cluster)?,
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    })
}
