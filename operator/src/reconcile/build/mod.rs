//! Step 3: every object as it shall be. Pure but for the randomness of tokens and keys, which are drawn only where
//! none exist.

mod containers;
pub mod host_list;
pub mod pdb;
pub mod secret;
pub mod service;
pub mod service_account;
pub mod statefulset;
pub mod template;
pub mod tls;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;

use super::dereference::Observed;
use super::validate::Validated;
use crate::crd::RauthyCluster;

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
    /// A new token, to be created only; none: there is one.
    pub token: Option<Secret>,
    /// A new CA, to be created only; none: there is one, or none is wanted.
    pub ca: Option<Secret>,
    /// A new certificate; none: the one in use is good, or none is wanted.
    pub tls: Option<Secret>,
    /// The disruption budget; none: remove it.
    pub pdb: Option<PodDisruptionBudget>,
    /// The pods.
    pub statefulset: StatefulSet,
}

/// Builds everything.
///
/// # Errors
/// No randomness, or a damaged CA.
pub fn build(cluster: &Validated, observed: &Observed, now: Timestamp) -> Result<Desired, BuildError> {
    let tls::Certificates { ca, leaf } = tls::build(cluster, observed, now)?;
    Ok(Desired {
        service_account: service_account::build(cluster),
        hosts: host_list::build(cluster)?,
        headless: service::headless(cluster),
        client: service::client(cluster),
        token: secret::build(cluster)?,
        ca,
        tls: leaf,
        pdb: pdb::build(cluster),
        statefulset: statefulset::build(cluster)?,
    })
}

/// Metadata of an object of the cluster. Owner references remove it along with the cluster, without a finalizer
/// that would outlive an uninstalled operator. They do not block a deletion in the foreground, which would need a
/// permission of its own.
fn metadata(cluster: &Validated, name: String) -> ObjectMeta {
    let mut labels = cluster.names.selector();
    labels.insert("app.kubernetes.io/component".to_owned(), "cache".to_owned());
    ObjectMeta {
        name: Some(name),
        namespace: Some(cluster.names.namespace.clone()),
        labels: Some(labels),
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
