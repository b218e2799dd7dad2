//! What a user writes.
//!
//! Defaults of nested fields are written out in full, since the API server checks rules against defaults. What
//! the schema cannot say is checked again in `reconcile::validate`.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    Affinity, EnvFromSource, EnvVar, Probe, ResourceRequirements, Toleration, TopologySpreadConstraint,
};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::status::RauthyClusterStatus;
use super::switches::{DisruptionSpec, NetworkPolicySpec};

/// Pods of Rauthy that share a replicated in-memory cache.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[kube(
    group = "rauthy.dev",
    version = "v1alpha1",
    kind = "RauthyCluster",
    plural = "rauthyclusters",
    singular = "rauthycluster",
    shortname = "rauthy",
    namespaced,
    doc = "Pods of Rauthy that share a replicated in-memory cache.",
    status = "RauthyClusterStatus",
    derive = "PartialEq",
    annotation("helm.sh/resource-policy", "keep"),
    cel,
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".spec.replicas", description = "Members asked for"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.ready", description = "Members that serve, of those asked for"),
    printcolumn(name = "Leader", type_ = "string", json_path = ".status.leader", description = "Pod that leads"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase", description = "The conditions in one word"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = Rule::new("self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')")
        .message("metadata.name must be at most 40 characters of a-z, 0-9 and '-', begin with a letter and end with a letter or digit: pods and their host names are called after it"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.cache.engine != 'Embedded' || has(self.rauthy)")
        .message("cache.engine Embedded needs an application that brings the cache: set rauthy.image, or leave cache.engine out")
)]
pub struct RauthyClusterSpec {
    /// Number of members, 1 to 9. Odd sizes are best: 4 members tolerate no more failures than 3, and 2 are less
    /// available than 1. It may be changed at any time, by any amount: the cluster goes on serving, and the condition
    /// ScalingBlocked says what a change waits for.
    #[serde(default = "replicas")]
    #[schemars(range(min = 1, max = 9))]
    pub replicas: i32,
    /// The application in each pod, beside the agent. Left out: a cluster of agents alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rauthy: Option<AppSpec>,
    /// The cache.
    #[serde(default)]
    pub cache: CacheSpec,
    /// The agent's container.
    #[serde(default)]
    pub agent: AgentSpec,
    /// The secret that the members share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AuthSpec>,
    /// Encryption between the members.
    #[serde(default)]
    pub tls: TlsSpec,
    /// What the pods get beside what the operator gives them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodSpec>,
    /// How Prometheus finds the agents' metrics.
    #[serde(default)]
    pub monitoring: MonitoringSpec,
    /// What a drain may take away.
    #[serde(default)]
    pub disruption: DisruptionSpec,
    /// Who may reach the members' port.
    #[serde(default)]
    pub network_policy: NetworkPolicySpec,
    /// Whether the operator leaves every object as it is. The status is still kept up to date.
    #[serde(default)]
    pub paused: bool,
}

fn replicas() -> i32 {
    3
}

/// The application in each pod.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AppSpec {
    /// Image that talks to the agent by the socket in RAUTHY_CACHE_SOCKET.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// When the image is pulled; left out: as Kubernetes decides by its tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<PullPolicy>,
    /// Program to run; left out: the image's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Arguments of the program.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Environment, beside HA_MODE, HA_HOSTS and RAUTHY_CACHE_SOCKET, which the operator sets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<EnvVar>,
    /// Environment from whole ConfigMaps or Secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env_from: Vec<EnvFromSource>,
    /// CPU and memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// Ports that the application listens on; also served by the Service `<name>-client`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub ports: Vec<AppPort>,
    /// Configuration files, mounted as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config: Option<AppConfig>,
    /// Whether the application is ready; without it, it is as soon as it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readiness_probe: Option<Probe>,
    /// Whether the application still works; without it, it does as long as it runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub liveness_probe: Option<Probe>,
    /// Seconds that the application needs to end. The agent gets 10 more.
    #[serde(default = "grace")]
    #[schemars(range(min = 1, max = 3600))]
    pub termination_grace_period_seconds: i64,
}

fn grace() -> i64 {
    45
}

/// A port of the application.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AppPort {
    /// Name, unique in the pod; `mesh` and `http-agent` are the agent's.
    #[schemars(length(min = 1, max = 15))]
    pub name: String,
    /// Number. 8081 and the cache's port are the agent's.
    #[schemars(range(min = 1, max = 65535))]
    pub container_port: i32,
}

/// Configuration files of the application.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AppConfig {
    /// Secret whose keys become files.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// Folder to mount it at.
    #[schemars(length(min = 2, max = 1024))]
    pub mount_path: String,
}

/// The cache.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CacheSpec {
    /// Who serves the cache. Agent: the agent in each pod. Embedded: the application itself, which links redhac; there is no
    /// agent then, so the operator knows neither leader nor members, a changed certificate restarts the pods one after
    /// another, and a change of the size stops all of them, empties the cache and needs the annotation
    /// `rauthy.dev/allow-cache-loss=true` on the RauthyCluster.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == oldSelf").message("cache.engine cannot change: the two do not understand each other. Delete the cluster and create it again"))]
    pub engine: Engine,
    /// Port on which members talk to each other.
    #[serde(default = "port")]
    #[schemars(range(min = 1, max = 65535))]
    #[x_kube(
        validation = Rule::new("self == oldSelf").message("cache.port cannot change: it is part of every member's name. Delete the cluster and create it again"),
        validation = Rule::new("self != 8081").message("cache.port cannot be 8081: the agent's probes and metrics listen there")
    )]
    pub port: i32,
    /// How long a member that lost the quorum keeps its values before it wipes them: ms, s or m, or 1h; from 3s to 1h.
    #[serde(default = "invalidate_after")]
    #[schemars(length(max = 10))]
    #[x_kube(
        validation = Rule::new("self.matches('^([1-9][0-9]{0,6}(ms|s|m)|1h)$') && duration(self) >= duration('3s') && duration(self) <= duration('1h')")
            .message("cache.invalidateAfter must be a time such as 10s, 3500ms or 1m, from 3s to 1h")
    )]
    pub invalidate_after: String,
    /// Most memory for values, in Mi or Gi, for example 128Mi or 1Gi; at least 8Mi. Writes beyond it are refused.
    #[serde(default = "max_memory")]
    #[schemars(length(max = 20))]
    #[x_kube(
        validation = Rule::new("self.matches('^(([89]|[1-9][0-9]{1,7})Mi|[1-9][0-9]{0,4}Gi)$')")
            .message("cache.maxMemory must be a whole number of Mi or Gi, such as 128Mi, and 8Mi at least")
    )]
    pub max_memory: String,
}

/// Who serves the cache.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Engine {
    /// The agent beside the application.
    #[default]
    Agent,
    /// The application itself.
    Embedded,
}

fn port() -> i32 {
    8000
}

fn invalidate_after() -> String {
    "10s".to_owned()
}

fn max_memory() -> String {
    "128Mi".to_owned()
}

impl Default for CacheSpec {
    fn default() -> Self {
        Self {
            engine: Engine::default(),
            port: port(),
            invalidate_after: invalidate_after(),
            max_memory: max_memory(),
        }
    }
}

/// The agent's container.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AgentSpec {
    /// Image of the agent. Left out: the operator's default at the time the cluster was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
    /// When the image is pulled; left out: as Kubernetes decides by its tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_pull_policy: Option<PullPolicy>,
    /// CPU and memory. A memory limit is derived from cache.maxMemory where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourceRequirements>,
    /// What is logged: error, warn, info, debug, trace, or a filter such as `info,rauthy_agent::mesh=debug`.
    #[serde(default = "log_level")]
    #[schemars(length(min = 1, max = 256))]
    #[x_kube(
        validation = Rule::new("self.matches('^((error|warn|info|debug|trace)|[A-Za-z_][A-Za-z0-9_:]*=(off|error|warn|info|debug|trace))(,((error|warn|info|debug|trace)|[A-Za-z_][A-Za-z0-9_:]*=(off|error|warn|info|debug|trace)))*$')")
            .message("agent.logLevel must be error, warn, info, debug or trace, or a list of those and of target=level such as info,rauthy_agent::mesh=debug")
    )]
    pub log_level: String,
}

fn log_level() -> String {
    "info".to_owned()
}

impl Default for AgentSpec {
    fn default() -> Self {
        Self { image: None, image_pull_policy: None, resources: None, log_level: log_level() }
    }
}

/// When an image is pulled.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// Each time a container starts.
    Always,
    /// When the node does not have it.
    IfNotPresent,
    /// Never: the node must have it.
    Never,
}

impl PullPolicy {
    /// As Kubernetes spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}

/// The secret that the members share.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AuthSpec {
    /// Secret with the key `token`, one token of at least 16 characters. It is copied into `<name>-cache-auth`, and
    /// followed when it changes, without a restart. Left out: a token is generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub token_secret_name: Option<String>,
}

/// Encryption between the members.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("(self.mode == 'CertManager') == has(self.certManager)")
        .message("tls.certManager with an issuerRef is needed for tls.mode CertManager, and has no place in another mode"),
    validation = Rule::new("(self.mode == 'Secret') == has(self.secret)")
        .message("tls.secret with the name of a Secret is needed for tls.mode Secret, and has no place in another mode")
)]
pub struct TlsSpec {
    /// Where the members' certificate comes from. Managed: from a CA of the operator's own for each cluster.
    /// CertManager: from cert-manager. Secret: from a Secret of yours. Disabled: no encryption, for clusters in a service
    /// mesh that brings its own. It may change between the first three while the cluster serves.
    #[serde(default)]
    #[x_kube(validation = Rule::new("(self == 'Disabled') == (oldSelf == 'Disabled')").message("tls.mode cannot change to or from Disabled: members with and without TLS cannot talk to each other. Create a new RauthyCluster under another name and delete this one"))]
    pub mode: TlsMode,
    /// For mode CertManager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cert_manager: Option<CertManagerSpec>,
    /// For mode Secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<TlsSecretSpec>,
}

impl TlsSpec {
    /// Name of the user's Secret, in mode Secret.
    #[must_use]
    pub fn secret_name(&self) -> Option<&str> {
        self.secret.as_ref().map(|secret| secret.name.as_str())
    }
}

/// Certificates by cert-manager.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CertManagerSpec {
    /// Who issues them. It must put its own certificate into ca.crt of the Secret, as a CA, Vault or self-signed root
    /// does: members accept nobody else's.
    pub issuer_ref: IssuerRef,
}

/// An issuer of cert-manager.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct IssuerRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Issuer (of the same namespace), ClusterIssuer, or a kind of an external issuer.
    #[serde(default = "issuer")]
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Group of that kind.
    #[serde(default = "issuer_group")]
    #[schemars(length(min = 1, max = 253))]
    pub group: String,
}

fn issuer() -> String {
    "Issuer".to_owned()
}

fn issuer_group() -> String {
    "cert-manager.io".to_owned()
}

/// A certificate of the user's own.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TlsSecretSpec {
    /// Secret with tls.crt, tls.key and ca.crt, in PEM format. The certificate must name each of `<name>-0.<name>` to
    /// `<name>-8.<name>` as DNS names, for servers and clients. It is copied, and followed when it changes.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Where the members' certificate comes from.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// From the cluster's own CA.
    #[default]
    Managed,
    /// From cert-manager.
    CertManager,
    /// From a Secret of the user's.
    Secret,
    /// There is none: members do not encrypt.
    Disabled,
}

/// How Prometheus finds the agents' metrics.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MonitoringSpec {
    /// Whether there is a ServiceMonitor, in clusters that know the kind (the Prometheus Operator brings it).
    #[serde(default = "monitored")]
    pub enabled: bool,
    /// Labels by which your Prometheus chooses its ServiceMonitors. Those that the operator sets win.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// How often the metrics are read.
    #[serde(default = "interval")]
    #[schemars(length(max = 10))]
    #[x_kube(validation = Rule::new("self.matches('^[1-9][0-9]{0,6}(ms|s|m|h)$')").message("monitoring.interval must be a time such as 30s or 1m"))]
    pub interval: String,
}

fn monitored() -> bool {
    true
}

fn interval() -> String {
    "30s".to_owned()
}

impl Default for MonitoringSpec {
    fn default() -> Self {
        Self { enabled: monitored(), labels: BTreeMap::new(), interval: interval() }
    }
}

/// What the pods get beside what the operator gives them.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PodSpec {
    /// Labels. Those that the operator sets win.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Annotations. Those that the operator sets win.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Nodes that pods may run on, by label.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that pods tolerate.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tolerations: Vec<Toleration>,
    /// Rules for the placement of pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affinity: Option<Affinity>,
    /// How pods spread; left out: over nodes and zones, as far as possible.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub topology_spread_constraints: Vec<TopologySpreadConstraint>,
    /// Priority of the pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_class_name: Option<String>,
    /// Secrets for pulling the images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<String>,
}
