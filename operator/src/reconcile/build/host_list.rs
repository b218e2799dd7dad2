//! The list of hosts: what the agents read (`hosts.json`) and what applications and people read (`HA_HOSTS`), and how far
//! a change of the size has come.
//!
//! ```text
//! ConfigMap ── hosts.json     {epoch, now, next}      the agents
//!           ├─ HA_HOSTS       now                     applications, people
//!           └─ annotations    size-change, list-hash  the operator
//! ```

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use rauthy_proto::cache::NodeStatus;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::containers::MIN_EPOCH;
use super::metadata;
use crate::agents::{Report, leader};
use crate::crd::{RauthyCluster, RauthyClusterSpec, TlsMode};
use crate::names::{LIST_HASH, Names, SIZE_CHANGE, SLOTS};
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

impl HostList {
    /// Number of members now.
    #[must_use]
    pub fn size(&self) -> i32 {
        count(&self.now)
    }

    /// Number of members after the change that is under way.
    #[must_use]
    pub fn next_size(&self) -> Option<i32> {
        self.next.as_deref().map(count)
    }
}

fn count(hosts: &[String]) -> i32 {
    i32::try_from(hosts.len()).unwrap_or(SLOTS)
}

/// How far a change of the size has come; kept beside the list, because a change that was sent must be finished
/// (rule 3f of the protocol), whatever becomes of the operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// The stage.
    pub stage: Stage,
    /// Pods that have to stay until the change has ended.
    pub pods: i32,
    /// Since when this list is announced, in seconds since 1970.
    pub since: i64,
}

/// Stages of a change of the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// The list names what comes next; it can still be taken back at once.
    Announced,
    /// The members were, or are about to be, told to change: it is finished before anything else.
    Committing,
    /// The list is the old one again, but the log may not have followed yet.
    TakenBack,
    /// All pods are stopped before any is started with another list (`engine: Embedded`).
    Stopping,
}

/// The list that is in force, and what is being done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Running {
    /// The list.
    pub list: HostList,
    /// The change that is under way.
    pub change: Option<Change>,
    /// It stands in the ConfigMap as the operator wrote it. What was put together from elsewhere is written before
    /// anything is done by it.
    pub written: bool,
}

impl Running {
    /// Number of pods that shall exist: as many as either list names, and those of a change that was taken back; none
    /// while all are stopped.
    #[must_use]
    pub fn pods(&self) -> i32 {
        if self.change.as_ref().is_some_and(|change| change.stage == Stage::Stopping) {
            return 0;
        }
        let kept = self.change.as_ref().map_or(0, |change| change.pods);
        self.list.size().max(self.list.next_size().unwrap_or(0)).max(kept).clamp(1, SLOTS)
    }
}

/// The first `size` hosts.
#[must_use]
pub fn hosts(names: &Names, spec: &RauthyClusterSpec, size: i32) -> Vec<String> {
    let scheme = match spec.tls.mode {
        TlsMode::Managed | TlsMode::CertManager | TlsMode::Secret => "https",
        TlsMode::Disabled => "http",
    };
    (0..size).map(|ordinal| format!("{scheme}://{}", names.slot(ordinal, spec.cache.port))).collect()
}

/// The list that is in force. While anything of this cluster runs it is the observed one, if it is what the operator
/// wrote, else what the leader's log says, else one by the size in the status or the StatefulSet; so a changed
/// `spec.replicas` alone changes nothing, and an object that somebody changed or deleted does not change a cluster's
/// size. The spec's only where nothing runs yet.
#[must_use]
pub fn running(observed: &Observed, names: &Names, cluster: &RauthyCluster, reports: &[Report]) -> Running {
    let spec = &cluster.spec;
    let set = observed.statefulset.as_ref().filter(|set| belongs(*set, cluster));
    let map = observed.hosts.as_ref().filter(|map| belongs(*map, cluster));
    let written = map.and_then(|map| written(map, names, spec));
    let fixed = |size: i32, epoch| Running {
        list: HostList { epoch, now: hosts(names, spec, size), next: None },
        change: None,
        written: false,
    };
    if set.is_none() && observed.pods.is_empty() {
        return match written {
            Some(running) if running.list.next.is_none() && running.list.size() == spec.replicas => running,
            // A number stands for one list only.
            Some(running) => fixed(spec.replicas, running.list.epoch + 1),
            None => fixed(spec.replicas, 0),
        };
    }
    written.unwrap_or_else(|| {
        // Nobody may be given an older number than any that was told before.
        let told =
            reports.iter().filter_map(|report| report.answer.as_ref().ok()).map(|node| node.host_epoch);
        let epoch = told.chain(set.and_then(floor)).max().unwrap_or(0);
        if let Some(running) = leader(reports).and_then(|(_, node)| of_the_log(node, names, spec, epoch)) {
            return running;
        }
        let in_range = |size: &i32| (1..=SLOTS).contains(size);
        let status = || cluster.status.as_ref().and_then(|status| i32::try_from(status.members.len()).ok());
        let replicas = || set?.spec.as_ref()?.replicas;
        let size = status().filter(in_range).or_else(|| replicas().filter(in_range)).unwrap_or(spec.replicas);
        fixed(size, epoch)
    })
}

/// What the operator wrote, if nobody has edited it.
fn written(map: &ConfigMap, names: &Names, spec: &RauthyClusterSpec) -> Option<Running> {
    let text = map.data.as_ref()?.get(FILE)?;
    let change = map.annotations().get(SIZE_CHANGE);
    // A list that somebody edited is drift, whatever it says.
    map.annotations().get(LIST_HASH).filter(|written| **written == hash(text, change))?;
    let list: HostList = serde_json::from_str(text).ok()?;
    // An earlier version of the operator wrote none.
    let change = change.map(|change| serde_json::from_str(change)).transpose().ok()?.flatten();
    let possible = |list: &[String]| {
        let size = count(list);
        (1..=SLOTS).contains(&size) && *list == *hosts(names, spec, size)
    };
    (possible(&list.now) && list.next.as_deref().is_none_or(possible)).then_some(Running {
        list,
        change,
        written: true,
    })
}

/// The list that a leader's configuration corresponds to, for when the operator's own is gone.
fn of_the_log(leader: &NodeStatus, names: &Names, spec: &RauthyClusterSpec, told: u64) -> Option<Running> {
    let configuration = leader.configuration.as_ref()?;
    let size = |slots: &[String]| {
        let size = count(slots);
        let expected: Vec<String> = (0..size).map(|o| names.slot(o, spec.cache.port)).collect();
        (size > 0 && expected.iter().all(|slot| slots.contains(slot))).then_some(size)
    };
    let now = size(&configuration.now)?;
    let next = if configuration.next.is_empty() { None } else { Some(size(&configuration.next)?) };
    let epoch = configuration.epoch.max(told);
    let change = next.map(|next| Change {
        // A newer list than that of the log can only be the one that takes the change back. Otherwise nobody knows any
        // more whether it was sent, and it is finished.
        stage: if epoch > configuration.epoch { Stage::TakenBack } else { Stage::Committing },
        pods: now.max(next),
        since: 0,
    });
    let next = next.filter(|_| epoch == configuration.epoch);
    let list =
        HostList { epoch, now: hosts(names, spec, now), next: next.map(|next| hosts(names, spec, next)) };
    Some(Running { list, change, written: false })
}

/// The epoch that the StatefulSet was written with.
pub(crate) fn floor(set: &StatefulSet) -> Option<u64> {
    let pod = set.spec.as_ref()?.template.spec.as_ref()?;
    let containers = pod.containers.iter().chain(pod.init_containers.iter().flatten());
    let mut env = containers.flat_map(|container| container.env.iter().flatten());
    env.find(|variable| variable.name == MIN_EPOCH)?.value.as_ref()?.parse().ok()
}

fn hash(list: &str, change: Option<&String>) -> String {
    let digest = Sha256::new().chain_update(list).chain_update(change.map_or("", String::as_str)).finalize();
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The ConfigMap.
///
/// # Errors
/// Never in practice: a list of strings has a JSON form.
pub fn build(cluster: &Validated) -> Result<ConfigMap, serde_json::Error> {
    let Running { list, change, .. } = &cluster.running;
    let text = serde_json::to_string(list)?;
    let change = serde_json::to_string(change)?;
    let mut metadata = metadata(cluster, cluster.names.hosts());
    let annotations = metadata.annotations.get_or_insert_default();
    annotations.insert(LIST_HASH.to_owned(), hash(&text, Some(&change)));
    annotations.insert(SIZE_CHANGE.to_owned(), change);
    let data = BTreeMap::from([(FILE.to_owned(), text), (LINE.to_owned(), list.now.join(","))]);
    Ok(ConfigMap { metadata, data: Some(data), ..ConfigMap::default() })
}
