//! The list of hosts: what the agents read (`hosts.json`) and what applications and people read (`HA_HOSTS`).

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::containers::MIN_EPOCH;
use super::metadata;
use crate::crd::{RauthyCluster, RauthyClusterSpec, TlsMode};
use crate::names::{LIST_HASH, Names, SLOTS};
use crate::reconcile::dereference::Observed;
use crate::reconcile::validate::{Validated, belongs};

/// Key of the agents' list. One file, since several could straddle a swap of the volume.
pub const FILE: &str = "hosts.json";
/// Key of the list as a line of text.
pub const LINE: &str = "HA_HOSTS";

/// The agents' list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostList {
    /// Counted up by each change of the size.
    pub epoch: u64,
    /// The members now.
    pub now: Vec<String>,
    /// The members after the change that is under way.
    pub next: Option<Vec<String>>,
}

/// The first `size` hosts.
#[must_use]
pub fn hosts(names: &Names, spec: &RauthyClusterSpec, size: i32) -> Vec<String> {
    let scheme = match spec.tls.mode {
        TlsMode::Managed => "https",
        TlsMode::Disabled => "http",
    };
    (0..size).map(|ordinal| format!("{scheme}://{}", names.slot(ordinal, spec.cache.port))).collect()
}

/// The list that is in force. While anything of this cluster runs it is the observed one, if it is what the operator
/// wrote, else by the size in the status, else by the StatefulSet; so a changed `spec.replicas` alone changes nothing,
/// and an object that somebody changed or deleted does not change a cluster's size. The spec's only where nothing runs
/// yet.
#[must_use]
pub fn running(observed: &Observed, names: &Names, cluster: &RauthyCluster) -> HostList {
    let spec = &cluster.spec;
    let in_range = |size: &i32| (1..=SLOTS).contains(size);
    let set = observed.statefulset.as_ref().filter(|set| belongs(*set, cluster));
    let map = observed.hosts.as_ref().filter(|map| belongs(*map, cluster));
    let written = map.and_then(|map| {
        let text = map.data.as_ref()?.get(FILE)?;
        // A list that somebody edited is drift, whatever it says.
        map.annotations().get(LIST_HASH).filter(|written| **written == hash(text))?;
        let list: HostList = serde_json::from_str(text).ok()?;
        let size = i32::try_from(list.now.len()).ok().filter(in_range)?;
        (list.now == hosts(names, spec, size) && list.next.is_none()).then_some(list)
    });
    let epoch = written.as_ref().map_or_else(|| set.and_then(floor).unwrap_or(0), |list| list.epoch);
    let fixed = |size: i32| HostList { epoch, now: hosts(names, spec, size), next: None };
    if set.is_none() && observed.pods.is_empty() {
        return fixed(spec.replicas);
    }
    let status = || cluster.status.as_ref().and_then(|status| i32::try_from(status.members.len()).ok());
    let replicas = || set?.spec.as_ref()?.replicas;
    written.unwrap_or_else(|| {
        fixed(status().filter(in_range).or_else(|| replicas().filter(in_range)).unwrap_or(spec.replicas))
    })
}

/// The epoch that the StatefulSet was written with.
fn floor(set: &StatefulSet) -> Option<u64> {
    let pod = set.spec.as_ref()?.template.spec.as_ref()?;
    let containers = pod.containers.iter().chain(pod.init_containers.iter().flatten());
    let mut env = containers.flat_map(|container| container.env.iter().flatten());
    env.find(|variable| variable.name == MIN_EPOCH)?.value.as_ref()?.parse().ok()
}

fn hash(list: &str) -> String {
    Sha256::digest(list.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The ConfigMap.
///
/// # Errors
/// Never in practice: a list of strings has a JSON form.
pub fn build(cluster: &Validated) -> Result<ConfigMap, serde_json::Error> {
    let list = serde_json::to_string(&cluster.hosts)?;
    let mut metadata = metadata(cluster, cluster.names.hosts());
    metadata.annotations.get_or_insert_default().insert(LIST_HASH.to_owned(), hash(&list));
    let data = BTreeMap::from([(FILE.to_owned(), list), (LINE.to_owned(), cluster.hosts.now.join(","))]);
    Ok(ConfigMap { metadata, data: Some(data), ..ConfigMap::default() })
}
