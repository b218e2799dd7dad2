//! The operator's own pods, which all clusters share.

use std::time::Duration;

use anyhow::ensure;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::{Api, DeleteParams, ListParams};
use kube::{Client, ResourceExt as _};

use crate::scene::{KUBERNETES, container_id, is_ready};
use crate::tools::OPERATOR_NAMESPACE;
use crate::wait::eventually;

/// The operator's pods.
///
/// # Errors
/// The API server's.
pub async fn operators(client: &Client) -> anyhow::Result<Vec<Pod>> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    // Beside the pod of `helm test`.
    let ours = ListParams::default().labels("app.kubernetes.io/name=rauthy-operator");
    Ok(pods.list(&ours).await?.items)
}

/// The containers of the operator that run; none, when all were killed and Kubernetes waits before it starts them again.
///
/// # Errors
/// The API server's.
pub async fn operator_containers(client: &Client) -> anyhow::Result<Vec<String>> {
    let mut ids = Vec::new();
    for status in operators(client).await?.iter().flat_map(containers) {
        if status.state.as_ref().is_some_and(|state| state.running.is_some()) {
            ids.push(container_id(status)?.to_owned());
        }
    }
    Ok(ids)
}

/// The containers of a pod of the operator.
fn containers(pod: &Pod) -> impl Iterator<Item = &ContainerStatus> {
    pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten())
}

/// The operator's containers, all of them ready and none killed before: Kubernetes waits longer and longer before it
/// starts one again that ended several times, which an earlier test may have brought about.
///
/// # Errors
/// If none runs.
pub async fn rested_operators(client: &Client) -> anyhow::Result<Vec<String>> {
    let pods = operators(client).await?;
    let killed = |pod: &Pod| containers(pod).any(|status| status.restart_count > 0);
    if pods.iter().any(|pod| !is_ready(pod) || killed(pod)) {
        restart_operator(client).await?;
    }
    let ids = operator_containers(client).await?;
    ensure!(!ids.is_empty(), "no operator runs");
    Ok(ids)
}

/// Deletes the operator's pods and waits until as many others are Ready.
///
/// # Errors
/// If they do not become so.
pub async fn restart_operator(client: &Client) -> anyhow::Result<()> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
    let old: Vec<_> = operators(client).await?.iter().map(|p| p.name_any()).collect();
    for name in &old {
        pods.delete(name, &DeleteParams::default()).await?;
    }
    eventually("new operators are Ready", KUBERNETES + Duration::from_secs(30), async || {
        let now = operators(client).await?;
        let names: Vec<_> = now.iter().map(|p| (p.name_any(), is_ready(p))).collect();
        let fresh = names.iter().all(|(name, ready)| *ready && !old.contains(name));
        ensure!(fresh && names.len() == old.len(), "{names:?}, before {old:?}");
        anyhow::Ok(())
    })
    .await
}
