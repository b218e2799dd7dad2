//! Pods are replaced by such of a newer template, one at a time, the leader last. Pure: what to do next.
//!
//! ```text
//! outdated pods ─▶ one whose agent is down (nothing is lost with it)
//!               ─▶ one that is not ready  ┐ each when every other seat is caught up, every pod of the newer
//!               ─▶ a follower             │ template is ready, and no change of the size is under way
//!               ─▶ the leader, after another member has taken over
//! ```
//!
//! What counts are seats, as the leader judges them. That a pod of the newer template is ready, the application
//! included, only stops a bad image at the first pod. Deciding anew in each round, from what is observed, is what makes
//! reverting work: the pod of the bad image is then the outdated one.

mod act;
mod embedded;

use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use rauthy_proto::cache::{NodeStatus, Role};

pub use self::act::{Acted, act};
use super::build::host_list::Running;
use super::pods;
use crate::agents::{Report, leader};
use crate::names::{Names, TEMPLATE_HASH};

/// Everything that a step is decided by.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'f> {
    /// Names of the cluster.
    pub names: &'f Names,
    /// Port of the mesh.
    pub port: i32,
    /// The host list, and whether the size changes.
    pub running: &'f Running,
    /// Hash of the template as it shall be.
    pub template: &'f str,
    /// The StatefulSet as it is.
    pub statefulset: Option<&'f StatefulSet>,
    /// The pods.
    pub pods: &'f [Pod],
    /// What the agents answered.
    pub reports: &'f [Report],
}

/// What to do next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Step {
    /// Every pod has the newest template.
    #[default]
    Rest,
    /// Not now.
    Wait {
        /// For what, for people.
        text: String,
        /// It passes by itself within seconds.
        brief: bool,
    },
    /// Another member has to lead first.
    Transfer {
        /// The pod that leads.
        pod: String,
        /// Its uid.
        uid: String,
    },
    /// Delete this pod, so that a new one takes its place.
    Replace {
        /// The pod.
        pod: String,
        /// Its uid: no other pod of this name is meant.
        uid: String,
        /// What is lost with it, for people.
        loses: Option<&'static str>,
    },
}

impl Step {
    /// Whether it is worth looking again within a second.
    #[must_use]
    pub fn is_brief(&self) -> bool {
        !matches!(self, Self::Rest | Self::Wait { brief: false, .. })
    }

    /// How it stands, for people.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Rest => None,
            Self::Wait { text, .. } => Some(text.clone()),
            Self::Transfer { pod, .. } => Some(format!("{pod} gives the leadership away")),
            Self::Replace { pod, .. } => Some(format!("{pod} is being replaced")),
        }
    }

    fn wait(text: String) -> Self {
        Self::Wait { text, brief: false }
    }

    fn soon(text: String) -> Self {
        Self::Wait { text, brief: true }
    }
}

impl<'f> Facts<'f> {
    fn pod(&self, name: &str) -> Option<&'f Pod> {
        self.pods.iter().find(|pod| pod.metadata.name.as_deref() == Some(name))
    }

    fn answer(&self, name: &str) -> Option<&'f NodeStatus> {
        self.reports.iter().find(|report| report.pod == name)?.answer.as_ref().ok()
    }

    /// New pods get the template as it shall be.
    fn in_force(&self, set: &StatefulSet) -> bool {
        let template = set.spec.as_ref().and_then(|spec| spec.template.metadata.as_ref());
        let hash = template.and_then(|meta| meta.annotations.as_ref()?.get(TEMPLATE_HASH));
        let seen = set.status.as_ref().and_then(|status| status.observed_generation);
        hash.is_some_and(|hash| hash == self.template) && seen >= set.metadata.generation
    }

    /// A pod with which nothing is lost: its agent does not run, or says itself that it holds no seat.
    fn is_idle(&self, pod: &Pod, leader: Option<&NodeStatus>) -> bool {
        if pods::agent_is_down(pod) {
            return true;
        }
        let Some(node) = self.answer(&pod.name_any()) else { return false };
        let counted =
            leader.is_some_and(|leader| leader.members.iter().any(|m| m.slot == node.slot && m.caught_up));
        matches!(node.role(), Role::Free | Role::Learner) && !counted
    }

    /// What is wrong with a member beside the one to replace.
    fn trouble(&self, ordinal: i32, set: &StatefulSet, leader: &NodeStatus) -> Option<Step> {
        let name = self.names.pod(ordinal);
        let Some(pod) = self.pod(&name) else {
            return Some(Step::wait(format!("waiting for the pod {name} to be created")));
        };
        if pods::ends(pod) {
            return Some(Step::wait(format!("waiting for the pod {name}, which is being deleted")));
        }
        if !pods::outdated(pod, set) && !pods::ready(pod) {
            return Some(Step::wait(format!("{name} has the newest template and is not ready")));
        }
        let slot = self.names.slot(ordinal, self.port);
        let counts = leader.members.iter().any(|m| m.slot == slot && (m.caught_up || m.me));
        (!counts).then(|| Step::soon(format!("waiting for the seat of {name}, which is not caught up")))
    }
}

/// The next step.
#[must_use]
pub fn step(facts: &Facts<'_>) -> Step {
    let Some(set) = facts.statefulset else { return Step::Rest };
    let outdated: Vec<&Pod> = facts.pods.iter().filter(|pod| pods::outdated(pod, set)).collect();
    if !facts.in_force(set) {
        let differs =
            |pod: &Pod| pod.annotations().get(TEMPLATE_HASH).is_none_or(|hash| hash != facts.template);
        return match outdated.is_empty() && !facts.pods.iter().any(differs) {
            true => Step::Rest,
            false => Step::soon("waiting for the StatefulSet controller".to_owned()),
        };
    }
    if outdated.is_empty() {
        return Step::Rest;
    }
    if embedded::is(set) {
        return embedded::step(facts, &outdated);
    }
    let leading = leader(facts.reports);
    let node = leading.as_ref().map(|(_, node)| *node);
    let staying = || outdated.iter().copied().filter(|pod| !pods::ends(pod));
    if let Some(pod) = staying().find(|pod| facts.is_idle(pod, node)) {
        return replace(pod, None);
    }
    if facts.running.change.is_some() || facts.running.list.next.is_some() || !facts.running.written {
        return Step::soon("the change of the size comes first".to_owned());
    }
    let size = facts.running.list.size();
    let Some((leader_pod, node)) = leading.filter(|(_, node)| node.role() == Role::Leader) else {
        if size == 1
            && let Some(pod) = staying().next()
        {
            return replace(pod, Some("it is the only member: the cache begins again, empty"));
        }
        return Step::soon("no member leads: no pod is replaced before a quorum serves".to_owned());
    };
    if node.configuration.as_ref().is_some_and(|configuration| !configuration.next.is_empty()) {
        return Step::soon("waiting for the members to agree on their number".to_owned());
    }
    // Not ready first, then the highest ordinal, the leader last.
    let order = |pod: &&Pod| (pod.name_any() == leader_pod, pods::ready(pod));
    let Some(first) = staying().rev_min(order) else {
        let names: Vec<String> = outdated.iter().map(|pod| pod.name_any()).collect();
        return Step::wait(format!("waiting for {} to end", names.join(", ")));
    };
    let name = first.name_any();
    let others = (0..size).filter(|ordinal| facts.names.pod(*ordinal) != name);
    if let Some(trouble) = others.clone().find_map(|ordinal| facts.trouble(ordinal, set, node)) {
        return trouble;
    }
    match size {
        1 => replace(first, Some("it is the only member: the cache begins again, empty")),
        2 => replace(first, Some("2 members are no quorum without it: the cache begins again, empty")),
        _ if name == leader_pod => Step::Transfer { pod: name, uid: first.uid().unwrap_or_default() },
        _ => replace(first, None),
    }
}

/// The last of those that come first.
trait RevMin<'p>: Iterator<Item = &'p Pod> + Sized {
    fn rev_min<K: Ord>(self, key: impl Fn(&&'p Pod) -> K) -> Option<&'p Pod> {
        self.reduce(|best, pod| if key(&pod) <= key(&best) { pod } else { best })
    }
}

impl<'p, I: Iterator<Item = &'p Pod>> RevMin<'p> for I {}

fn replace(pod: &Pod, loses: Option<&'static str>) -> Step {
    Step::Replace { pod: pod.name_any(), uid: pod.uid().unwrap_or_default(), loses }
}
