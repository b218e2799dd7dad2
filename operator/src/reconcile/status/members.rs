//! The members one by one: what Kubernetes says of the pod and what the agent says of itself.

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, Pod};
use rauthy_proto::cache::{NodeStatus, Role};

use super::Facts;
use crate::agents::Report;
use crate::crd::MemberStatus;
use crate::crd::spec::Engine;
use crate::crd::status::{LastExit, RefusedPeer};
use crate::names::{AGENT, APP};
use crate::reconcile::pods;
use crate::reconcile::validate::belongs;

/// Role and link of a member that is inside its application.
const EMBEDDED: &str = "Embedded";
/// Longest text of an agent or a container in the status, in characters.
const LONGEST: usize = 500;
/// Refusals that are older, in seconds, are over.
const LATELY: u64 = 120;
/// Refusals of a peer whose configuration is not that of the cluster.
const MISCONFIGURED: [&str; 3] = ["WRONG_TOKEN", "WRONG_CLUSTER", "WRONG_VERSION"];
/// Most refused peers for each member.
const MOST_REFUSED: usize = 5;

pub(super) fn members(facts: &Facts<'_>, size: i32, leader: Option<&NodeStatus>) -> Vec<MemberStatus> {
    let port = facts.cluster.spec.cache.port;
    let slots: Vec<String> = (0..size).map(|ordinal| facts.names.slot(ordinal, port)).collect();
    let set = facts.observed.statefulset.as_ref().filter(|set| belongs(*set, facts.cluster));
    (0..size)
        .map(|ordinal| {
            let name = facts.names.pod(ordinal);
            let pod = facts.observed.pods.iter().find(|pod| pod.metadata.name.as_deref() == Some(&name));
            let report = facts.reports.iter().find(|report| report.pod == name);
            let slot = facts.names.slot(ordinal, port);
            let member = member(slot, name, pod, report, leader, &slots, set);
            match facts.cluster.spec.cache.engine {
                Engine::Agent => member,
                Engine::Embedded => {
                    MemberStatus { role: EMBEDDED.to_owned(), link: EMBEDDED.to_owned(), ..member }
                }
            }
        })
        .collect()
}

fn member(
    slot: String,
    name: String,
    pod: Option<&Pod>,
    report: Option<&Report>,
    leader: Option<&NodeStatus>,
    slots: &[String],
    set: Option<&StatefulSet>,
) -> MemberStatus {
    let node = report.and_then(|report| report.answer.as_ref().ok());
    let caught_up = leader.is_some_and(|leader| leader.members.iter().any(|m| m.slot == slot && m.caught_up));
    let agent = pod.and_then(|pod| pods::container(pod, AGENT).or_else(|| pods::container(pod, APP)));
    let last_exit = pod.and_then(last_exit);
    // The agent's word counts before the kubelet's, which lags; where it does not answer, the kubelet asked it.
    let ready = pod.is_some_and(pods::ready) && node.is_none_or(|node| node.ready);
    let message = if ready { None } else { Some(short(&why_not_ready(pod, node, last_exit.as_ref()))) };
    MemberStatus {
        role: node.map_or("Unknown", |node| role(node.role())).to_owned(),
        incarnation: node.map(|node| node.incarnation.clone()).filter(|name| !name.is_empty()),
        caught_up,
        ready,
        message,
        link: short(&link(report)),
        refused: node.map(|node| refused(node, slots)).unwrap_or_default(),
        outdated: pod.zip(set).is_some_and(|(pod, set)| pods::outdated(pod, set)),
        restarts: agent.map_or(0, |agent| agent.restart_count),
        last_exit,
        slot,
        pod: name,
    }
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Unspecified => "Unknown",
        Role::Free => "Free",
        Role::Learner => "Learner",
        Role::Follower => "Follower",
        Role::Candidate => "Candidate",
        Role::Leader => "Leader",
    }
}

fn link(report: Option<&Report>) -> String {
    let node = match report.map(|report| &report.answer) {
        None => return "No address yet".to_owned(),
        Some(Err(error)) => return format!("No answer to the operator: {error}"),
        Some(Ok(node)) => node,
    };
    let lost: Vec<String> = node
        .members
        .iter()
        .filter(|peer| !peer.me && !peer.connected)
        .map(|peer| match peer.link_error.as_str() {
            "" => peer.slot.clone(),
            error => format!("{} ({error})", peer.slot),
        })
        .collect();
    if lost.is_empty() { "Connected".to_owned() } else { format!("Not connected to {}", lost.join(", ")) }
}

/// Who was refused: without ages, counts and source ports, which change all the time. Only what a misconfigured member
/// looks like: anybody who reaches the port can be refused for something else.
fn refused(node: &NodeStatus, slots: &[String]) -> Vec<RefusedPeer> {
    let recent = node.refusals.iter().filter(|refusal| {
        refusal.age_s <= LATELY
            && MISCONFIGURED.contains(&refusal.reason.as_str())
            && (refusal.claimed.is_empty() || slots.contains(&refusal.claimed))
    });
    let mut peers: Vec<RefusedPeer> = recent
        .map(|refusal| RefusedPeer {
            from: refusal
                .from
                .parse::<std::net::SocketAddr>()
                .map_or_else(|_| refusal.from.clone(), |address| address.ip().to_canonical().to_string()),
            claimed: short(&refusal.claimed),
            reason: short(&refusal.reason),
        })
        .collect();
    peers.sort();
    peers.dedup();
    peers.truncate(MOST_REFUSED);
    peers
}

/// How a container last failed; the agent before the application.
fn last_exit(pod: &Pod) -> Option<LastExit> {
    let ended = |name: &str| -> Option<LastExit> {
        let status = pods::container(pod, name)?;
        let now = status.state.as_ref().and_then(|state| state.terminated.as_ref());
        let before = status.last_state.as_ref().and_then(|state| state.terminated.as_ref());
        let failed: &ContainerStateTerminated = now.or(before).filter(|ended| ended.exit_code != 0)?;
        let words = failed.message.as_deref().or(failed.reason.as_deref()).unwrap_or_default();
        Some(LastExit { container: name.to_owned(), code: failed.exit_code, message: short(words) })
    };
    ended(AGENT).or_else(|| ended(APP))
}

fn why_not_ready(pod: Option<&Pod>, node: Option<&NodeStatus>, exit: Option<&LastExit>) -> String {
    let Some(pod) = pod else { return "the pod does not exist yet".to_owned() };
    if pods::ends(pod) {
        return "the pod is being deleted".to_owned();
    }
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let unscheduled = conditions.into_iter().find(|c| c.type_ == "PodScheduled" && c.status == "False");
    if let Some(condition) = unscheduled {
        return format!("not scheduled: {}", condition.message.as_deref().unwrap_or("no reason given"));
    }
    if let Some(node) = node.filter(|node| !node.not_ready_reason.is_empty()) {
        return node.not_ready_reason.clone();
    }
    let waiting = pods::statuses(pod).find_map(|status| {
        let waiting = status.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref()?;
        let usual = matches!(reason, "ContainerCreating" | "PodInitializing" | "CrashLoopBackOff");
        (!usual)
            .then(|| format!("{}: {reason}: {}", status.name, waiting.message.as_deref().unwrap_or_default()))
    });
    match (waiting, exit) {
        (Some(waiting), _) => waiting,
        (None, Some(exit)) => format!("{} ended with exit code {}", exit.container, exit.code),
        (None, None) if node.is_some() => "the agent serves, the pod is not ready yet".to_owned(),
        (None, None) => "the pod is starting".to_owned(),
    }
}

/// At most [`LONGEST`] characters on one line.
fn short(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
