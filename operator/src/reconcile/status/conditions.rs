//! The conditions, each with a reason a program can switch on and a message for people.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use super::View;
use crate::crd::TlsMode;
use crate::names::UPGRADE;
use crate::reconcile::credentials::x509;
use crate::reconcile::foreign;
use crate::reconcile::roll::Step;
use crate::reconcile::scale::Progress;

/// Reason of Available before it was true for the first time.
const FOUNDING: &str = "Founding";

/// Reason of Progressing until every member served for the first time.
const CREATING: &str = "Creating";

/// A certificate that ends within this time should have been renewed.
const EXPIRES_SOON: SignedDuration = SignedDuration::from_hours(24 * 14);
/// Members usually use what they are given within seconds; after this time, in seconds, somebody should have a look.
const PATIENCE: i64 = 120;

type Verdict = (&'static str, &'static str, String);

pub(super) fn conditions(view: &View<'_>) -> Vec<Condition> {
    [
        ("Available", available(view)),
        ("Progressing", progressing(view)),
        ("Degraded", degradation(view)),
        ("TLSReady", tls_ready(view)),
        ("ScalingBlocked", scaling(view)),
        ("UpdateAvailable", update_available(view)),
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
    if view.embedded() {
        let text = format!(
            "{} of {size} applications are ready; {} are needed; the cache is inside them",
            view.ready(),
            view.majority()
        );
        return match view.available() {
            true => ("True", "ApplicationsReady", text),
            false if !served_before(view) => ("False", FOUNDING, text),
            false => ("False", "NoQuorum", text),
        };
    }
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
    match facts.scaling {
        Progress::Moving(message) | Progress::Blocked(_, message) => {
            return ("True", "Scaling", message.clone());
        }
        Progress::Rest => {}
    }
    let waiting: Vec<&str> = view.members.iter().filter(|m| !m.ready).map(|m| m.pod.as_str()).collect();
    let outdated: Vec<&str> = view.members.iter().filter(|m| m.outdated).map(|m| m.pod.as_str()).collect();
    let left = format!(
        "{} of {} pods run an earlier template ({})",
        outdated.len(),
        view.members.len(),
        outdated.join(", ")
    );
    if let Some(now) = facts.rolling.text() {
        let why = why_waiting(view, facts.rolling);
        let left = if outdated.is_empty() { String::new() } else { format!("{left}; ") };
        return ("True", "Rolling", format!("{left}{now}{why}"));
    }
    if facts.credentials.moving() {
        let steps = facts.credentials.steps.iter().map(|(_, step)| step.clone());
        let waiting = facts.credentials.waiting.iter().map(|who| format!("waiting for {who}"));
        let text: Vec<String> = steps.chain(waiting).collect();
        return ("True", "Rotating", text.join("; "));
    }
    if !outdated.is_empty() {
        return ("True", "PodsOutdated", format!("{left}; they stay while spec.paused is true"));
    }
    if waiting.is_empty() {
        return ("False", "Complete", "every member serves".to_owned());
    }
    let reason = if creating(view) || !served_before(view) { CREATING } else { "MembersStarting" };
    ("True", reason, format!("waiting for {}", waiting.join(", ")))
}

/// What the first pod of the newest template that is not ready says.
fn why_waiting(view: &View<'_>, rolling: &Step) -> String {
    let member = view.members.iter().find(|m| !m.ready && !m.outdated);
    match (rolling, member.and_then(|member| member.message.as_ref().map(|message| (member, message)))) {
        (Step::Wait { .. }, Some((member, message))) => format!(": {}: {message}", member.pod),
        _ => String::new(),
    }
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
    if let Some(wrong) = &facts.credentials.request {
        return ("True", "InvalidRequest", wrong.clone());
    }
    if let Some(unusable) = &facts.credentials.token {
        return ("True", "TokenUnusable", unusable.clone());
    }
    // Before what may come of it: a member that does not run by a field that somebody set.
    let foreign = facts.observed.statefulset.as_ref().map(foreign::fields).unwrap_or_default();
    if !foreign.is_empty() {
        let message = format!(
            "somebody else set fields of the StatefulSet that every new pod gets: {}; remove them there, or say in \
             spec.pod what you need",
            foreign.join(", ")
        );
        return ("True", "ForeignFields", message);
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
    // Those that a change of the size brings are no members yet.
    let members = view.members.iter().take(usize::try_from(view.size).unwrap_or(0));
    let missing: Vec<&str> = members.filter(|m| !m.ready).map(|m| m.pod.as_str()).collect();
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
    let (name, secured) = (facts.names.tls(), facts.credentials);
    let leaf = match (&facts.observed.tls, facts.observed.tls.as_ref().and_then(x509::inspect)) {
        (None, _) => {
            let waiting = |why: &String| ("False", "SourceUnusable", format!("no certificate yet: {why}"));
            let missing = || ("False", "Missing", format!("the Secret `{name}` does not exist yet"));
            return secured.certificate.as_ref().map_or_else(missing, waiting);
        }
        (Some(_), None) => {
            return ("False", "Damaged", format!("the Secret `{name}` holds no usable certificate"));
        }
        (Some(_), Some(leaf)) => leaf,
    };
    let (end, now) = (leaf.not_after, facts.now);
    let source = secured.certificate.as_ref();
    if end <= now {
        let why = source.map(|why| format!("; {why}")).unwrap_or_default();
        return ("False", "Expired", format!("the certificate expired on {end}{why}"));
    }
    if let Some(why) = source {
        return (
            "False",
            "SourceUnusable",
            format!("{why}; the certificate in use stays, valid until {end}"),
        );
    }
    let waits = if secured.waiting.is_empty() {
        String::new()
    } else {
        format!("; waiting for {}", secured.waiting.join("; "))
    };
    if end <= now + EXPIRES_SOON {
        return (
            "True",
            "ExpiresSoon",
            format!("the certificate expires on {end} and was not renewed yet{waits}"),
        );
    }
    let text = format!("valid until {end}{waits}");
    match () {
        () if waits.is_empty() => ("True", "Valid", text),
        () if now.as_second() >= secured.since.saturating_add(PATIENCE) => ("True", "RotationBlocked", text),
        () => ("True", "Rotating", text),
    }
}

fn scaling(view: &View<'_>) -> Verdict {
    match view.facts.scaling {
        Progress::Blocked(reason, message) => ("True", reason, message.clone()),
        Progress::Moving(_) => ("False", "Scaling", String::new()),
        Progress::Rest => ("False", "NotScaling", String::new()),
    }
}

fn update_available(view: &View<'_>) -> Verdict {
    let image = view.facts.validated.map(|validated| &validated.agent_image);
    match image.map(|image| (image, &image.newer)) {
        Ok((image, Some(newer))) => (
            "True",
            "NewerAgent",
            format!(
                "the agents run {}, the operator brings {newer}; `kubectl annotate --overwrite rauthy {} {UPGRADE}=$(date +%s)` \
                 takes it, one pod at a time",
                image.image, view.facts.names.cluster
            ),
        ),
        _ => ("False", "AsExpected", String::new()),
    }
}

fn paused(view: &View<'_>) -> Verdict {
    if view.facts.cluster.spec.paused {
        return ("True", "Requested", "spec.paused is true: no object is changed".to_owned());
    }
    ("False", "NotRequested", String::new())
}
