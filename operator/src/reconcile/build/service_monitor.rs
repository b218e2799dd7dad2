//! What the Prometheus Operator reads: where the agents' metrics are.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::CustomResource;
use serde::{Deserialize, Serialize};

use super::metadata;
use crate::reconcile::validate::Validated;

/// The part of a ServiceMonitor that is used here. Its definition is the Prometheus Operator's.
#[derive(CustomResource, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "monitoring.coreos.com",
    version = "v1",
    kind = "ServiceMonitor",
    plural = "servicemonitors",
    namespaced,
    schema = "disabled",
    doc = "Where metrics are.",
    derive = "PartialEq"
)]
pub struct ServiceMonitorSpec {
    /// The Services.
    pub selector: LabelSelector,
    /// Their ports.
    pub endpoints: Vec<Endpoint>,
}

/// A port that serves metrics.
#[derive(Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
pub struct Endpoint {
    /// Its name in the Service.
    pub port: String,
    /// How often it is read.
    pub interval: String,
}

/// The ServiceMonitor; none where the spec wants none, or there are no agents.
#[must_use]
pub fn build(cluster: &Validated) -> Option<ServiceMonitor> {
    let monitoring = &cluster.spec.monitoring;
    if !monitoring.enabled || cluster.embedded() {
        return None;
    }
    let mut metadata = metadata(cluster, cluster.names.cluster.clone());
    let labels = metadata.labels.get_or_insert_default();
    for (key, value) in &monitoring.labels {
        labels.entry(key.clone()).or_insert_with(|| value.clone());
    }
    // The headless Service has the same labels, but no port of this name.
    let endpoint = Endpoint { port: "http-agent".to_owned(), interval: monitoring.interval.clone() };
    let selector = LabelSelector { match_labels: Some(cluster.names.selector()), ..LabelSelector::default() };
    Some(ServiceMonitor { metadata, spec: ServiceMonitorSpec { selector, endpoints: vec![endpoint] } })
}
