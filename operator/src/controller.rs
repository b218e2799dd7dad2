//! What starts a round: a cluster or one of its objects changed, or its time has come. A cluster that fails is
//! tried again later each time, and holds up nobody else.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service, ServiceAccount};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Error as ControllerError};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::{Controller, watcher};
use kube::{Api, Client, Resource, ResourceExt};

use crate::crd::RauthyCluster;
use crate::names::{MANAGED_BY, Names};
use crate::reconcile::{Context, Error, reconcile};

type Guarded = DeserializeGuard<RauthyCluster>;

/// First delay after a failure; doubled by each further one.
const FIRST: Duration = Duration::from_secs(1);
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

/// Runs until `stop` resolves; rounds that have begun end first.
pub async fn run(context: Arc<Context>, stop: impl Future<Output = ()> + Send + Sync + 'static) {
    let client = context.client.clone();
    // Only what the operator made, so that its memory does not grow with the cluster.
    let ours = watcher::Config::default().labels(&format!("{}={}", MANAGED_BY.0, MANAGED_BY.1));
    Controller::new(Api::<Guarded>::all(client.clone()), watcher::Config::default())
        .owns(all::<StatefulSet>(&client), ours.clone())
        .owns(all::<Service>(&client), ours.clone())
        .owns(all::<ConfigMap>(&client), ours.clone())
        .owns(all::<ServiceAccount>(&client), ours.clone())
        .owns(all::<PodDisruptionBudget>(&client), ours.clone())
        // Pods belong to the StatefulSet; their labels say to which cluster.
        .watches(all::<Pod>(&client), ours, cluster_of_pod)
        .graceful_shutdown_on(stop)
        .run(reconcile, failed, context.clone())
        .for_each(|result| {
            match result {
                Ok((cluster, _)) => tracing::debug!(%cluster, "reconciled"),
                // It was deleted, and its objects follow by their owner references.
                Err(ControllerError::ObjectNotFound(cluster)) => {
                    let namespace = cluster.namespace.unwrap_or_default();
                    context.backoff.succeeded(&namespace, &cluster.name);
                    context.metrics.forget(&Names::new(namespace, cluster.name));
                }
                // Already logged, with the delay.
                Err(ControllerError::ReconcilerFailed(..)) => {}
                Err(error) => tracing::warn!(%error, "a watch failed and is started again"),
            }
            futures::future::ready(())
        })
        .await;
}

fn all<K: Resource<DynamicType = ()>>(client: &Client) -> Api<K> {
    Api::all(client.clone())
}

fn cluster_of_pod(pod: Pod) -> Option<ObjectRef<Guarded>> {
    let name = pod.labels().get("app.kubernetes.io/instance")?;
    Some(ObjectRef::new(name).within(&pod.namespace()?))
}

fn failed(cluster: Arc<Guarded>, error: &Error, context: Arc<Context>) -> Action {
    let (namespace, name) = (cluster.namespace().unwrap_or_default(), cluster.name_any());
    let delay = context.backoff.failed(&namespace, &name);
    tracing::warn!(%namespace, cluster = %name, %error, retry_in_s = delay.as_secs_f32(), "a round failed");
    Action::requeue(delay)
}

#[cfg(test)]
mod tests {
    use super::*;

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
