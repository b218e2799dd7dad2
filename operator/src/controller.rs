//! What starts a round: a cluster or one of its objects changed, or its time has come. A cluster that fails is
//! tried again later each time, and holds up nobody else.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::runtime::controller::{Action, Error as ControllerError};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::Event;
use kube::runtime::{Controller, WatchStreamExt, reflector, watcher};
use kube::{Api, Client, Resource, ResourceExt};

use crate::crd::RauthyCluster;
use crate::names::{MANAGED_BY, Names};
use crate::reconcile::{Context, Error, LATER, reconcile};

type Guarded = DeserializeGuard<RauthyCluster>;

/// First delay after a failure; doubled by each further one.
const FIRST: Duration = Duration::from_secs(1);
/// Rounds that run when it is stopped may take this long; the pod has 30 s.
const LAST_ROUNDS: Duration = Duration::from_secs(20);
/// Longest delay.
const LONGEST: Duration = Duration::from_secs(120);

/// Failures in a row, per cluster.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: Mutex<HashMap<(String, String), u32>>,
    jitter: RandomState,
}

impl Backoff {
    /// Counts a failure and says how long to wait.
    pub fn failed(&self, namespace: &str, name: &str) -> Duration {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry((namespace.to_owned(), name.to_owned())).or_default();
        *count = count.saturating_add(1);
        let delay = FIRST.saturating_mul(1 << (*count - 1).min(10)).min(LONGEST);
        // Up to a fifth less, so that many clusters that fail for one reason do not come back all at once.
        let spread = self.jitter.hash_one((namespace, name, *count)) % 200;
        delay.mul_f64(1.0 - f64::from(u32::try_from(spread).unwrap_or(0)) / 1000.0)
    }

    /// Forgets the failures of a cluster.
    pub fn succeeded(&self, namespace: &str, name: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(&(namespace.to_owned(), name.to_owned()));
    }
}

/// Runs until `stop` resolves; rounds that have begun end first, if they do so soon. Without `namespaces` it looks at all of
/// them.
pub async fn run(
    context: Arc<Context>,
    namespaces: &[String],
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let scopes: Vec<Option<String>> = match namespaces {
        [] => vec![None],
        some => some.iter().cloned().map(Some).collect(),
    };
    let stop = stop.shared();
    // Each by itself: one that cannot be read holds up no other.
    let controllers = scopes.into_iter().map(|scope| controller(context.clone(), scope, stop.clone()));
    tokio::select! {
        _ = futures::future::join_all(controllers) => {}
        // A controller that could never list its clusters does not end by itself.
        () = async { stop.clone().await; tokio::time::sleep(LAST_ROUNDS).await } => {}
    }
}

async fn controller(
    context: Arc<Context>,
    scope: Option<String>,
    stop: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let client = context.client.clone();
    // Only what the operator made, so that its memory does not grow with the cluster.
    let ours = watcher::Config::default().labels(&format!("{}={}", MANAGED_BY.0, MANAGED_BY.1));
    let (clusters, writer) = reflector::store();
    let mut seen = Seen::default();
    let changes = watcher(within::<Guarded>(&client, scope.as_deref()), watcher::Config::default())
        .default_backoff()
        .reflect(writer)
        .filter_map(move |event| futures::future::ready(seen.news(event)));
    let scope = scope.as_deref();
    Controller::for_stream(changes, clusters)
        .owns(within::<StatefulSet>(&client, scope), ours.clone())
        .owns(within::<Service>(&client, scope), ours.clone())
        .owns(within::<ConfigMap>(&client, scope), ours.clone())
        .owns(within::<ServiceAccount>(&client, scope), ours.clone())
        .owns(within::<NetworkPolicy>(&client, scope), ours.clone())
        .owns(within::<PodDisruptionBudget>(&client, scope), ours.clone())
        // Pods belong to the StatefulSet; their labels say to which cluster.
        .watches(within::<Pod>(&client, scope), ours, cluster_of_pod)
        .graceful_shutdown_on(stop)
        .run(reconcile, failed, context.clone())
        .for_each(|result| {
            match result {
                Ok((cluster, _)) => tracing::debug!(%cluster, "reconciled"),
                // It was deleted, and its objects follow by their owner references.
                Err(ControllerError::ObjectNotFound(cluster)) => {
                    let namespace = cluster.namespace.unwrap_or_default();
                    context.backoff.succeeded(&namespace, &cluster.name);
                    let names = Names::new(namespace, cluster.name);
                    context.metrics.forget(&names);
                    context.kept.forget(&names);
                }
                // Already logged, with the delay.
                Err(ControllerError::ReconcilerFailed(..)) => {}
                Err(error) => tracing::warn!(%error, "a watch failed and is started again"),
            }
            futures::future::ready(())
        })
        .await;
}

/// What was last seen of each cluster but its status, which the operator itself writes.
#[derive(Default)]
struct Seen {
    clusters: HashMap<(Option<String>, Option<String>), u64>,
    hasher: RandomState,
}

impl Seen {
    /// The cluster that an event is about, if it is a reason for a round. A deletion always is: kube's own filters
    /// would lose it, for it changes no generation.
    fn news<K: Resource>(
        &mut self,
        event: Result<Event<K>, watcher::Error>,
    ) -> Option<Result<K, watcher::Error>> {
        let key = |meta: &ObjectMeta| (meta.namespace.clone(), meta.name.clone());
        match event {
            Err(error) => Some(Err(error)),
            Ok(Event::Init) => {
                // Everything comes anew.
                self.clusters.clear();
                None
            }
            Ok(Event::InitDone) => None,
            Ok(Event::Delete(cluster)) => {
                self.clusters.remove(&key(cluster.meta()));
                Some(Ok(cluster))
            }
            Ok(Event::Apply(cluster) | Event::InitApply(cluster)) => {
                let meta = cluster.meta();
                let deleted = meta.deletion_timestamp.is_some();
                let now = (&meta.uid, meta.generation, &meta.labels, &meta.annotations, deleted);
                let now = self.hasher.hash_one(now);
                (self.clusters.insert(key(meta), now) != Some(now)).then_some(Ok(cluster))
            }
        }
    }
}

/// A kind in one namespace, or in all.
fn within<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

fn cluster_of_pod(pod: Pod) -> Option<ObjectRef<Guarded>> {
    let name = pod.labels().get("app.kubernetes.io/instance")?;
    Some(ObjectRef::new(name).within(&pod.namespace()?))
}

/// How long to wait after a failure: longer each time, and not less than the API server asks for.
pub fn delay(context: &Context, namespace: &str, name: &str) -> Duration {
    context.backoff.failed(namespace, name).max(context.throttle.left(Instant::now()))
}

/// When to look again after a round that ended early.
pub fn failed(cluster: Arc<Guarded>, error: &Error, context: Arc<Context>) -> Action {
    let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
    if let Error::Invalid(_) = error {
        // Nothing failed: the status says what a person has to do, and has to stay true about what runs.
        tracing::debug!(%namespace, cluster = %name, %error, "a cluster is invalid");
        context.backoff.succeeded(&namespace, &name);
        return Action::requeue(LATER);
    }
    let delay = delay(&context, &namespace, &name);
    tracing::warn!(%namespace, cluster = %name, %error, retry_in_s = delay.as_secs_f32(), "a round failed");
    Action::requeue(delay)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operators_own_writes_are_no_news_and_a_deletion_is() {
        let cluster = |generation: i64, leader: &str| -> RauthyCluster {
            serde_json::from_value(serde_json::json!({
                "apiVersion": "rauthy.dev/v1alpha1", "kind": "RauthyCluster", "spec": {},
                "metadata": { "name": "rauthy", "namespace": "idm", "uid": "uid-1", "generation": generation },
                "status": { "leader": leader },
            }))
            .unwrap()
        };
        let mut seen = Seen::default();
        let mut news = |event| seen.news(Ok(event)).is_some();
        assert!(news(Event::InitApply(cluster(1, "a"))));
        assert!(!news(Event::InitDone) && !news(Event::Apply(cluster(1, "b"))), "a status");
        assert!(news(Event::Apply(cluster(2, "b"))), "a spec");
        let mut labelled = cluster(2, "b");
        labelled.labels_mut().insert("team".to_owned(), "idm".to_owned());
        assert!(news(Event::Apply(labelled)), "a label");
        assert!(news(Event::Delete(cluster(2, "b"))), "a deletion");
        assert!(news(Event::Apply(cluster(2, "b"))), "created again");
        assert!(!news(Event::Init) && news(Event::InitApply(cluster(2, "b"))), "the watch began again");
    }

    #[test]
    fn each_cluster_backs_off_by_itself() {
        let backoff = Backoff::default();
        let delays: Vec<_> = (0..12).map(|_| backoff.failed("a", "x")).collect();
        assert!(delays[0] <= FIRST && delays[0] >= FIRST.mul_f64(0.8));
        assert!(delays.windows(2).take(6).all(|pair| pair[1] > pair[0]), "{delays:?}");
        assert!(delays[11] <= LONGEST && delays[11] >= LONGEST.mul_f64(0.8));
        assert!(backoff.failed("b", "x") <= FIRST, "another namespace is not held up");
        backoff.succeeded("a", "x");
        assert!(backoff.failed("a", "x") <= FIRST);
    }
}
