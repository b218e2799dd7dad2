//! What the operator answers. Only what stays the same while nothing happens: how far a member lags, or when it
//! was last heard, belongs in metrics, for an idle cluster must cause no writes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// State of a RauthyCluster, as last observed.
#[derive(KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RauthyClusterStatus {
    /// Generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The conditions in one word.
    #[serde(default)]
    pub phase: Phase,
    /// Members that serve, of those asked for, such as `3/3`.
    #[serde(default)]
    pub ready: String,
    /// Pods that exist.
    #[serde(default)]
    pub replicas: i32,
    /// Members that serve: pod ready, and the agent answers reads.
    #[serde(default)]
    pub ready_replicas: i32,
    /// Selector of the pods.
    #[serde(default)]
    pub selector: String,
    /// Pod that leads; absent: none is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// Term of the leader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub term: Option<i64>,
    /// Name of the cache's generation; a new one begins empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<String>,
    /// Number of the cache's generation: 1 for the first, one more each time that it began again, empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation_number: Option<i64>,
    /// Number of seats.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<i32>,
    /// The certificate of the members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<CertificateStatus>,
    /// One entry for each member.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["slot".into()]))]
    pub members: Vec<MemberStatus>,
    /// Available, Progressing, Degraded, TLSReady, ScalingBlocked, UpdateAvailable and Paused.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
}

/// The conditions in one word.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// Not every member has served yet.
    #[default]
    Creating,
    /// All members serve.
    Running,
    /// A quorum serves, but not everything is as it should be.
    Degraded,
    /// No quorum serves.
    Unavailable,
    /// It cannot be told: no agent answers the operator, although pods are ready.
    Unknown,
    /// The spec, or an object it names, is wrong; see the condition Degraded.
    Invalid,
}

/// The certificate of the members.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// When it expires (RFC 3339). In tls.mode Managed it is renewed when two thirds of its time are over.
    pub not_after: String,
    /// When the first of the authorities that members accept expires (RFC 3339).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority_not_after: Option<String>,
}

/// One member.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct MemberStatus {
    /// `host:port` in HA_HOSTS.
    pub slot: String,
    /// Its pod.
    pub pod: String,
    /// Free, Learner, Follower, Candidate, Leader, or Unknown when it does not answer; Embedded: it is inside the
    /// application, and nobody knows.
    pub role: String,
    /// Name of this life of the agent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// Whether it holds a seat and everything that is committed, as the leader judges.
    pub caught_up: bool,
    /// Whether its pod is ready and the agent answers reads.
    pub ready: bool,
    /// Why it is not ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Connected, or why its peers or the operator do not reach it; Embedded: nobody knows.
    pub link: String,
    /// Peers that it refused lately.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedPeer>,
    /// Whether its pod still runs an earlier template; it is replaced, one pod at a time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub outdated: bool,
    /// Restarts of the agent's container in this pod.
    #[serde(default)]
    pub restarts: i32,
    /// How the agent (or the application) last ended, if it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<LastExit>,
}

/// A peer that a member refused.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "camelCase")]
pub struct RefusedPeer {
    /// Its address.
    pub from: String,
    /// What it claimed to be; empty: nothing valid.
    #[serde(default)]
    pub claimed: String,
    /// Why it was refused.
    pub reason: String,
}

/// How a container last ended.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct LastExit {
    /// Container, `agent` or `rauthy`.
    pub container: String,
    /// Exit code; 78: its configuration is wrong. 128 + n: ended by signal n.
    pub code: i32,
    /// Its last message.
    pub message: String,
}
