//! Which replica of the operator acts: the holder of a Lease. [`decide`](decide::decide) is pure; here is what reads
//! and writes. Every write carries the resourceVersion of what was read, so that of two replicas one fails.

pub mod decide;
pub mod fence;

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};

use self::decide::{Decision, Sighting, decide};
use self::fence::Tenure;
use crate::probes::Readiness;

/// A holder that has not renewed for this long is gone.
pub const LEASE: Duration = Duration::from_secs(15);
/// A holder that could not renew for this long stops acting, well before the others take over.
const RENEW: Duration = Duration::from_secs(10);
/// Longest that one look may take, shorter than [`RENEW`], so that one request that hangs does not cost the Lease.
const STEP: Duration = Duration::from_secs(4);
/// Between two looks.
const RETRY: Duration = Duration::from_secs(2);

/// One candidate.
pub struct Election {
    api: Api<Lease>,
    name: String,
    id: String,
    readiness: Arc<Readiness>,
    sighting: Option<Sighting>,
    tenure: Arc<Tenure>,
}

impl Election {
    /// A candidate `id` for the Lease `namespace/name`.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str, id: &str, readiness: Arc<Readiness>) -> Self {
        let api = Api::namespaced(client, namespace);
        Self {
            api,
            name: name.to_owned(),
            id: id.to_owned(),
            readiness,
            sighting: None,
            tenure: Arc::default(),
        }
    }

    /// Lets those write who ask this tenure, for as long as the Lease is held.
    #[must_use]
    pub fn granting(self, tenure: Arc<Tenure>) -> Self {
        Self { tenure, ..self }
    }

    /// Returns when this candidate holds the Lease.
    pub async fn win(&mut self) {
        loop {
            match tokio::time::timeout(STEP, self.step()).await {
                Ok(Ok(true)) => return,
                Ok(Ok(false)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, lease = %self.name, "the lease cannot be read or written")
                }
                Err(_) => self.hung(),
            }
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Renews, and returns when that failed for too long, or when another holds the Lease.
    pub async fn keep(&mut self) {
        let mut renewed = Instant::now();
        loop {
            tokio::time::sleep(RETRY).await;
            // A request that hangs must not outlive the Lease.
            let left = RENEW.saturating_sub(renewed.elapsed()).min(STEP);
            let asked = Instant::now();
            match tokio::time::timeout(left, self.step()).await {
                Ok(Ok(true)) => renewed = asked,
                Ok(Ok(false)) => {
                    tracing::error!(lease = %self.name, "another replica holds the lease");
                    return;
                }
                Ok(Err(error)) => tracing::warn!(%error, lease = %self.name, "the lease cannot be renewed"),
                Err(_) => self.hung(),
            }
            if renewed.elapsed() >= RENEW {
                tracing::error!(lease = %self.name, "the lease was not renewed in time");
                return;
            }
        }
    }

    fn hung(&self) {
        self.readiness.set(false);
        tracing::warn!(lease = %self.name, "the API server does not answer about the lease");
    }

    /// Gives the Lease back, so that another replica need not wait for its end.
    pub async fn release(&mut self) {
        self.tenure.ended();
        let released = async {
            let mut lease = self.api.get(&self.name).await?;
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() == Some(&self.id) {
                spec.holder_identity = Some(String::new());
                self.api.replace(&self.name, &PostParams::default(), &lease).await?;
            }
            Ok::<_, kube::Error>(())
        };
        if let Ok(Err(error)) = tokio::time::timeout(RETRY, released).await {
            tracing::debug!(%error, "the lease was not given back");
        }
    }

    /// One look at the Lease, and one write if it is due. Whether this candidate holds it afterwards.
    ///
    /// # Errors
    /// The API server's.
    pub async fn step(&mut self) -> Result<bool, kube::Error> {
        let lease = self.api.get_opt(&self.name).await.inspect_err(|_| self.readiness.set(false))?;
        self.readiness.set(true);
        let spec = lease.as_ref().and_then(|lease| lease.spec.as_ref());
        let now = Instant::now();
        self.sighting = Some(Sighting::update(self.sighting.take(), spec, now));
        let decision = decide(spec, self.sighting.as_ref(), &self.id, now, LEASE);
        let written = match (decision, lease) {
            (Decision::Wait, _) => return Ok(false),
            (Decision::Create, _) | (_, None) => {
                let lease = Lease {
                    metadata: ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() },
                    spec: Some(taken(LeaseSpec::default(), &self.id)),
                };
                self.api.create(&PostParams::default(), &lease).await
            }
            (Decision::Take | Decision::Renew, Some(mut lease)) => {
                lease.spec = Some(taken(lease.spec.unwrap_or_default(), &self.id));
                // With the resourceVersion of what was read.
                self.api.replace(&self.name, &PostParams::default(), &lease).await
            }
        };
        match written {
            Ok(_) => {
                self.tenure.renewed(now, RENEW);
                Ok(true)
            }
            // Somebody was faster.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }
}

fn taken(mut spec: LeaseSpec, id: &str) -> LeaseSpec {
    let now = MicroTime(Timestamp::now());
    if spec.holder_identity.as_deref() != Some(id) {
        spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
        spec.acquire_time = Some(now.clone());
        spec.holder_identity = Some(id.to_owned());
    }
    spec.renew_time = Some(now);
    spec.lease_duration_seconds = Some(i32::try_from(LEASE.as_secs()).unwrap_or(i32::MAX));
    spec
}
