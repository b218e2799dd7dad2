//! Step 2: from what a user wrote and what exists to something that can be built. Pure.

use k8s_openapi::api::core::v1::{ResourceRequirements, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};
use secrecy::SecretString;

use super::build::host_list::{self, Running};
use super::credentials::members::Members;
use super::credentials::tokens;
use super::dereference::Observed;
use super::image::{self, AgentImage};
use crate::agents::Report;
use crate::crd::spec::Engine;
use crate::crd::{RauthyCluster, RauthyClusterSpec, TlsMode};
use crate::names::{CLUSTER_UID, HTTP_PORT, MANAGED_BY, Names, RENEW, SLOTS};
use crate::quantity::{self, NotAQuantity};

/// Memory that the agent's log takes at most: its ring, the tail that a snapshot keeps for those who still load it, and
/// the snapshot's buffers.
const LOG: u64 = (2 * 64 + 16) << 20;
/// Memory for connections, snapshots under way and the program itself.
const OVERHEAD: u64 = 64 << 20;
/// Least memory for values.
const LEAST_MEMORY: u64 = 8 << 20;

/// What is wrong with a cluster; each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    /// The name cannot be that of pods and hosts.
    #[error(
        "metadata.name `{0}` must be at most 40 characters of a-z, 0-9 and '-', begin with a letter and end with a \
         letter or digit; create the cluster under another name"
    )]
    Name(String),
    /// The size is out of range.
    #[error("spec.replicas is {0}; 1 to {SLOTS} are possible")]
    Replicas(i32),
    /// A quantity does not read as one.
    #[error("{field}: {error}")]
    Quantity {
        /// Path of the field.
        field: String,
        /// What is wrong.
        error: NotAQuantity,
    },
    /// Too little memory for values.
    #[error("spec.cache.maxMemory is {0}; at least 8Mi are needed")]
    LittleMemory(String),
    /// The limit does not hold what the cache may take.
    #[error(
        "spec.agent.resources.limits.memory is {limit}, but a cache of {cache} needs at least {}Mi (values, 144Mi log, \
         64Mi overhead); raise the limit, leave it out, or lower spec.cache.maxMemory",
        needed >> 20
    )]
    MemoryLimit {
        /// The limit.
        limit: String,
        /// The cache's maximum.
        cache: String,
        /// Bytes that are needed.
        needed: u64,
    },
    /// A port is taken by the agent, or named twice.
    #[error(
        "spec.rauthy.ports: {0} is used by the agent or twice; `mesh`, `http-agent`, 8081 and the cache's port are taken"
    )]
    Port(String),
    /// A variable that the operator sets.
    #[error("spec.rauthy.env: {0} is set by the operator; remove it")]
    Env(String),
    /// A folder that the operator mounts.
    #[error(
        "spec.rauthy.config.mountPath `{0}` must be an absolute folder other than /, /tmp, /run/rauthy and /etc/rauthy/tls"
    )]
    MountPath(String),
    /// The named Secret of the token is missing.
    #[error("the Secret `{0}` of spec.auth.tokenSecretName does not exist; create it with the key `token`")]
    TokenMissing(String),
    /// The Secret of the token has no good token.
    #[error(
        "the Secret `{0}` must have the key `token` with at least 16 characters without blanks; put the token back, \
         for the operator never makes a new one while the Secret exists"
    )]
    Token(String),
    /// An object of that name belongs to somebody else.
    #[error(
        "{kind} `{name}` exists and belongs to {owner}, not to this RauthyCluster; the operator does not touch it. \
         Remove it or create the cluster under another name"
    )]
    Foreign {
        /// Kind of the object.
        kind: String,
        /// Name of the object.
        name: String,
        /// Who owns it.
        owner: String,
    },
    /// Nobody would serve the cache.
    #[error(
        "spec.cache.engine is Embedded, which needs an application that brings the cache: set spec.rauthy.image"
    )]
    EmbeddedWithoutApp,
    /// No image for the agent is known.
    #[error(
        "no image for the agent: set spec.agent.image, or AGENT_IMAGE on the operator (chart value agent.image)"
    )]
    NoImage,
    /// Not of the API server.
    #[error("the cluster has no {0}; it was not read from an API server")]
    Incomplete(&'static str),
}

/// What the operator itself was told.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// Image of the agent for clusters that name none.
    pub agent_image: Option<String>,
    /// Its namespace, if that is known.
    pub operator_namespace: Option<String>,
}

/// A cluster that can be built.
#[derive(Clone, Debug)]
pub struct Validated {
    /// Names of its objects.
    pub names: Names,
    /// Its uid, for owner references.
    pub uid: String,
    /// What the user wrote.
    pub spec: RauthyClusterSpec,
    /// Hosts and size as they run; the spec's only where nothing runs yet.
    pub running: Running,
    /// Image of the agent.
    pub agent_image: AgentImage,
    /// The request for a restart that the pods have, or are to get.
    pub restart: Option<String>,
    /// The operator's namespace, if that is known.
    pub operator_namespace: Option<String>,
    /// Most bytes of values.
    pub max_bytes: u64,
    /// Memory limit of the agent's container in bytes; none where the spec sets one.
    pub derived_memory: Option<u64>,
    /// Who has to confirm a change of certificates or tokens.
    pub members: Members,
    /// What the user asks to renew now, as it was written.
    pub renew: Option<String>,
}

impl Validated {
    /// Number of members that run, or shall run where nothing runs yet. A changed `spec.replicas` does not count.
    #[must_use]
    pub fn size(&self) -> i32 {
        self.running.list.size()
    }

    /// Whether the application has the cache inside, and there is no agent.
    #[must_use]
    pub fn embedded(&self) -> bool {
        self.spec.cache.engine == Engine::Embedded
    }

    /// Whether members encrypt.
    #[must_use]
    pub fn tls(&self) -> bool {
        self.spec.tls.mode != TlsMode::Disabled
    }
}

/// Checks a cluster.
///
/// # Errors
/// What is wrong and what to do about it.
pub fn validate(
    cluster: &RauthyCluster,
    observed: &Observed,
    environment: &Environment,
    reports: &[Report],
) -> Result<Validated, Invalid> {
    let names = Names::new(
        cluster.namespace().ok_or(Invalid::Incomplete("namespace"))?,
        cluster.metadata.name.clone().ok_or(Invalid::Incomplete("name"))?,
    );
    let uid = cluster.metadata.uid.clone().ok_or(Invalid::Incomplete("uid"))?;
    let spec = cluster.spec.clone();
    check_name(&names.cluster)?;
    if !(1..=SLOTS).contains(&spec.replicas) {
        return Err(Invalid::Replicas(spec.replicas));
    }
    check_owners(observed, &uid)?;
    check_issued(&spec, observed)?;
    check_app(&spec)?;

    let (max_bytes, derived_memory) = memory(&spec)?;
    let default = environment.agent_image.as_ref();
    let agent_image = match spec.cache.engine {
        Engine::Agent => image::choose(cluster, observed, default).ok_or(Invalid::NoImage)?,
        // There is no agent.
        Engine::Embedded => AgentImage::default(),
    };
    check_token(&spec, &names, observed)?;
    let running = host_list::running(observed, &names, cluster, reports);
    let restart = image::restart(cluster, observed);
    let members = match spec.cache.engine {
        Engine::Agent => Members::of(&observed.pods, reports),
        Engine::Embedded => Members::embedded(&observed.pods, observed.tls.as_ref()),
    };
    let renew = cluster.annotations().get(RENEW).cloned();
    Ok(Validated {
        names,
        uid,
        spec,
        running,
        agent_image,
        restart,
        operator_namespace: environment.operator_namespace.clone(),
        max_bytes,
        derived_memory,
        members,
        renew,
    })
}

fn check_name(name: &str) -> Result<(), Invalid> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let good = name.len() <= 40
        && name.chars().all(allowed)
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && !name.ends_with('-');
    if good { Ok(()) } else { Err(Invalid::Name(name.to_owned())) }
}

/// An object of the same name that somebody else made is never taken over: it would be overwritten now, and
/// deleted along with the cluster.
fn check_owners(observed: &Observed, uid: &str) -> Result<(), Invalid> {
    let Observed {
        service_account,
        hosts,
        headless,
        client,
        token,
        ca,
        tls,
        certificate,
        pdb,
        network_policy,
        monitor,
        statefulset,
        ..
    } = observed;
    own(service_account.as_ref(), uid)?;
    own(hosts.as_ref(), uid)?;
    own(headless.as_ref(), uid)?;
    own(client.as_ref(), uid)?;
    own(token.as_ref(), uid)?;
    own(ca.as_ref(), uid)?;
    own(tls.as_ref(), uid)?;
    own_kind("Certificate", certificate.as_ref(), uid)?;
    own(pdb.as_ref(), uid)?;
    own(network_policy.as_ref(), uid)?;
    own(monitor.as_ref(), uid)?;
    own(statefulset.as_ref(), uid)
}

fn owner<K: Resource>(object: &K) -> Option<&OwnerReference> {
    object.meta().owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
}

/// Whether an object belongs to the cluster of this uid. One whose owner reference somebody took away is known by the uid
/// that the operator wrote beside it, and gets the reference back.
pub(super) fn is_of<K: Resource>(object: &K, uid: &str) -> bool {
    match owner(object) {
        Some(owner) => owner.uid == uid,
        None => object
            .meta()
            .annotations
            .as_ref()
            .and_then(|all| all.get(CLUSTER_UID))
            .is_some_and(|of| of == uid),
    }
}

/// Whether an object belongs to the cluster, not to nobody or to an earlier cluster of the same name.
#[must_use]
pub fn belongs<K: Resource>(object: &K, cluster: &RauthyCluster) -> bool {
    cluster.metadata.uid.as_ref().is_some_and(|uid| is_of(object, uid))
}

fn own<K: Resource<DynamicType = ()>>(object: Option<&K>, uid: &str) -> Result<(), Invalid> {
    own_kind(&K::kind(&()), object, uid)
}

fn own_kind<K: Resource>(kind: &str, object: Option<&K>, uid: &str) -> Result<(), Invalid> {
    let Some(object) = object.filter(|object| !is_of(*object, uid)) else { return Ok(()) };
    let owner = owner(object).map_or("nobody".to_owned(), |owner| match owner.kind.as_str() {
        "RauthyCluster" => "an earlier RauthyCluster that is still being removed".to_owned(),
        kind => format!("{kind} `{}`", owner.name),
    });
    Err(Invalid::Foreign { kind: kind.to_owned(), name: object.name_any(), owner })
}

/// What cert-manager makes has no owner reference, but the label that the operator told it to put there.
fn check_issued(spec: &RauthyClusterSpec, observed: &Observed) -> Result<(), Invalid> {
    let issued = observed.source.as_ref().filter(|_| spec.tls.mode == TlsMode::CertManager);
    match issued.filter(|secret| !is_made_for_us(secret)) {
        Some(secret) => Err(Invalid::Foreign {
            kind: "Secret".to_owned(),
            name: secret.name_any(),
            owner: owner(secret)
                .map_or("nobody".to_owned(), |owner| format!("{} `{}`", owner.kind, owner.name)),
        }),
        None => Ok(()),
    }
}

/// Whether cert-manager made a Secret by what the operator asked for.
#[must_use]
pub fn is_made_for_us(secret: &Secret) -> bool {
    secret.labels().get(MANAGED_BY.0).is_some_and(|by| by == MANAGED_BY.1)
}

fn check_app(spec: &RauthyClusterSpec) -> Result<(), Invalid> {
    let embedded = spec.cache.engine == Engine::Embedded;
    let Some(app) = &spec.rauthy else {
        return if embedded { Err(Invalid::EmbeddedWithoutApp) } else { Ok(()) };
    };
    let (mut names, mut numbers) = (vec!["mesh"], vec![spec.cache.port]);
    if !embedded {
        names.push("http-agent");
        numbers.push(HTTP_PORT);
    }
    for port in &app.ports {
        if names.contains(&port.name.as_str()) || numbers.contains(&port.container_port) {
            return Err(Invalid::Port(format!("{} {}", port.name, port.container_port)));
        }
        names.push(&port.name);
        numbers.push(port.container_port);
    }
    for env in &app.env {
        let ours = match env.name.as_str() {
            "HA_MODE" | "HA_HOSTS" | "RAUTHY_CACHE_SOCKET" => true,
            "CACHE_AUTH_TOKEN" | "CACHE_TLS" | "CACHE_CLUSTER_NAME" => embedded,
            "CACHE_INVALIDATE_AFTER" | "CACHE_MAX_BYTES" => embedded,
            name => embedded && name.starts_with("CACHE_TLS_"),
        };
        if ours {
            return Err(Invalid::Env(env.name.clone()));
        }
    }
    if let Some(config) = &app.config {
        let path = config.mount_path.trim_end_matches('/');
        if !path.starts_with('/')
            || path.split('/').any(|part| part == "..")
            || matches!(path, "/tmp" | "/run/rauthy" | "/etc/rauthy/tls")
        {
            return Err(Invalid::MountPath(config.mount_path.clone()));
        }
    }
    check_resources("spec.rauthy.resources", app.resources.as_ref())
}

fn check_resources(field: &str, resources: Option<&ResourceRequirements>) -> Result<(), Invalid> {
    let Some(resources) = resources else { return Ok(()) };
    for (part, map) in [("limits", &resources.limits), ("requests", &resources.requests)] {
        for (name, value) in map.iter().flatten() {
            quantity::check(&value.0)
                .map_err(|error| Invalid::Quantity { field: format!("{field}.{part}.{name}"), error })?;
        }
    }
    Ok(())
}

/// Bytes for values, and the limit of the container where the spec sets none.
fn memory(spec: &RauthyClusterSpec) -> Result<(u64, Option<u64>), Invalid> {
    let max_bytes = quantity::bytes(&spec.cache.max_memory)
        .map_err(|error| Invalid::Quantity { field: "spec.cache.maxMemory".to_owned(), error })?;
    if max_bytes < LEAST_MEMORY {
        return Err(Invalid::LittleMemory(spec.cache.max_memory.clone()));
    }
    check_resources("spec.agent.resources", spec.agent.resources.as_ref())?;
    let limit = spec.agent.resources.as_ref().and_then(|r| r.limits.as_ref()).and_then(|l| l.get("memory"));
    let needed = max_bytes.saturating_add(LOG + OVERHEAD);
    match limit {
        None => Ok((max_bytes, Some(needed.saturating_add(max_bytes / 4)))),
        Some(limit) if quantity::bytes(&limit.0).is_ok_and(|limit| limit >= needed) => Ok((max_bytes, None)),
        Some(limit) => {
            Err(Invalid::MemoryLimit { limit: limit.0.clone(), cache: spec.cache.max_memory.clone(), needed })
        }
    }
}

/// A cluster begins with the token that is wanted; one that has a token goes on with it, whatever becomes of the user's
/// Secret.
fn check_token(spec: &RauthyClusterSpec, names: &Names, observed: &Observed) -> Result<(), Invalid> {
    let named = spec.auth.as_ref().and_then(|auth| auth.token_secret_name.clone());
    if observed.kept_token.is_some() {
        return Ok(());
    }
    match (&observed.token, named, &observed.given_token) {
        (Some(secret), ..) if tokens::read(secret).is_none() => Err(Invalid::Token(names.token())),
        (Some(_), ..) | (None, None, _) => Ok(()),
        (None, Some(named), None) => Err(Invalid::TokenMissing(named)),
        (None, Some(named), Some(given)) if tokens::given(given).is_none() => Err(Invalid::Token(named)),
        (None, Some(_), Some(_)) => Ok(()),
    }
}

/// The tokens by which the agents that run can be asked, whatever else may be wrong with the cluster.
#[must_use]
pub fn usable_tokens(cluster: &RauthyCluster, observed: &Observed) -> Option<Vec<SecretString>> {
    if let Some(kept) = &observed.kept_token {
        return tokens::read(kept);
    }
    let secret = observed.token.as_ref()?;
    belongs(secret, cluster).then(|| tokens::read(secret))?
}
