//! The two containers of a pod: the agent, and the application beside it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapKeySelector, Container, ContainerPort, EnvVar, EnvVarSource, ExecAction,
    HTTPGetAction, Lifecycle, LifecycleHandler, Probe, ResourceRequirements, SecurityContext, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::host_list;
use super::template::mount;
use crate::crd::spec::{AppSpec, PullPolicy};
use crate::names::{AGENT, APP, HTTP_PORT};
use crate::reconcile::validate::Validated;

/// Floor under the epoch of the host list, below which a member takes no part in a genesis.
pub(super) const MIN_EPOCH: &str = "HA_HOSTS_MIN_EPOCH";
const PROGRAM: &str = "/rauthy-agent";
const SOCKET: &str = "unix:///run/rauthy/cache.sock";
/// Where the certificates are mounted.
pub(super) const TLS_FOLDER: &str = "/etc/rauthy/tls";

/// The agent.
pub(super) fn agent(cluster: &Validated) -> Container {
    let mut mounts =
        vec![mount("hosts", "/etc/rauthy/hosts", true), mount("token", "/etc/rauthy/token", true), run()];
    if cluster.tls() {
        mounts.push(mount("tls", TLS_FOLDER, true));
    }
    Container {
        name: AGENT.to_owned(),
        image: Some(cluster.agent_image.image.clone()),
        image_pull_policy: policy(cluster.spec.agent.image_pull_policy),
        command: Some(vec![PROGRAM.to_owned(), "run".to_owned()]),
        env: Some(agent_env(cluster)),
        ports: Some(vec![port("mesh", cluster.spec.cache.port), port("http-agent", HTTP_PORT)]),
        resources: Some(agent_resources(cluster)),
        volume_mounts: Some(mounts),
        security_context: Some(restricted()),
        // "Socket open"; needs no network, so that a lost peer never keeps the application from starting.
        startup_probe: Some(probe("/startupz", 1, 60)),
        // The agent itself waits up to 5 s for its parts to answer.
        liveness_probe: Some(Probe { timeout_seconds: Some(6), ..probe("/livez", 10, 3) }),
        readiness_probe: Some(probe("/readyz", 1, 2)),
        lifecycle: Some(Lifecycle {
            // SIGTERM reaches a sidecar only when the application has ended; the leadership moves at once.
            pre_stop: Some(LifecycleHandler {
                exec: Some(ExecAction {
                    command: Some([PROGRAM, "ctl", "hand-over"].map(str::to_owned).into()),
                }),
                ..LifecycleHandler::default()
            }),
            ..Lifecycle::default()
        }),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    }
}

/// The agent as a native sidecar.
pub(super) fn sidecar(agent: Container) -> Container {
    Container { restart_policy: Some("Always".to_owned()), ..agent }
}

/// The application. It gets neither token nor keys: it speaks to its agent by the socket alone.
pub(super) fn app(cluster: &Validated, app: &AppSpec) -> Container {
    let mut env = vec![value("HA_MODE", "true"), hosts(cluster), value("RAUTHY_CACHE_SOCKET", SOCKET)];
    env.extend(app.env.iter().cloned());
    let ports = app.ports.iter().map(|given| port(&given.name, given.container_port)).collect();
    container(app, env, vec![run()], ports)
}

/// The line of the host list.
pub(super) fn hosts(cluster: &Validated) -> EnvVar {
    EnvVar {
        name: "HA_HOSTS".to_owned(),
        value_from: Some(EnvVarSource {
            config_map_key_ref: Some(ConfigMapKeySelector {
                name: cluster.names.hosts(),
                key: host_list::LINE.to_owned(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

/// The application's container, with what the user says and these.
pub(super) fn container(
    app: &AppSpec,
    env: Vec<EnvVar>,
    mut mounts: Vec<VolumeMount>,
    ports: Vec<ContainerPort>,
) -> Container {
    mounts.push(mount("tmp", "/tmp", false));
    mounts.extend(app.config.as_ref().map(|config| mount("config", &config.mount_path, true)));
    Container {
        name: APP.to_owned(),
        image: Some(app.image.clone()),
        image_pull_policy: policy(app.image_pull_policy),
        command: some(app.command.clone()),
        args: some(app.args.clone()),
        env: Some(env),
        env_from: some(app.env_from.clone()),
        ports: some(ports),
        resources: app.resources.clone(),
        volume_mounts: Some(mounts),
        security_context: Some(restricted()),
        readiness_probe: app.readiness_probe.clone(),
        liveness_probe: app.liveness_probe.clone(),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        ..Container::default()
    }
}

fn agent_env(cluster: &Validated) -> Vec<EnvVar> {
    let mut env = vec![
        value("HA_MODE", "true"),
        value("HA_HOSTS_FILE", "/etc/rauthy/hosts/hosts.json"),
        value(MIN_EPOCH, &cluster.running.list.epoch.to_string()),
        value("CACHE_AUTH_TOKEN_FILE", "/etc/rauthy/token/token"),
        value("CACHE_CLUSTER_NAME", &cluster.names.cluster_id()),
        value("CACHE_INVALIDATE_AFTER", &cluster.spec.cache.invalidate_after),
        value("CACHE_MAX_BYTES", &cluster.max_bytes.to_string()),
        value("CACHE_LISTEN", SOCKET),
        value("AGENT_HTTP", &format!(":{HTTP_PORT}")),
        value("LOG_LEVEL", &cluster.spec.agent.log_level),
        value("CACHE_TLS", if cluster.tls() { "true" } else { "false" }),
    ];
    env.extend(certificates(cluster));
    env
}

/// Where the certificates are; nothing without TLS.
pub(super) fn certificates(cluster: &Validated) -> impl Iterator<Item = EnvVar> {
    let files = [
        ("CACHE_TLS_SERVER_CERT", "tls.crt"),
        ("CACHE_TLS_SERVER_KEY", "tls.key"),
        ("CACHE_TLS_CLIENT_CERT", "tls.crt"),
        ("CACHE_TLS_CLIENT_KEY", "tls.key"),
        ("CACHE_TLS_CA_SERVER", "ca.crt"),
        ("CACHE_TLS_CA_CLIENT", "ca.crt"),
    ];
    let files = files.into_iter().filter(|_| cluster.tls());
    files.map(|(name, file)| value(name, &format!("{TLS_FOLDER}/{file}")))
}

/// What the user says, and a memory limit and request where nothing is said: the cache holds what it promised to
/// hold only if the memory is there.
fn agent_resources(cluster: &Validated) -> ResourceRequirements {
    let mut resources = cluster.spec.agent.resources.clone().unwrap_or_default();
    let requests = resources.requests.get_or_insert_with(BTreeMap::new);
    requests.entry("cpu".to_owned()).or_insert_with(|| Quantity("50m".to_owned()));
    if let Some(bytes) = cluster.derived_memory {
        let memory = Quantity(format!("{}Mi", bytes.div_ceil(1 << 20)));
        requests.entry("memory".to_owned()).or_insert_with(|| memory.clone());
        resources.limits.get_or_insert_with(BTreeMap::new).insert("memory".to_owned(), memory);
    }
    resources
}

/// What the Pod Security Standard `restricted` asks, with a read-only root.
fn restricted() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        run_as_non_root: Some(true),
        capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
        ..SecurityContext::default()
    }
}

fn probe(path: &str, period: i32, failures: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String("http-agent".to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period),
        timeout_seconds: Some(2),
        failure_threshold: Some(failures),
        ..Probe::default()
    }
}

fn run() -> VolumeMount {
    mount("run", "/run/rauthy", false)
}

pub(super) fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

pub(super) fn value(name: &str, value: &str) -> EnvVar {
    EnvVar { name: name.to_owned(), value: Some(value.to_owned()), value_from: None }
}

fn policy(policy: Option<PullPolicy>) -> Option<String> {
    policy.map(|policy| policy.as_str().to_owned())
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}
