//! One round for one cluster: dereference → ask the agents → validate → size → build (certificates and tokens among it) →
//! apply → touch → roll → status.
//!
//! Level-triggered: each step follows from what is observed and is idempotent, so that a crash between any two is
//! repaired by the next round.

pub mod apply;
pub mod build;
pub mod credentials;
pub mod dereference;
pub mod disruption;
pub mod events;
pub mod foreign;
pub mod image;
pub mod loss;
pub mod monitors;
pub mod pods;
pub mod roll;
pub mod scale;
pub mod status;
pub mod touch;
mod unreadable;
pub mod validate;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use kube::{Api, Client, Resource, ResourceExt};

use self::apply::{Applied, ApplyError};
use self::build::BuildError;
use self::build::host_list::{Running, Stage};
use self::dereference::Observed;
use self::events::Publisher;
use self::monitors::Monitors;
use self::roll::Acted;
use self::scale::{Answer, Progress, Step};
use self::touch::Want;
use self::validate::{Environment, Invalid, Validated};
use crate::agents::{self, Access, Agents, Report};
use crate::crd::spec::Engine;
use crate::crd::{RauthyCluster, RauthyClusterStatus, TlsMode};
use crate::failpoint;
use crate::metrics::Metrics;
use crate::names::{ALLOW_CACHE_LOSS, MANAGER, Names};

/// Next look while the size changes, or certificates or tokens are replaced.
const AT_ONCE: Duration = Duration::from_secs(1);
/// A rotation that waits is looked at so often for this long after a step, in seconds.
const PATIENCE: i64 = 60;
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
    /// The way to the agents.
    pub agents: Box<dyn Agents>,
    /// Whether there are ServiceMonitors.
    pub monitors: Monitors,
    /// Counts.
    pub metrics: Metrics,
    /// Failures in a row, per cluster.
    pub backoff: crate::controller::Backoff,
    /// The tokens of the clusters, against their loss.
    pub kept: credentials::keep::Kept,
    /// How long the API server wants to be left alone.
    pub throttle: Arc<crate::throttle::Throttle>,
}

/// One round.
///
/// # Errors
/// What ended it early; the caller tries again, later each time.
pub async fn reconcile(
    guarded: Arc<DeserializeGuard<RauthyCluster>>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    let begun = Instant::now();
    let look = tokio::time::timeout(ROUND, Box::pin(look(&guarded, &context)));
    let result = look.await.unwrap_or(Err(Error::Timeout));
    context.metrics.reconciled(result.is_ok(), begun.elapsed());
    if result.is_ok() {
        context.backoff.succeeded(&guarded.namespace().unwrap_or_default(), &guarded.name_any());
    }
    result
}

/// Reads the cluster itself. What the watch has seen only says which one to look at: it may lag behind what another
/// replica, or this one, has done already, and a request that was followed must not be followed again.
async fn look(seen: &DeserializeGuard<RauthyCluster>, context: &Context) -> Result<Action, Error> {
    let namespace = seen.namespace().unwrap_or_default();
    let api: Api<DeserializeGuard<RauthyCluster>> = Api::namespaced(context.client.clone(), &namespace);
    let Some(guarded) = api.get_opt(&seen.name_any()).await.map_err(Error::Read)? else {
        // Deleted; its objects follow by their owner references.
        return Ok(Action::await_change());
    };
    match &guarded.0 {
        Ok(cluster) if cluster.metadata.deletion_timestamp.is_some() => Ok(Action::await_change()),
        Ok(cluster) => round(cluster, context).await,
        Err(invalid) => {
            unreadable::tell(&guarded.object_ref(&()), unreadable::misfit(invalid), context).await?;
            Ok(Action::requeue(LATER))
        }
    }
}

async fn round(cluster: &RauthyCluster, context: &Context) -> Result<Action, Error> {
    let names = Names::new(cluster.namespace().unwrap_or_default(), cluster.name_any());
    let monitors = context.monitors.served(&context.client).await;
    // Each step in a box: unoptimised, all of them in one future are too much for the stack of a thread.
    let observed = Box::pin(dereference::dereference(&context.client, cluster, &names, monitors));
    let mut observed = match observed.await {
        Ok(observed) => observed,
        Err(error) => {
            if let Some(text) = unreadable::forbidden(&error) {
                unreadable::tell(&cluster.object_ref(&()), text, context).await?;
            }
            return Err(Error::Read(error));
        }
    };
    let uid = cluster.metadata.uid.as_deref().unwrap_or_default();
    let token = observed.token.as_ref();
    // That of somebody else says nothing, and is not touched.
    if token.is_none_or(|token| validate::belongs(token, cluster)) {
        observed.kept_token = context.kept.look(&names, uid, token);
    }
    // Also when the spec is wrong: what runs goes on to run, and the status says so.
    let access = access(cluster, &names, &observed);
    let reports = match &access {
        Some(access) => context.agents.ask(access, &observed.pods).await,
        None => Vec::new(),
    };
    let mut validated = validate::validate(cluster, &observed, &context.environment, &reports);

    let mut scaling = Progress::Rest;
    let mut rolling = Acted::default();
    let mut secured = credentials::Progress::default();
    let (applied, failure) = match &mut validated {
        Ok(validated) if !cluster.spec.paused => {
            let step = match validated.embedded() {
                true => resize_embedded(validated, &observed, cluster),
                false => resize(validated, &observed, &reports, access.as_ref(), context).await,
            };
            let before = std::mem::replace(&mut validated.running, step.running);
            scaling = step.progress;
            match Box::pin(make(validated, &observed, &reports, &mut secured, context)).await {
                Ok((applied, template)) => {
                    passed(&before, &validated.running).await;
                    match replace(validated, &observed, &reports, access.as_ref(), &template, context).await {
                        Ok(acted) => {
                            rolling = acted;
                            (applied, None)
                        }
                        Err(error) => (applied, Some(error)),
                    }
                }
                Err(error) => (Applied::default(), Some(error)),
            }
        }
        _ => (Applied::default(), None),
    };
    let lasting = failure.as_ref().and_then(lasting);
    let facts = status::Facts {
        cluster,
        names: &names,
        observed: &observed,
        validated: validated.as_ref(),
        failure: lasting.as_deref(),
        reports: &reports,
        scaling: &scaling,
        rolling: &rolling.step,
        credentials: &secured,
        now: Timestamp::now(),
    };
    let new = status::status(&facts);
    context.metrics.observed(&names, &new);
    let mut notes = events::notes(cluster, &new, &applied);
    notes.extend(rolling.notes);
    notes.extend(loss::note(cluster, &new, &reports));
    notes.extend(events::steps(&secured));
    notes.extend(disruption::note(&observed, Timestamp::now()));
    // Events before the status: a crash between the two repeats an event instead of losing it.
    context.publisher.publish(&cluster.object_ref(&()), notes).await;
    let written = write_status(&context.client, cluster, &new).await.map_err(Error::Status);

    let rotating = secured.moving() && facts.now.as_second() < secured.since.saturating_add(PATIENCE);
    // The first failure says most.
    if let Some(error) = failure {
        return Err(error);
    }
    validated?;
    written?;
    if rotating || matches!(scaling, Progress::Moving(_)) || rolling.step.is_brief() {
        return Ok(Action::requeue(AT_ONCE));
    }
    let soon = status::progressing(&new) || applied != Applied::default();
    Ok(Action::requeue(if soon { SOON } else { LATER }))
}

async fn make(
    validated: &Validated,
    observed: &Observed,
    reports: &[Report],
    secured: &mut credentials::Progress,
    context: &Context,
) -> Result<(Applied, String), Error> {
    let now = Timestamp::now();
    let desired = build::build(validated, observed, now)?;
    let template = desired.template_hash().to_owned();
    *secured = desired.credentials.progress.clone();
    // Steps are told when they are taken.
    let steps = std::mem::take(&mut secured.steps);
    if let Some(token) = &desired.credentials.token {
        context.kept.writing(&validated.names, token);
    }
    let (names, uid) = (&validated.names, validated.uid.as_str());
    let applied = apply::apply(&context.client, names, uid, desired, observed).await?;
    secured.steps = steps;
    let credentials = secured.wanted.as_ref().map(|wanted| Want::Credentials(wanted, secured.written));
    for want in [Some(Want::List(validated.running.list.epoch)), credentials].into_iter().flatten() {
        let (pods, namespace) = (&observed.pods, &validated.names.namespace);
        touch::touch(&context.client, namespace, pods, reports, want, now.as_second()).await?;
    }
    Ok((applied, template))
}

/// Where tests end the operator: a step of a change of the size is written, and nothing has come of it yet.
async fn passed(before: &Running, now: &Running) {
    let stage = |running: &Running| running.change.as_ref().map(|change| change.stage);
    match (stage(before), stage(now)) {
        (before, now) if before == now => {}
        (_, Some(Stage::Announced)) => failpoint::pass("scale-announced").await,
        (_, Some(Stage::Committing)) => failpoint::pass("scale-committing").await,
        (Some(Stage::Committing), None) => failpoint::pass("scale-committed").await,
        _ => {}
    }
}

/// Replaces a pod of an earlier template, if it is time for it.
async fn replace(
    validated: &Validated,
    observed: &Observed,
    reports: &[Report],
    access: Option<&Access>,
    template: &str,
    context: &Context,
) -> Result<Acted, Error> {
    let step = roll::step(&roll::Facts {
        names: &validated.names,
        port: validated.spec.cache.port,
        running: &validated.running,
        template,
        statefulset: observed.statefulset.as_ref(),
        pods: &observed.pods,
        reports,
    });
    let (namespace, agents) = (&validated.names.namespace, context.agents.as_ref());
    Ok(roll::act(step, &context.client, namespace, agents, access, &observed.pods).await?)
}

/// Asks the leader what there is to ask, and takes the next step of a change of the size.
async fn resize(
    validated: &Validated,
    observed: &Observed,
    reports: &[Report],
    access: Option<&Access>,
    context: &Context,
) -> Step {
    let facts = scale::Facts {
        running: &validated.running,
        spec: &validated.spec,
        names: &validated.names,
        statefulset: observed.statefulset.as_ref(),
        reports,
        now: Timestamp::now().as_second(),
    };
    let mut answer = None;
    if let (Some(change), Some(access), Some((leader, _))) =
        (scale::question(&facts), access, agents::leader(reports))
    {
        let pod = observed.pods.iter().find(|pod| pod.metadata.name.as_ref() == Some(&leader));
        let reply = match pod {
            Some(pod) => {
                context.agents.set_size(access, pod, change).await.map_err(|error| error.to_string())
            }
            None => Err(format!("the pod {leader} is gone")),
        };
        failpoint::pass("scale-asked").await;
        answer = Some(Answer::of(reply));
    }
    scale::step(&facts, answer.as_ref())
}

/// The same where the application has the cache inside: there is nobody to ask.
fn resize_embedded(validated: &Validated, observed: &Observed, cluster: &RauthyCluster) -> Step {
    let facts = scale::Facts {
        running: &validated.running,
        spec: &validated.spec,
        names: &validated.names,
        statefulset: observed.statefulset.as_ref(),
        reports: &[],
        now: Timestamp::now().as_second(),
    };
    let allowed = cluster.annotations().get(ALLOW_CACHE_LOSS).is_some_and(|value| value == "true");
    scale::embedded::step(&facts, allowed, observed.pods.len())
}

/// What it takes to ask the agents; none where there is no usable token or certificate yet.
fn access(cluster: &RauthyCluster, names: &Names, observed: &Observed) -> Option<Access> {
    if cluster.spec.cache.engine == Engine::Embedded {
        return None;
    }
    let tokens = validate::usable_tokens(cluster, observed)?;
    let encrypted = cluster.spec.tls.mode != TlsMode::Disabled;
    let tls = observed.tls.clone().filter(|secret| encrypted && validate::belongs(secret, cluster));
    if encrypted && tls.is_none() {
        return None;
    }
    Some(Access { names: names.clone(), port: cluster.spec.cache.port, tokens, tls })
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
