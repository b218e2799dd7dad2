//! One round for one cluster: dereference → validate → build → apply → status.
//!
//! Level-triggered: each step follows from what is observed and is idempotent, so that a crash between any two is
//! repaired by the next round.

pub mod apply;
pub mod build;
pub mod dereference;
pub mod events;
pub mod status;
pub mod validate;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::core::error_boundary::InvalidObject;
use kube::runtime::controller::Action;
use kube::{Api, Client, Resource, ResourceExt};

use self::apply::{Applied, ApplyError};
use self::build::BuildError;
use self::dereference::Observed;
use self::events::{Note, Publisher};
use self::validate::{Environment, Invalid, Validated};
use crate::agents::{self, Access, Report};
use crate::crd::{RauthyCluster, RauthyClusterStatus, TlsMode};
use crate::metrics::Metrics;
use crate::names::{MANAGER, Names};

/// Next look while something is still to come: the leader in the status is at most this old.
const SOON: Duration = Duration::from_secs(5);
/// Next look when all is well, or when only a person can go on.
pub const LATER: Duration = Duration::from_secs(15);
/// Longest that a round may take: requests to the API server have no time limit of their own.
const ROUND: Duration = Duration::from_secs(60);

/// Why a round ended early. The next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing could be read.
    #[error("the cluster's objects cannot be read: {}", apply::explain(.0))]
    Read(#[source] kube::Error),
    /// The cluster is wrong, or an object is in its way. The status says so already.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// An object cannot be built.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// An object cannot be written.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// The status cannot be written.
    #[error("the status cannot be written: {}", apply::explain(.0))]
    Status(#[source] kube::Error),
    /// The API server took too long.
    #[error("the round was not done within {} s; does the API server answer?", ROUND.as_secs())]
    Timeout,
}

/// What every round needs.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// What the operator itself was told.
    pub environment: Environment,
    /// Writes events.
    pub publisher: Publisher,
    /// Counts.
    pub metrics: Metrics,
    /// Failures in a row, per cluster.
    pub backoff: crate::controller::Backoff,
}

/// One round.
///
/// # Errors
/// What ended it early; the caller tries again, later each time.
pub async fn reconcile(
    guarded: Arc<DeserializeGuard<RauthyCluster>>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let cluster = match &guarded.0 {
        Ok(cluster) => cluster,
        Err(invalid) => {
            let reporting = unreadable(&guarded, invalid, &context);
            tokio::time::timeout(ROUND, reporting).await.map_err(|_| Error::Timeout)?;
            return Ok(Action::await_change());
        }
    };
    if cluster.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let begun = Instant::now();
    let round = tokio::time::timeout(ROUND, round(cluster, &context));
    let result = round.await.unwrap_or(Err(Error::Timeout));
    context.metrics.reconciled(result.is_ok(), begun.elapsed());
    if result.is_ok() {
        context.backoff.succeeded(&cluster.namespace().unwrap_or_default(), &cluster.name_any());
    }
    result
}

async fn round(cluster: &RauthyCluster, context: &Context) -> Result<Action, Error> {
    let names = Names::new(cluster.namespace().unwrap_or_default(), cluster.name_any());
    let observed = dereference::dereference(&context.client, cluster, &names).await.map_err(Error::Read)?;
    let validated = validate::validate(cluster, &observed, &context.environment);

    let (applied, failure) = match &validated {
        Ok(validated) if !cluster.spec.paused => match make(validated, &observed, context).await {
            Ok(applied) => (applied, None),
            Err(error) => (Applied::default(), Some(error)),
        },
        _ => (Applied::default(), None),
    };
    // Also when the spec is wrong: what runs goes on to run, and the status says so.
    let reports = ask(cluster, &names, &observed).await;
    let lasting = failure.as_ref().and_then(lasting);
    let facts = status::Facts {
        cluster,
        names: &names,
        observed: &observed,
        validated: validated.as_ref(),
        failure: lasting.as_deref(),
        reports: &reports,
        now: Timestamp::now(),
    };
    let new = status::status(&facts);
    context.metrics.observed(&names, &new);
    let notes = events::notes(cluster, &new, &applied);
    // Events before the status: a crash between the two repeats an event instead of losing it.
    context.publisher.publish(&cluster.object_ref(&()), notes).await;
    let written = write_status(&context.client, cluster, &new).await.map_err(Error::Status);

    // The first failure says most.
    if let Some(error) = failure {
        return Err(error);
    }
    validated?;
    written?;
    let soon = status::progressing(&new) || applied != Applied::default();
    Ok(Action::requeue(if soon { SOON } else { LATER }))
}

async fn make(validated: &Validated, observed: &Observed, context: &Context) -> Result<Applied, Error> {
    let desired = build::build(validated, observed, Timestamp::now())?;
    Ok(apply::apply(&context.client, &validated.names.namespace, desired, observed).await?)
}

async fn ask(cluster: &RauthyCluster, names: &Names, observed: &Observed) -> Vec<Report> {
    let Some(token) = validate::usable_token(cluster, names, observed) else { return Vec::new() };
    let encrypted = cluster.spec.tls.mode == TlsMode::Managed;
    let tls = observed.tls.clone().filter(|secret| encrypted && validate::belongs(secret, cluster));
    if encrypted && tls.is_none() {
        return Vec::new();
    }
    let access = Access { names: names.clone(), port: cluster.spec.cache.port, token, tls };
    agents::ask(&access, &observed.pods).await
}

/// What a person has to put right; not what passes by itself.
fn lasting(error: &Error) -> Option<String> {
    match error {
        Error::Build(error) => Some(error.to_string()),
        Error::Apply(error) if error.lasting() => Some(error.to_string()),
        _ => None,
    }
}

/// Writes the status if it differs. By server-side apply, so that a field without a value is removed.
async fn write_status(
    client: &Client,
    cluster: &RauthyCluster,
    new: &RauthyClusterStatus,
) -> Result<(), kube::Error> {
    if cluster.status.as_ref() == Some(new) {
        return Ok(());
    }
    let api: Api<RauthyCluster> = Api::namespaced(client.clone(), &cluster.namespace().unwrap_or_default());
    let patch = serde_json::json!({
        "apiVersion": RauthyCluster::api_version(&()),
        "kind": RauthyCluster::kind(&()),
        "status": new,
    });
    let params = PatchParams::apply(MANAGER).force();
    match api.patch_status(&cluster.name_any(), &params, &Patch::Apply(&patch)).await {
        Ok(_) => Ok(()),
        // Deleted meanwhile.
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}

/// An object that does not fit the types (an older CRD is installed): nothing is touched, and it says so.
async fn unreadable(guarded: &DeserializeGuard<RauthyCluster>, invalid: &InvalidObject, context: &Context) {
    let text = format!(
        "the operator cannot read this RauthyCluster ({}); is the CustomResourceDefinition of the same version as the \
         operator?",
        invalid.error
    );
    let note = Note { warning: true, reason: "Unreadable", text };
    context.publisher.publish(&guarded.object_ref(&()), vec![note]).await;
}
