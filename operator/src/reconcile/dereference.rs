//! Step 1: reads everything that the later steps look at. Straight from the API server, never from a watch's
//! cache: what was written a moment ago is seen.

use std::fmt::Debug;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt, api::DynamicObject};
use serde::de::DeserializeOwned;

use super::credentials::cert_manager;
use crate::crd::{RauthyCluster, TlsMode};
use crate::names::{CLUSTER_UID, Names};
use crate::reconcile::build::service_monitor::ServiceMonitor;

/// What exists.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// The pods' identity.
    pub service_account: Option<ServiceAccount>,
    /// The host list.
    pub hosts: Option<ConfigMap>,
    /// The members' names in DNS.
    pub headless: Option<Service>,
    /// The Service for clients.
    pub client: Option<Service>,
    /// The token that the members use, or those while it is replaced.
    pub token: Option<Secret>,
    /// That Secret as it was, where somebody deleted or edited it.
    pub kept_token: Option<Secret>,
    /// The user's Secret with a token, if the spec names one.
    pub given_token: Option<Secret>,
    /// The CA.
    pub ca: Option<Secret>,
    /// The members' certificate.
    pub tls: Option<Secret>,
    /// Where it comes from, if that is not the cluster's own authority: the user's Secret, or cert-manager's.
    pub source: Option<Secret>,
    /// What cert-manager was asked for.
    pub certificate: Option<DynamicObject>,
    /// The disruption budget.
    pub pdb: Option<PodDisruptionBudget>,
    /// Who may reach the members' port.
    pub network_policy: Option<NetworkPolicy>,
    /// Whether the API server has ServiceMonitors.
    pub monitors: bool,
    /// Where metrics are.
    pub monitor: Option<ServiceMonitor>,
    /// The pods' template.
    pub statefulset: Option<StatefulSet>,
    /// The pods of this cluster, in the order of their ordinals.
    pub pods: Vec<Pod>,
}

/// Name of the user's Secret with the token.
fn given_token(cluster: &RauthyCluster) -> Option<&str> {
    cluster.spec.auth.as_ref()?.token_secret_name.as_deref()
}

/// Reads what exists of a cluster; `monitors`: whether the API server has ServiceMonitors.
///
/// # Errors
/// The API server's.
pub async fn dereference(
    client: &Client,
    cluster: &RauthyCluster,
    names: &Names,
    monitors: bool,
) -> Result<Observed, kube::Error> {
    let tls = cluster.spec.tls.mode != TlsMode::Disabled;
    let token = names.token();
    let (hosts, client_service, ca, leaf) = (names.hosts(), names.client_service(), names.ca(), names.tls());
    let issued = names.issued();
    let given = given_token(cluster);
    let source = match cluster.spec.tls.mode {
        TlsMode::CertManager => Some(issued.as_str()),
        TlsMode::Secret => cluster.spec.tls.secret_name(),
        TlsMode::Managed | TlsMode::Disabled => None,
    };
    let (given_token, source, certificate) = tokio::try_join!(
        get::<Secret>(client, names, given.unwrap_or_default(), given.is_some()),
        get::<Secret>(client, names, source.unwrap_or_default(), source.is_some()),
        certificate(client, cluster, names),
    )?;
    let (
        service_account,
        hosts,
        headless,
        client_service,
        token,
        ca,
        leaf,
        pdb,
        network_policy,
        monitor,
        statefulset,
        pods,
    ) = tokio::try_join!(
        get::<ServiceAccount>(client, names, &names.cluster, true),
        get::<ConfigMap>(client, names, &hosts, true),
        get::<Service>(client, names, &names.cluster, true),
        get::<Service>(client, names, &client_service, true),
        get::<Secret>(client, names, &token, true),
        get::<Secret>(client, names, &ca, tls),
        get::<Secret>(client, names, &leaf, tls),
        get::<PodDisruptionBudget>(client, names, &names.cluster, true),
        get::<NetworkPolicy>(client, names, &names.cluster, true),
        get::<ServiceMonitor>(client, names, &names.cluster, monitors),
        get::<StatefulSet>(client, names, &names.cluster, true),
        pods(client, cluster, names),
    )?;
    Ok(Observed {
        service_account,
        hosts,
        headless,
        client: client_service,
        token,
        kept_token: None,
        given_token,
        ca,
        tls: leaf,
        source,
        certificate,
        pdb,
        network_policy,
        monitors,
        monitor,
        statefulset,
        pods,
    })
}

async fn get<K>(client: &Client, names: &Names, name: &str, wanted: bool) -> Result<Option<K>, kube::Error>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    if !wanted {
        return Ok(None);
    }
    Api::namespaced(client.clone(), &names.namespace).get_opt(name).await
}

/// What cert-manager was asked for; nothing is read, nor permission needed, where nothing is asked.
async fn certificate(
    client: &Client,
    cluster: &RauthyCluster,
    names: &Names,
) -> Result<Option<DynamicObject>, kube::Error> {
    if cluster.spec.tls.mode != TlsMode::CertManager {
        return Ok(None);
    }
    let resource = cert_manager::resource();
    let api: Api<DynamicObject> = Api::namespaced_with(client.clone(), &names.namespace, &resource);
    api.get_opt(&names.certificate()).await
}

/// The cluster's pods. Those of an earlier cluster of the same name, which may take a while to end, say nothing about
/// this one.
async fn pods(client: &Client, cluster: &RauthyCluster, names: &Names) -> Result<Vec<Pod>, kube::Error> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &names.namespace);
    let mut pods = api.list(&ListParams::default().labels(&names.selector_text())).await?.items;
    pods.retain(|pod| {
        pod.annotations().get(CLUSTER_UID).is_none_or(|uid| Some(uid) == cluster.metadata.uid.as_ref())
    });
    pods.sort_by_key(|pod| pod.metadata.name.as_deref().and_then(crate::names::ordinal));
    Ok(pods)
}
