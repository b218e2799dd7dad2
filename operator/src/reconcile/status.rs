//! Step 5: what a person is told. Pure, and the same for the same observation: an idle cluster causes no writes.

mod conditions;
mod members;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use rauthy_proto::cache::NodeStatus;

use super::build::host_list;
use super::credentials::{self, x509};
use super::dereference::Observed;
use super::roll::Step;
use super::scale::Progress;
use super::validate::{Invalid, Validated};
use crate::agents::{self, Report};
use crate::crd::spec::Engine;
use crate::crd::status::CertificateStatus;
use crate::crd::{MemberStatus, Phase, RauthyCluster, RauthyClusterStatus};
use crate::names::Names;

/// Everything that the status is made of.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'f> {
    /// The cluster with its previous status.
    pub cluster: &'f RauthyCluster,
    /// Names of its objects.
    pub names: &'f Names,
    /// What exists.
    pub observed: &'f Observed,
    /// The cluster as it is built, or what is wrong with it.
    pub validated: Result<&'f Validated, &'f Invalid>,
    /// Why the objects could not be built or written, if that is lasting.
    pub failure: Option<&'f str>,
    /// What the agents answered.
    pub reports: &'f [Report],
    /// How a change of the size stands.
    pub scaling: &'f Progress,
    /// How the replacement of pods stands.
    pub rolling: &'f Step,
    /// How a change of certificates or tokens stands.
    pub credentials: &'f credentials::Progress,
    /// The time.
    pub now: Timestamp,
}

/// What the agents' answers amount to.
struct View<'f> {
    size: i32,
    leader: Option<String>,
    term: Option<i64>,
    generation: Option<String>,
    seats: Option<i32>,
    /// Agents that answered.
    answered: usize,
    /// Agents that say that they serve reads.
    serving: i32,
    members: Vec<MemberStatus>,
    facts: &'f Facts<'f>,
}

impl View<'_> {
    fn majority(&self) -> i32 {
        self.size / 2 + 1
    }

    fn ready(&self) -> i32 {
        i32::try_from(self.members.iter().filter(|member| member.ready).count()).unwrap_or(i32::MAX)
    }

    /// The application has the cache inside: what it says of its readiness is all that is known.
    fn embedded(&self) -> bool {
        self.facts.cluster.spec.cache.engine == Engine::Embedded
    }

    /// A known leader, and a majority that answers reads.
    fn available(&self) -> bool {
        if self.embedded() {
            return self.ready() >= self.majority();
        }
        self.leader.is_some() && self.serving >= self.majority()
    }

    /// Kubernetes says that a majority is ready, but no agent answered the operator.
    fn unknown(&self) -> bool {
        !self.available() && self.answered == 0 && self.ready() >= self.majority()
    }
}

/// The status.
#[must_use]
pub fn status(facts: &Facts<'_>) -> RauthyClusterStatus {
    let Facts { cluster, names, observed, validated, reports, .. } = facts;
    let size = match validated {
        Ok(validated) => validated.size(),
        // The same list as if all were well: an object that is in the way says nothing about this cluster.
        Err(_) => host_list::running(observed, names, cluster, reports).list.size(),
    };
    let pods = validated.as_ref().map_or(size, |validated| validated.running.pods());
    let answers =
        || reports.iter().filter_map(|report| report.answer.as_ref().ok().map(|node| (&report.pod, node)));
    let leader = agents::leader(reports);
    let view = View {
        size,
        term: leader.as_ref().map(|(_, node)| i64::try_from(node.term).unwrap_or(i64::MAX)),
        generation: generation(leader.as_ref().map(|(_, node)| *node), cluster),
        seats: leader.as_ref().and_then(|(_, node)| i32::try_from(node.members.len()).ok()),
        members: members::members(facts, pods, leader.as_ref().map(|(_, node)| *node)),
        leader: leader.map(|(pod, _)| pod),
        answered: answers().count(),
        serving: i32::try_from(answers().filter(|(_, node)| node.ready).count()).unwrap_or(i32::MAX),
        facts,
    };
    let conditions = conditions::conditions(&view);
    RauthyClusterStatus {
        observed_generation: cluster.metadata.generation,
        phase: phase(&view),
        ready: format!("{}/{}", view.ready(), cluster.spec.replicas),
        replicas: i32::try_from(observed.pods.len()).unwrap_or(i32::MAX),
        ready_replicas: view.ready(),
        selector: names.selector_text(),
        leader: view.leader,
        term: view.term,
        generation_number: number(view.generation.as_ref(), cluster),
        generation: view.generation,
        size: view.seats,
        certificate: observed.tls.as_ref().and_then(certificate),
        members: view.members,
        conditions,
    }
}

/// The last one that was known: a time without a leader does not hide that it is another one afterwards.
fn generation(leader: Option<&NodeStatus>, cluster: &RauthyCluster) -> Option<String> {
    let now = leader.map(|node| node.generation.clone()).filter(|name| !name.is_empty());
    now.or_else(|| cluster.status.as_ref()?.generation.clone())
}

/// Counted from the status: another name is one more.
fn number(generation: Option<&String>, cluster: &RauthyCluster) -> Option<i64> {
    let now = generation?;
    let before = cluster
        .status
        .as_ref()
        .and_then(|status| Some((status.generation.as_ref()?, status.generation_number)));
    Some(match before {
        None => 1,
        // An earlier version of the operator did not count.
        Some((before, number)) if before == now => number.unwrap_or(1),
        Some((_, number)) => number.unwrap_or(1).saturating_add(1),
    })
}

fn certificate(secret: &Secret) -> Option<CertificateStatus> {
    let leaf = x509::inspect(secret)?;
    let vouching = x509::field(secret, "ca.crt").and_then(x509::authorities).unwrap_or_default();
    Some(CertificateStatus {
        not_after: leaf.not_after.to_string(),
        authority_not_after: vouching.iter().map(|one| one.not_after).min().map(|end| end.to_string()),
    })
}

fn phase(view: &View<'_>) -> Phase {
    let wrong = view.facts.validated.is_err() || view.facts.failure.is_some();
    let degraded = wrong || conditions::degraded(view);
    match () {
        () if view.available() && degraded => Phase::Degraded,
        () if view.available() && view.ready() >= view.size => Phase::Running,
        // The kubelet notices a second after the agents that they serve.
        () if view.available() && conditions::creating(view) => Phase::Creating,
        () if view.available() => Phase::Degraded,
        () if wrong => Phase::Invalid,
        () if view.unknown() => Phase::Unknown,
        () if conditions::served_before(view) => Phase::Unavailable,
        () => Phase::Creating,
    }
}

/// Whether something is still to come, so that it is worth looking again soon.
#[must_use]
pub fn progressing(status: &RauthyClusterStatus) -> bool {
    let is = |kind: &str, value: &str| status.conditions.iter().any(|c| c.type_ == kind && c.status == value);
    is("Progressing", "True") || !is("Available", "True")
}

#[cfg(test)]
mod tests;
