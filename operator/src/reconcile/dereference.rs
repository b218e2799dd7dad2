//! Step 1: reads everything that the later steps look at. Straight from the API server, never from a watch's
//! cache: what was written a moment ago is seen.

use std::fmt::Debug;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::crd::{RauthyCluster, TlsMode};
use crate::names::{CLUSTER_UID, Names};

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
    /// The token: generated, or the one that the spec names.
    pub token: Option<Secret>,
    /// The CA.
    pub ca: Option<Secret>,
    /// The members' certificate.
    pub tls: Option<Secret>,
    /// The disruption budget.
    pub pdb: Option<PodDisruptionBudget>,
    /// The pods' template.
    pub statefulset: Option<StatefulSet>,
    /// The pods of this cluster, in the order of their ordinals.
    pub pods: Vec<Pod>,
}

/// Name of the Secret that holds the token.
#[must_use]
pub fn token_secret(cluster: &RauthyCluster, names: &Names) -> String {
    let given = cluster.spec.auth.as_ref().and_then(|auth| auth.token_secret_name.clone());
    given.unwrap_or_else(|| names.token())
}

/// Reads what exists of a cluster.
///
/// # Errors
/// The API server's.
pub async fn dereference(
    client: &Client,
    cluster: &RauthyCluster,
    names: &Names,
) -> Result<Observed, kube::Error> {
    let tls = cluster.spec.tls.mode == TlsMode::Managed;
    let token = token_secret(cluster, names);
    let (hosts, client_service, ca, leaf) = (names.hosts(), names.client_service(), names.ca(), names.tls());
    let (service_account, hosts, headless, client_service, token, ca, leaf, pdb, statefulset, pods) = tokio::try_join!(
        get::<ServiceAccount>(client, names, &names.cluster, true),
        get::<ConfigMap>(client, names, &hosts, true),
        get::<Service>(client, names, &names.cluster, true),
        get::<Service>(client, names, &client_service, true),
        get::<Secret>(client, names, &token, true),
        get::<Secret>(client, names, &ca, tls),
        get::<Secret>(client, names, &leaf, tls),
        get::<PodDisruptionBudget>(client, names, &names.cluster, true),
        get::<StatefulSet>(client, names, &names.cluster, true),
        pods(client, cluster, names),
    )?;
    Ok(Observed {
        service_account,
        hosts,
        headless,
        client: client_service,
        token,
        ca,
        tls: leaf,
        pdb,
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
