//! The StatefulSet: stable names, all pods at once, and a pod restarts only when the operator deletes it.

use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy};
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

use super::{BuildError, metadata, template};
use crate::names::{IMAGE_IN_USE, UPGRADE};
use crate::reconcile::validate::Validated;

/// The StatefulSet; `certificate` is the Secret that pods mount.
///
/// # Errors
/// The template has no JSON form (never in practice).
pub fn build(cluster: &Validated, certificate: Option<&Secret>) -> Result<StatefulSet, BuildError> {
    let mut metadata = metadata(cluster, cluster.names.cluster.clone());
    if !cluster.embedded() {
        let image = (IMAGE_IN_USE.to_owned(), cluster.agent_image.image.clone());
        let upgrade = cluster.agent_image.asked.clone().map(|asked| (UPGRADE.to_owned(), asked));
        metadata.annotations.get_or_insert_default().extend([image].into_iter().chain(upgrade));
    }
    Ok(StatefulSet {
        metadata,
        spec: Some(StatefulSetSpec {
            replicas: Some(cluster.running.pods()),
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
            template: template::build(cluster, certificate)?,
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    })
}
