//! The list of hosts: what the agents read (`hosts.json`) and what applications and people read (`HA_HOSTS`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;
use serde::{Deserialize, Serialize};

use super::metadata;
use crate::crd::{RauthyClusterSpec, TlsMode};
use crate::names::{Names, SLOTS};
use crate::reconcile::dereference::Observed;
use crate::reconcile::validate::Validated;

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

/// The list that is in force: the observed one if it is one that the operator would write, else by the size of
/// the StatefulSet, else (nothing runs yet) by the spec. So a changed `spec.replicas` alone changes nothing.
#[must_use]
pub fn running(observed: &Observed, names: &Names, spec: &RauthyClusterSpec) -> HostList {
    let written = observed.hosts.as_ref().and_then(|map| map.data.as_ref()?.get(FILE)).and_then(|text| {
        let list: HostList = serde_json::from_str(text).ok()?;
        let size = i32::try_from(list.now.len()).ok().filter(|size| (1..=SLOTS).contains(size))?;
        (list.now == hosts(names, spec, size) && list.next.is_none()).then_some(list)
    });
    let size =
        || observed.statefulset.as_ref()?.spec.as_ref()?.replicas.filter(|size| (1..=SLOTS).contains(size));
    written.unwrap_or_else(|| HostList {
        epoch: 0,
        now: hosts(names, spec, size().unwrap_or(spec.replicas)),
        next: None,
    })
}

/// The ConfigMap.
///
/// # Errors
/// Never in practice: a list of strings has a JSON form.
pub fn build(cluster: &Validated) -> Result<ConfigMap, serde_json::Error> {
    let data = BTreeMap::from([
        (FILE.to_owned(), serde_json::to_string(&cluster.hosts)?),
        (LINE.to_owned(), cluster.hosts.now.join(",")),
    ]);
    Ok(ConfigMap {
        metadata: metadata(cluster, cluster.names.hosts()),
        data: Some(data),
        ..ConfigMap::default()
    })
}
