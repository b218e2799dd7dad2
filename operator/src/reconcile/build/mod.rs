//! Step 3: every object as it shall be. Pure but for the randomness of tokens and keys, which are drawn only where
//! none exist.

mod containers;
pub mod embedded;
pub mod host_list;
pub mod network_policy;
pub mod pdb;
pub mod service;
pub mod service_account;
pub mod service_monitor;
pub mod statefulset;
pub mod template;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;

use self::service_monitor::ServiceMonitor;
use super::credentials::{self, Decision};
use super::dereference::Observed;
use super::validate::Validated;
use crate::crd::RauthyCluster;
use crate::names::{CLUSTER_UID, TEMPLATE_HASH};

/// Why the objects cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Something has no JSON form.
    #[error("an object cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// No randomness.
    #[error("the system gives no random numbers: {0}")]
    Random(String),
    /// A certificate cannot be made.
    #[error("a certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
    /// The CA's Secret is damaged.
    #[error(
        "the Secret `{0}` holds no usable CA ({1}); restore tls.crt and tls.key, or delete it to have a new CA made"
    )]
    Ca(String, String),
    /// The clock is far off.
    #[error("the clock of this machine is off: {0}")]
    Clock(String),
}

/// Everything that a cluster shall have.
#[derive(Clone, Debug)]
pub struct Desired {
    /// The pods' identity.
    pub service_account: ServiceAccount,
    /// The host list.
    pub hosts: ConfigMap,
    /// The members' names in DNS.
    pub headless: Service,
    /// The Service for clients.
    pub client: Service,
    /// Certificates and tokens.
    pub credentials: Decision,
    /// The disruption budget; none: remove it.
    pub pdb: Option<PodDisruptionBudget>,
    /// Who may reach the members' port; none: remove it.
    pub network_policy: Option<NetworkPolicy>,
    /// Where metrics are; none: remove it, or the API server has no such kind.
    pub monitor: Option<ServiceMonitor>,
    /// The pods.
    pub statefulset: StatefulSet,
}

impl Desired {
    /// Hash of what needs a restart of a pod when it changes.
    #[must_use]
    pub fn template_hash(&self) -> &str {
        let template = self.statefulset.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
        let hash = template.and_then(|meta| meta.annotations.as_ref()?.get(TEMPLATE_HASH));
        hash.map_or("", String::as_str)
    }
}

/// Builds everything.
///
/// # Errors
/// No randomness, or a damaged CA.
pub fn build(cluster: &Validated, observed: &Observed, now: Timestamp) -> Result<Desired, BuildError> {
    let credentials = credentials::decide(cluster, observed, now)?;
    let statefulset = statefulset::build(cluster, credentials.tls.as_ref())?;
    Ok(Desired {
        credentials,
        service_account: service_account::build(cluster),
        hosts: host_list::build(cluster)?,
        headless: service::headless(cluster),
        client: service::client(cluster),
        pdb: pdb::build(cluster),
        network_policy: network_policy::build(cluster),
        monitor: service_monitor::build(cluster).filter(|_| observed.monitors),
        statefulset,
    })
}

/// Metadata of an object of the cluster. Owner references remove it along with the cluster, without a finalizer
/// that would outlive an uninstalled operator. They do not block a deletion in the foreground, which would need a
/// permission of its own.
pub(super) fn metadata(cluster: &Validated, name: String) -> ObjectMeta {
    let mut labels = cluster.names.selector();
    labels.insert("app.kubernetes.io/component".to_owned(), "cache".to_owned());
    ObjectMeta {
        name: Some(name),
        namespace: Some(cluster.names.namespace.clone()),
        labels: Some(labels),
        annotations: Some([(CLUSTER_UID.to_owned(), cluster.uid.clone())].into()),
        owner_references: Some(vec![OwnerReference {
            api_version: RauthyCluster::api_version(&()).into_owned(),
            kind: RauthyCluster::kind(&()).into_owned(),
            name: cluster.names.cluster.clone(),
            uid: cluster.uid.clone(),
            controller: Some(true),
            block_owner_deletion: None,
        }]),
        ..ObjectMeta::default()
    }
}
