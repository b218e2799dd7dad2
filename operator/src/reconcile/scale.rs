//! The size changes while the cluster serves. Pure: what to ask the leader, and what the list becomes.
//!
//! ```text
//! {now A} ──spec.replicas──▶ {now A, next B} announced ──read, grown, learned──▶ committing ──SetSize done──▶ {now B}
//!    ▲                              │ another size is wanted                                                  pods of B
//!    └───SetSize done─── {now A} taken back ◀┘ (only before committing)
//! ```
//!
//! Rules 3 and 4 of docs/protocol.md, seen from whoever writes the list. Each round takes one step from what it
//! observes, so that a crash between any two is survived: `committing` is written before the leader is asked for the
//! first time, and the list with B alone only after it answered that the change is committed. One change at a time; a
//! new size that is wanted meanwhile comes next. Nothing that is observed ever lowers what the spec asks for.

pub mod embedded;

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::StatefulSet;
use rauthy_proto::admin::size_refusal::Reason;
use rauthy_proto::admin::{SetSizeReply, SetSizeRequest, SizeProgress, set_size_reply};
use rauthy_proto::cache::NodeStatus;

use super::build::host_list::{self, Change, HostList, Running, Stage, hosts};
use crate::agents::{Report, leader};
use crate::crd::RauthyClusterSpec;
use crate::names::Names;

/// Members that do not come up are waited for this long, in seconds, while a majority of the new size is there.
const PATIENCE: i64 = 60;

/// Everything that a step is decided by.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'f> {
    /// The list, and how far the change has come.
    pub running: &'f Running,
    /// What the user wants.
    pub spec: &'f RauthyClusterSpec,
    /// Names of the cluster.
    pub names: &'f Names,
    /// The pods' template.
    pub statefulset: Option<&'f StatefulSet>,
    /// What the agents answered.
    pub reports: &'f [Report],
    /// The time, in seconds since 1970.
    pub now: i64,
}

/// What the leader said to the question of [`question`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is committed.
    Done,
    /// It is on its way.
    UnderWay,
    /// Not yet, and why.
    Refused(String),
}

impl Answer {
    /// Reads an agent's reply, or why there is none.
    #[must_use]
    pub fn of(reply: Result<SetSizeReply, String>) -> Self {
        match reply.map(|reply| reply.result) {
            Ok(Some(set_size_reply::Result::Progress(progress))) => match SizeProgress::try_from(progress) {
                Ok(SizeProgress::Done) => Self::Done,
                _ => Self::UnderWay,
            },
            Ok(Some(set_size_reply::Result::Refusal(refusal))) => match refusal.reason() {
                // The leader has changed since it was asked how it is.
                Reason::NotLeader => Self::UnderWay,
                _ => Self::Refused(refusal.message),
            },
            Ok(None) => Self::Refused(
                "the leader's answer is empty; are its agent and the operator of adjacent versions?"
                    .to_owned(),
            ),
            Err(error) => Self::Refused(format!("the leader does not answer: {error}")),
        }
    }
}

/// How the change stands, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is nothing to do.
    Rest,
    /// It goes on by itself.
    Moving(String),
    /// It waits for something that may take a person.
    Blocked(&'static str, String),
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The list, and how far the change has come, as they shall be written.
    pub running: Running,
    /// How it stands.
    pub progress: Progress,
}

impl Facts<'_> {
    fn slots(&self, size: i32) -> Vec<String> {
        (0..size).map(|ordinal| self.names.slot(ordinal, self.spec.cache.port)).collect()
    }

    fn list(&self, epoch: u64, now: i32, next: Option<i32>) -> HostList {
        let hosts = |size| hosts(self.names, self.spec, size);
        HostList { epoch, now: hosts(now), next: next.map(hosts) }
    }

    /// The member that leads.
    fn leader(&self) -> Option<&NodeStatus> {
        leader(self.reports).map(|(_, node)| node)
    }

    /// The log has the list that is written, and no other.
    fn settled(&self) -> bool {
        self.leader().and_then(|node| node.configuration.as_ref()).is_some_and(|configuration| {
            configuration.epoch >= self.running.list.epoch && configuration.next.is_empty()
        })
    }

    /// Members of the first `size` slots that read the list that is written.
    fn readers(&self, size: i32) -> usize {
        let slots = self.slots(size);
        let reads =
            |node: &&NodeStatus| slots.contains(&node.slot) && node.host_epoch >= self.running.list.epoch;
        self.reports.iter().filter_map(|report| report.answer.as_ref().ok()).filter(reads).count()
    }

    /// Slots of the first `size` whose member holds everything that is committed, as the leader judges.
    fn learned(&self, size: i32) -> BTreeSet<String> {
        let slots = self.slots(size);
        let members = self.leader().map(|node| node.members.as_slice()).unwrap_or_default();
        let learned = members.iter().filter(|member| member.caught_up || member.learned || member.me);
        learned.map(|member| member.slot.clone()).filter(|slot| slots.contains(slot)).collect()
    }

    /// The list was announced, or the last step taken, not long ago.
    fn patient(&self) -> bool {
        self.running.change.as_ref().is_some_and(|change| self.now < change.since.saturating_add(PATIENCE))
    }

    /// What passes by itself is no obstacle before it has lasted.
    fn wait(&self, reason: &'static str, text: String) -> Progress {
        if self.patient() { Progress::Moving(text) } else { Progress::Blocked(reason, text) }
    }

    fn no_leader(&self, wanted: i32) -> Progress {
        let message = format!(
            "{wanted} members are wanted, and nobody leads: the size changes when a quorum of the present members serves \
             again"
        );
        self.wait("NoLeader", message)
    }

    /// Pods that are created from now on take no part in a founding by an older list.
    fn floor_is_in_force(&self) -> bool {
        self.statefulset.is_some_and(|set| {
            let seen = set.status.as_ref().and_then(|status| status.observed_generation);
            host_list::floor(set) == Some(self.running.list.epoch) && seen >= set.metadata.generation
        })
    }
}

/// What the leader is to be asked in this round, before anything is decided.
#[must_use]
pub fn question(facts: &Facts<'_>) -> Option<SetSizeRequest> {
    let Running { list, change, written } = facts.running;
    // Rule 3f: written down first, then sent.
    if !written {
        return None;
    }
    facts.leader()?;
    let ask = |next: Option<i32>| SetSizeRequest {
        epoch: list.epoch,
        now: facts.slots(list.size()),
        next: next.map(|next| facts.slots(next)).unwrap_or_default(),
    };
    match (change.as_ref().map(|change| change.stage), list.next_size()) {
        (Some(Stage::Committing), Some(next)) => Some(ask(Some(next))),
        (Some(Stage::TakenBack), None) => Some(ask(None)),
        // Nothing is under way, and yet the log has another number: an object was lost.
        (None, None) if !facts.settled() => Some(ask(None)),
        _ => None,
    }
}

/// The next step; `answer` is what the leader said to [`question`].
#[must_use]
pub fn step(facts: &Facts<'_>, answer: Option<&Answer>) -> Step {
    let Running { list, change, written } = facts.running;
    let (size, wanted) = (list.size(), facts.spec.replicas);
    let stay = |progress| Step { running: facts.running.clone(), progress };
    let write = |list: HostList, change: Option<Change>, progress| Step {
        running: Running { list, change, written: false },
        progress,
    };
    if !written {
        let rests = change.is_none() && size == wanted;
        let again = || Progress::Moving("the host list is written anew".to_owned());
        return stay(if rests { Progress::Rest } else { again() });
    }
    let Some(next) = list.next_size() else {
        return match (change, answer) {
            (_, Some(Answer::Done)) if size == wanted => write(list.clone(), None, Progress::Rest),
            (_, Some(Answer::Done)) => announce(facts, wanted),
            (_, Some(Answer::UnderWay)) => stay(Progress::Moving(format!("going back to {size} members"))),
            (_, Some(Answer::Refused(why))) => stay(facts.wait("Refused", why.clone())),
            (None, None) if size == wanted => stay(Progress::Rest),
            (None, None) if facts.settled() => announce(facts, wanted),
            (_, None) => stay(facts.no_leader(wanted)),
        };
    };
    let what = format!("from {size} to {next} members");
    if change.as_ref().is_some_and(|change| change.stage == Stage::Committing) {
        return match answer {
            Some(Answer::Done) => write(
                facts.list(list.epoch + 1, next, None),
                None,
                Progress::Moving(format!("{what}: committed")),
            ),
            Some(Answer::UnderWay) => stay(Progress::Moving(format!("{what}: seats and leadership move"))),
            Some(Answer::Refused(why)) => stay(facts.wait("Refused", format!("{what}: {why}"))),
            None => stay(facts.no_leader(next)),
        };
    }
    if next != wanted {
        // Nobody was asked to change yet: it is taken back at once, and a generation that was founded under both lists
        // goes back as well.
        let pods = facts.running.pods();
        let change = Change { stage: Stage::TakenBack, pods, since: facts.now };
        return write(
            facts.list(list.epoch + 1, size, None),
            Some(change),
            Progress::Moving(format!("{what}: taken back")),
        );
    }
    match obstacle(facts, size, next) {
        Some(progress) => stay(match progress {
            Progress::Moving(text) => Progress::Moving(format!("{what}: {text}")),
            Progress::Blocked(reason, text) => Progress::Blocked(reason, format!("{what}: {text}")),
            Progress::Rest => Progress::Rest,
        }),
        None => {
            let change = Change { stage: Stage::Committing, pods: facts.running.pods(), since: facts.now };
            write(list.clone(), Some(change), Progress::Moving(format!("{what}: every member is told")))
        }
    }
}

fn announce(facts: &Facts<'_>, wanted: i32) -> Step {
    let (epoch, size) = (facts.running.list.epoch + 1, facts.running.list.size());
    let change = Change { stage: Stage::Announced, pods: size.max(wanted), since: facts.now };
    Step {
        running: Running {
            list: facts.list(epoch, size, Some(wanted)),
            change: Some(change),
            written: false,
        },
        progress: Progress::Moving(format!("from {size} to {wanted} members: announced")),
    }
}

/// What has to happen before the members may be told to change.
fn obstacle(facts: &Facts<'_>, size: i32, next: i32) -> Option<Progress> {
    let majority = |size: i32| usize::try_from(size / 2 + 1).unwrap_or(usize::MAX);
    if facts.leader().is_none() {
        return Some(facts.no_leader(next));
    }
    let wait = |reason, text: String| Some(facts.wait(reason, text));
    if !facts.floor_is_in_force() {
        return wait("StatefulSetNotObserved", "waiting for the StatefulSet controller".to_owned());
    }
    let readers = facts.readers(size);
    if readers < majority(size) {
        let text = format!("{readers} of {size} members read the new list, {} must", majority(size));
        return wait("ListNotRead", text);
    }
    let learned = facts.learned(next);
    let missing: Vec<_> = facts.slots(next).into_iter().filter(|slot| !learned.contains(slot)).collect();
    if learned.len() < majority(next) {
        let text = format!(
            "{} of {next} members hold a copy of the data, {} must; waiting for {}",
            learned.len(),
            majority(next),
            missing.join(", ")
        );
        return wait("MembersMissing", text);
    }
    // A dead member outside the majority blocks nothing, but a living one is worth waiting for.
    if !missing.is_empty() && facts.patient() {
        return Some(Progress::Moving(format!("waiting for {}", missing.join(", "))));
    }
    None
}

#[cfg(test)]
mod tests;
