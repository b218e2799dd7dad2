//! The conditions, each with a reason a program can switch on and a message for people.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::View;
use crate::crd::TlsMode;
use crate::reconcile::build::tls;

/// Reason of Available before it was true for the first time.
const FOUNDING: &str = "Founding";

/// Reason of Progressing until every member served for the first time.
const CREATING: &str = "Creating";

type Verdict = (&'static str, &'static str, String);

pub(super) fn conditions(view: &View<'_>) -> Vec<Condition> {
    [
        ("Available", available(view)),
        ("Progressing", progressing(view)),
        ("Degraded", degradation(view)),
        ("TLSReady", tls_ready(view)),
        ("ScalingBlocked", scaling(view)),
        ("Paused", paused(view)),
    ]
    .into_iter()
    .map(|(kind, verdict)| condition(view, kind, verdict))
    .collect()
}

/// A condition; the time of its last transition stays while its status does.
fn condition(view: &View<'_>, kind: &str, (status, reason, message): Verdict) -> Condition {
    let old = previous(view, kind).filter(|old| old.status == status);
    Condition {
        type_: kind.to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: view.facts.cluster.metadata.generation,
        // Whole seconds, as the API server keeps them: the comparison with what it returns must hold.
        last_transition_time: old
            .map_or_else(|| whole_seconds(view.facts.now), |old| old.last_transition_time.clone()),
    }
}

fn whole_seconds(now: jiff::Timestamp) -> Time {
    Time(jiff::Timestamp::from_second(now.as_second()).unwrap_or(now))
}

fn previous<'v>(view: &'v View<'_>, kind: &str) -> Option<&'v Condition> {
    let status = view.facts.cluster.status.as_ref()?;
    status.conditions.iter().find(|condition| condition.type_ == kind)
}

/// Whether it was ever available.
pub(super) fn served_before(view: &View<'_>) -> bool {
    previous(view, "Available").is_some_and(|old| old.status == "True" || old.reason != FOUNDING)
}

/// Whether not every member has served yet.
pub(super) fn creating(view: &View<'_>) -> bool {
    previous(view, "Progressing").is_none_or(|old| old.reason == CREATING)
}

fn available(view: &View<'_>) -> Verdict {
    let (serving, size) = (view.serving, view.size);
    match &view.leader {
        Some(leader) if view.available() => {
            ("True", "QuorumServing", format!("{leader} leads, {serving} of {size} members serve"))
        }
        _ if view.unknown() => (
            "Unknown",
            // Keeps the reason of a first founding, so that it is not taken for a loss.
            if served_before(view) { "AgentsUnreachable" } else { FOUNDING },
            "the pods are ready, but no agent answers the operator; see the members' link".to_owned(),
        ),
        _ if !served_before(view) => {
            ("False", FOUNDING, format!("{serving} of {size} members serve; {} are needed", view.majority()))
        }
        None => ("False", "NoLeader", format!("no leader; {serving} of {size} members serve")),
        Some(_) => (
            "False",
            "NoQuorum",
            format!("{serving} of {size} members serve; {} are needed", view.majority()),
        ),
    }
}

fn progressing(view: &View<'_>) -> Verdict {
    let facts = view.facts;
    if facts.validated.is_err() || facts.failure.is_some() {
        return ("False", "Stopped", "it cannot go on before what Degraded says is put right".to_owned());
    }
    let waiting: Vec<&str> = view.members.iter().filter(|m| !m.ready).map(|m| m.pod.as_str()).collect();
    let outdated: Vec<&str> = view.members.iter().filter(|m| m.outdated).map(|m| m.pod.as_str()).collect();
    if waiting.is_empty() && !outdated.is_empty() {
        let message = format!(
            "{} of {} pods still run an earlier template ({}); delete them one by one, each when the others are ready, \
             to apply the present one",
            outdated.len(),
            view.size,
            outdated.join(", ")
        );
        return ("True", "PodsOutdated", message);
    }
    if waiting.is_empty() {
        return ("False", "Complete", "every member serves".to_owned());
    }
    let reason = if creating(view) || !served_before(view) { CREATING } else { "MembersStarting" };
    ("True", reason, format!("waiting for {}", waiting.join(", ")))
}

/// Whether the condition Degraded is true.
pub(super) fn degraded(view: &View<'_>) -> bool {
    degradation(view).0 == "True"
}

fn degradation(view: &View<'_>) -> Verdict {
    let facts = view.facts;
    if let Err(invalid) = facts.validated {
        return ("True", "InvalidSpec", invalid.to_string());
    }
    if let Some(failure) = facts.failure {
        return ("True", "ReconcileFailed", failure.to_owned());
    }
    if let Some(member) = view.members.iter().find(|member| !member.ready && member.last_exit.is_some()) {
        let message = member.last_exit.as_ref().map(|exit| {
            format!(
                "{} of {} ended with exit code {}: {}",
                exit.container, member.pod, exit.code, exit.message
            )
        });
        return ("True", "MemberFailed", message.unwrap_or_default());
    }
    if let Some((member, refused)) = view.members.iter().find_map(|m| m.refused.first().map(|r| (m, r))) {
        let who = if refused.claimed.is_empty() { &refused.from } else { &refused.claimed };
        return ("True", "PeerRefused", format!("{} refuses {who}: {}", member.pod, refused.reason));
    }
    let missing: Vec<&str> = view.members.iter().filter(|m| !m.ready).map(|m| m.pod.as_str()).collect();
    if !creating(view) && served_before(view) && !missing.is_empty() {
        return ("True", "MembersNotReady", format!("not ready: {}", missing.join(", ")));
    }
    ("False", "AsExpected", String::new())
}

fn tls_ready(view: &View<'_>) -> Verdict {
    let facts = view.facts;
    if facts.cluster.spec.tls.mode == TlsMode::Disabled {
        return ("False", "Disabled", "spec.tls.mode is Disabled: members do not encrypt".to_owned());
    }
    let name = facts.names.tls();
    match (&facts.observed.tls, facts.observed.tls.as_ref().and_then(tls::inspect)) {
        (None, _) => ("False", "Missing", format!("the Secret `{name}` does not exist yet")),
        (Some(_), None) => ("False", "Damaged", format!("the Secret `{name}` holds no usable certificate")),
        (Some(_), Some(leaf)) if leaf.not_after <= facts.now => {
            ("False", "Expired", format!("the certificate expired on {}", leaf.not_after))
        }
        (Some(_), Some(leaf)) => ("True", "Valid", format!("valid until {}", leaf.not_after)),
    }
}

fn scaling(view: &View<'_>) -> Verdict {
    let (asked, size) = (view.facts.cluster.spec.replicas, view.size);
    if asked == size || view.facts.observed.statefulset.is_none() {
        return ("False", "NotScaling", String::new());
    }
    let message = format!(
        "spec.replicas is {asked}, and the cluster stays at {size} members: this version cannot change the size of a \
         running cluster. Set spec.replicas to {size}"
    );
    ("True", "NotImplemented", message)
}

fn paused(view: &View<'_>) -> Verdict {
    if view.facts.cluster.spec.paused {
        return ("True", "Requested", "spec.paused is true: no object is changed".to_owned());
    }
    ("False", "NotRequested", String::new())
}
