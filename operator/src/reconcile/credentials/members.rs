//! Who has to confirm before anything is taken away, and what they say that they use.
//!
//! A living pod is waited for, whatever keeps it from answering: it may serve. One that is gone, ends, or whose agent
//! does not run is not: it reads the present files when it starts.

use k8s_openapi::api::core::v1::{ContainerStatus, Pod, Secret};
use kube::ResourceExt;
use rauthy_proto::cache::Credentials;

use super::x509;
use crate::agents::Report;
use crate::names::{AGENT, CERTIFICATE};
use crate::reconcile::build::embedded;

/// Those that are waited for.
#[derive(Clone, Debug, Default)]
pub struct Members(Vec<(String, Result<Credentials, String>)>);

impl Members {
    /// The living pods, with what their agents answered.
    #[must_use]
    pub fn of(pods: &[Pod], reports: &[Report]) -> Self {
        let living = pods.iter().filter(|pod| lives(pod)).filter_map(|pod| {
            let name = pod.metadata.name.clone()?;
            let said = match reports.iter().find(|report| report.pod == name).map(|report| &report.answer) {
                Some(Ok(node)) => {
                    node.credentials.clone().ok_or_else(|| "its agent is too old to say".to_owned())
                }
                Some(Err(error)) => Err(error.clone()),
                None => Err("it was not asked".to_owned()),
            };
            Some((name, said))
        });
        Self(living.collect())
    }

    /// The living pods of applications with the cache inside, which say nothing: they use what they started with, and
    /// each is started again for a new certificate.
    #[must_use]
    pub fn embedded(pods: &[Pod], certificate: Option<&Secret>) -> Self {
        let present = certificate.map(embedded::fingerprint);
        let living = pods.iter().filter(|pod| lives(pod)).filter_map(|pod| {
            let started = pod.annotations().get(CERTIFICATE);
            let said = match certificate.and_then(x509::names).filter(|_| started == present.as_ref()) {
                Some((certificate, authorities)) => {
                    Ok(Credentials { certificate, authorities, ..Credentials::default() })
                }
                None => Err("it started with an earlier certificate".to_owned()),
            };
            Some((pod.metadata.name.clone()?, said))
        });
        Self(living.collect())
    }

    /// Their pods.
    #[must_use]
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(|(pod, _)| pod.as_str()).collect()
    }

    /// Those of whom this does not hold, and why; empty: all confirm.
    #[must_use]
    pub fn missing(&self, holds: impl Fn(&Credentials) -> bool) -> Vec<String> {
        let missing = self.0.iter().filter_map(|(pod, said)| match said {
            Ok(said) if holds(said) => None,
            Ok(_) => Some(pod.clone()),
            Err(error) => Some(format!("{pod} ({error})")),
        });
        missing.collect()
    }
}

fn lives(pod: &Pod) -> bool {
    let Some(status) = &pod.status else { return false };
    let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    if pod.metadata.deletion_timestamp.is_some() || ended || status.pod_ip.is_none() {
        return false;
    }
    let containers = status.init_container_statuses.iter().chain(&status.container_statuses).flatten();
    let runs = |agent: &ContainerStatus| agent.state.as_ref().is_some_and(|state| state.running.is_some());
    containers.into_iter().find(|container| container.name == AGENT).is_none_or(runs)
}
