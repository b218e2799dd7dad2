//! The pods' template. Its bytes change only when a user changes something: a new version of the operator
//! restarts nothing (golden test).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    ConfigMapVolumeSource, EmptyDirVolumeSource, KeyToPath, LocalObjectReference, PodSecurityContext,
    PodSpec, PodTemplateSpec, SeccompProfile, Secret, SecretVolumeSource, TopologySpreadConstraint, Volume,
    VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use sha2::{Digest, Sha256};

use super::{BuildError, containers, embedded, host_list};
use crate::names::{AGENT, CERTIFICATE, CLUSTER_UID, RESTART, TEMPLATE_HASH, TOKEN_KEY, UPGRADE};
use crate::reconcile::validate::Validated;

/// User and group of all containers.
const USER: i64 = 10001;
/// Seconds that the agent needs to drain after the application has ended.
const AGENT_GRACE: i64 = 10;
/// Seconds for a cluster of agents alone.
const CACHE_ONLY_GRACE: i64 = 15;

/// The template; `certificate` is the Secret that pods mount.
///
/// # Errors
/// It has no JSON form (never in practice).
pub fn build(cluster: &Validated, certificate: Option<&Secret>) -> Result<PodTemplateSpec, BuildError> {
    let mut given = cluster.spec.pod.clone().unwrap_or_default();
    let (init_containers, containers) = match &cluster.spec.rauthy {
        Some(app) if cluster.embedded() => (None, vec![embedded::app(cluster, app)]),
        // A native sidecar starts before the application and stops after it.
        Some(app) => {
            (Some(vec![containers::sidecar(containers::agent(cluster))]), vec![containers::app(cluster, app)])
        }
        None => (None, vec![containers::agent(cluster)]),
    };
    // An agent reads a changed certificate again; an application with the cache inside has to start again.
    if let Some(certificate) = certificate.filter(|_| cluster.embedded()) {
        given.annotations.insert(CERTIFICATE.to_owned(), embedded::fingerprint(certificate));
    }
    let grace = cluster.spec.rauthy.as_ref();
    let agent_grace = if cluster.embedded() { 0 } else { AGENT_GRACE };
    let mut labels = given.labels;
    labels.extend(cluster.names.selector());
    labels.insert("app.kubernetes.io/component".to_owned(), "cache".to_owned());

    let mut annotations = given.annotations;
    for (key, value) in [(RESTART, &cluster.restart), (UPGRADE, &cluster.agent_image.taken)] {
        // Those that the operator sets win, also by not being there.
        annotations.remove(key);
        annotations.extend(value.clone().map(|value| (key.to_owned(), value)));
    }

    let mut template = PodTemplateSpec {
        metadata: Some(ObjectMeta {
            labels: Some(labels),
            annotations: Some(annotations),
            ..ObjectMeta::default()
        }),
        spec: Some(PodSpec {
            init_containers,
            containers,
            service_account_name: Some(cluster.names.cluster.clone()),
            automount_service_account_token: Some(false),
            // Addresses of Services as variables: hundreds of them in a large namespace, and none is used.
            enable_service_links: Some(false),
            termination_grace_period_seconds: Some(grace.map_or(CACHE_ONLY_GRACE, |app| {
                app.termination_grace_period_seconds.saturating_add(agent_grace)
            })),
            security_context: Some(PodSecurityContext {
                run_as_non_root: Some(true),
                run_as_user: Some(USER),
                run_as_group: Some(USER),
                // The socket's folder and the mounted Secrets belong to this group.
                fs_group: Some(USER),
                fs_group_change_policy: Some("OnRootMismatch".to_owned()),
                seccomp_profile: Some(SeccompProfile {
                    type_: "RuntimeDefault".to_owned(),
                    ..SeccompProfile::default()
                }),
                ..PodSecurityContext::default()
            }),
            volumes: Some(volumes(cluster)),
            node_selector: some(given.node_selector),
            tolerations: some_list(given.tolerations),
            affinity: given.affinity,
            topology_spread_constraints: Some(if given.topology_spread_constraints.is_empty() {
                ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
                    .map(|key| spread(cluster, key))
                    .into()
            } else {
                given.topology_spread_constraints
            }),
            priority_class_name: given.priority_class_name,
            image_pull_secrets: some_list(
                given.image_pull_secrets.into_iter().map(|name| LocalObjectReference { name }).collect(),
            ),
            ..PodSpec::default()
        }),
    };
    let hash = hash(cluster, &template)?;
    let annotations = template.metadata.get_or_insert_default().annotations.get_or_insert_default();
    annotations.insert(TEMPLATE_HASH.to_owned(), hash);
    annotations.insert(CLUSTER_UID.to_owned(), cluster.uid.clone());
    Ok(template)
}

/// Hash of what needs a restart: not the epoch floor, which each pod only needs at its own start, and not the
/// image where the user left it to the operator.
fn hash(cluster: &Validated, template: &PodTemplateSpec) -> Result<String, BuildError> {
    let mut template = template.clone();
    let spec = template.spec.get_or_insert_default();
    for container in spec.containers.iter_mut().chain(spec.init_containers.iter_mut().flatten()) {
        if container.name != AGENT {
            continue;
        }
        if cluster.spec.agent.image.is_none() {
            container.image = None;
        }
        if let Some(env) = &mut container.env {
            env.retain(|variable| variable.name != containers::MIN_EPOCH);
        }
    }
    let digest = Sha256::digest(serde_json::to_vec(&template)?);
    Ok(digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

/// Spread evenly as far as possible, but rather run than not.
fn spread(cluster: &Validated, key: &str) -> TopologySpreadConstraint {
    TopologySpreadConstraint {
        max_skew: 1,
        topology_key: key.to_owned(),
        when_unsatisfiable: "ScheduleAnyway".to_owned(),
        label_selector: Some(LabelSelector {
            match_labels: Some(cluster.names.selector()),
            ..LabelSelector::default()
        }),
        ..TopologySpreadConstraint::default()
    }
}

fn volumes(cluster: &Validated) -> Vec<Volume> {
    let secret = |name: &str, secret: String, items: Option<Vec<KeyToPath>>| Volume {
        name: name.to_owned(),
        secret: Some(SecretVolumeSource {
            secret_name: Some(secret),
            items,
            // Read by the group alone.
            default_mode: Some(0o440),
            ..SecretVolumeSource::default()
        }),
        ..Volume::default()
    };
    let file = |key: &str| vec![KeyToPath { key: key.to_owned(), path: key.to_owned(), mode: None }];
    let memory = |name: &str, limit: &str| Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            medium: Some("Memory".to_owned()),
            size_limit: Some(Quantity(limit.to_owned())),
        }),
        ..Volume::default()
    };
    let agent = vec![
        Volume {
            name: "hosts".to_owned(),
            config_map: Some(ConfigMapVolumeSource {
                name: cluster.names.hosts(),
                items: Some(file(host_list::FILE)),
                ..ConfigMapVolumeSource::default()
            }),
            ..Volume::default()
        },
        memory("run", "1Mi"),
        secret("token", cluster.names.token(), Some(file(TOKEN_KEY))),
    ];
    let mut volumes = if cluster.embedded() { Vec::new() } else { agent };
    if cluster.tls() {
        volumes.push(secret("tls", cluster.names.tls(), None));
    }
    if let Some(app) = &cluster.spec.rauthy {
        // The root is read-only.
        volumes.push(Volume {
            name: "tmp".to_owned(),
            empty_dir: Some(EmptyDirVolumeSource::default()),
            ..Volume::default()
        });
        if let Some(config) = &app.config {
            volumes.push(secret("config", config.secret_name.clone(), None));
        }
    }
    volumes
}

/// A folder that is mounted. Never a `subPath`, which is not updated.
pub(super) fn mount(name: &str, path: &str, read_only: bool) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only: read_only.then_some(true),
        ..VolumeMount::default()
    }
}

fn some(map: BTreeMap<String, String>) -> Option<BTreeMap<String, String>> {
    (!map.is_empty()).then_some(map)
}

fn some_list<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
