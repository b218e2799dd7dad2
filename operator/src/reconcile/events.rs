//! What a person would want to know when it happens, as Kubernetes events. [`notes`] is pure; [`Publisher`] writes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::PostParams;
use kube::{Api, Client};

use super::apply::Applied;
use super::credentials;
use super::disruption::DRAINS_WAIT;
use crate::crd::{MemberStatus, RauthyCluster, RauthyClusterStatus};
use crate::names::MANAGER;

const PEER_REFUSED: &str = "PeerRefused";
/// Reason of the event, and of the condition, about a cluster that cannot be read.
pub const UNREADABLE: &str = "Unreadable";
/// Longest note that the API server takes, in bytes.
const LONGEST: usize = 1000;
/// The same words about the same object are not repeated within this time.
const QUIET: Duration = Duration::from_secs(60);
/// A member's refusals for one reason are not reported again within this time, whoever it refuses: strangers must not
/// be able to write events.
const QUIET_REFUSALS: Duration = Duration::from_secs(3600);

/// Something worth an event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Note {
    /// Whether somebody should have a look.
    pub warning: bool,
    /// One word in CamelCase.
    pub reason: &'static str,
    /// What happened. Never a secret.
    pub text: String,
}

fn normal(reason: &'static str, text: String) -> Note {
    Note { warning: false, reason, text }
}

fn warning(reason: &'static str, text: String) -> Note {
    Note { warning: true, reason, text }
}

/// What happened between the previous status and the new one, and by what was applied.
#[must_use]
pub fn notes(cluster: &RauthyCluster, new: &RauthyClusterStatus, applied: &Applied) -> Vec<Note> {
    let nothing = RauthyClusterStatus::default();
    let old = cluster.status.as_ref().unwrap_or(&nothing);
    let mut notes = Vec::new();
    let Applied { created, changed, removed } = applied;
    for (reason, objects) in [("Created", created), ("Updated", changed), ("Removed", removed)] {
        if !objects.is_empty() {
            notes.push(normal(reason, objects.join(", ")));
        }
    }
    let replicas = cluster.spec.replicas;
    if old.observed_generation != new.observed_generation && replicas % 2 == 0 {
        let text = match replicas {
            2 => "2 members stop serving when either is lost or drained; 3 tolerate one".to_owned(),
            n => format!("{n} members tolerate no more failures than {}", n - 1),
        };
        notes.push(warning("EvenSize", text));
    }
    if old.observed_generation != new.observed_generation && replicas == 1 {
        let text =
            "a restart of the only member loses the cache; 3 members tolerate the loss of one".to_owned();
        notes.push(warning("SingleMember", text));
    }
    conditions(old, new, &mut notes);
    if let Some(leader) = new.leader.as_ref().filter(|_| new.leader != old.leader) {
        let before = old.leader.as_ref().map(|old| format!(" after {old}")).unwrap_or_default();
        notes.push(normal(
            "LeaderChanged",
            format!("{leader} leads{before} (term {})", new.term.unwrap_or(0)),
        ));
    }
    if let (Some(before), Some(after)) = (&old.certificate, &new.certificate)
        && before.not_after != after.not_after
    {
        notes.push(normal(
            "CertificateRenewed",
            format!("the members' certificate is valid until {}", after.not_after),
        ));
    }
    for member in &new.members {
        let before = old.members.iter().find(|old| old.slot == member.slot);
        failures(before, member, &mut notes);
    }
    notes
}

/// Reasons of Degraded that are worth an event of their own.
const DEGRADED: [&str; 5] =
    ["InvalidSpec", "ReconcileFailed", "ForeignFields", "InvalidRequest", "TokenUnusable"];
/// Reasons of TLSReady that are.
const TLS: [&str; 4] = ["SourceUnusable", "ExpiresSoon", "Expired", "RotationBlocked"];

/// The steps that were taken in replacing certificates and tokens.
#[must_use]
pub fn steps(taken: &credentials::Progress) -> Vec<Note> {
    let loud = |reason| matches!(reason, credentials::steps::TOKEN_LOST | credentials::steps::TOKEN_RESTORED);
    let note =
        |(reason, text): &(&'static str, String)| Note { warning: loud(reason), reason, text: text.clone() };
    taken.steps.iter().map(note).collect()
}

fn conditions(old: &RauthyClusterStatus, new: &RauthyClusterStatus, notes: &mut Vec<Note>) {
    let find = |status: &RauthyClusterStatus, kind: &str| {
        status
            .conditions
            .iter()
            .find(|c| c.type_ == kind)
            .map(|c| (c.status.clone(), c.reason.clone(), c.message.clone()))
    };
    let (before, after) = (find(old, "Available"), find(new, "Available"));
    let was = |value: &str| before.as_ref().is_some_and(|(status, ..)| status == value);
    match after {
        Some((status, _, message)) if status == "True" && !was("True") => {
            notes.push(normal("Available", message))
        }
        Some((status, _, message)) if status != "True" && was("True") => {
            notes.push(warning("Unavailable", message))
        }
        _ => {}
    }
    if let Some((status, _, message)) = find(new, "UpdateAvailable")
        && status == "True"
        && find(old, "UpdateAvailable").map(|(_, _, old)| old).as_ref() != Some(&message)
    {
        notes.push(normal("UpdateAvailable", message));
    }
    for (kind, reasons) in [("Degraded", DEGRADED.as_slice()), ("ScalingBlocked", &[])] {
        if let Some((status, reason, message)) = find(new, kind)
            && status == "True"
            && find(old, kind).map(|(_, _, old)| old).as_ref() != Some(&message)
        {
            match reasons.iter().find(|known| **known == reason) {
                Some(known) => notes.push(warning(known, message)),
                None if kind == "ScalingBlocked" => notes.push(warning("ScalingBlocked", message)),
                None => {}
            }
        }
    }
    if let Some((_, reason, message)) = find(new, "TLSReady")
        && let Some(known) = TLS.iter().find(|known| **known == reason)
        && find(old, "TLSReady").is_none_or(|(_, before, _)| before != reason)
    {
        notes.push(warning(known, message));
    }
    let paused = |status| find(status, "Paused").is_some_and(|(status, ..)| status == "True");
    match (paused(old), paused(new)) {
        (false, true) => {
            notes.push(normal("Paused", "no object is changed while spec.paused is true".to_owned()))
        }
        (true, false) => notes.push(normal("Resumed", "spec.paused is false again".to_owned())),
        _ => {}
    }
}

fn failures(before: Option<&MemberStatus>, member: &MemberStatus, notes: &mut Vec<Note>) {
    let same = before.is_some_and(|b| b.last_exit == member.last_exit && b.restarts == member.restarts);
    if let Some(exit) = member.last_exit.as_ref().filter(|_| !same) {
        let hint = if exit.code == 78 { " (its configuration is wrong)" } else { "" };
        let text = format!(
            "{} of {} ended with exit code {}{hint}: {}",
            exit.container, member.pod, exit.code, exit.message
        );
        notes.push(warning("MemberFailed", text));
    }
    for refused in &member.refused {
        if before.is_some_and(|before| before.refused.contains(refused)) {
            continue;
        }
        let who = match refused.claimed.as_str() {
            "" => refused.from.clone(),
            claimed => format!("{claimed} at {}", refused.from),
        };
        notes.push(warning(PEER_REFUSED, format!("{} refuses {who}: {}", member.pod, refused.reason)));
    }
}

/// Writes events.
pub struct Publisher {
    client: Client,
    instance: String,
    /// Until when what was said about which object is not said again.
    recent: Mutex<HashMap<(String, Note), Instant>>,
}

impl Publisher {
    /// A publisher; `instance` is the operator's pod.
    #[must_use]
    pub fn new(client: Client, instance: String) -> Self {
        Self { client, instance, recent: Mutex::default() }
    }

    /// Writes events about an object. A failure is logged: an event is worth no second reconciliation.
    pub async fn publish(&self, about: &ObjectReference, notes: Vec<Note>) {
        for note in notes {
            if !self.is_new(about, &note) {
                continue;
            }
            let name = about.name.clone().unwrap_or_default();
            let namespace = about.namespace.clone().unwrap_or_else(|| "default".to_owned());
            if note.warning {
                tracing::warn!(%namespace, cluster = %name, "{}: {}", note.reason, note.text);
            } else {
                tracing::info!(%namespace, cluster = %name, "{}: {}", note.reason, note.text);
            }
            let api: Api<Event> = Api::namespaced(self.client.clone(), &namespace);
            let event = self.event(about, &name, note.clone());
            if let Err(error) = api.create(&PostParams::default(), &event).await {
                tracing::warn!(cluster = %name, %error, "an event cannot be written");
                // It may be found again, and was not said.
                self.forget(about, &note);
            }
        }
    }

    fn event(&self, about: &ObjectReference, name: &str, note: Note) -> Event {
        let now = Timestamp::now();
        let mut text = note.text;
        while text.len() > LONGEST {
            text.pop();
        }
        Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{:x}", now.as_nanosecond())),
                namespace: about.namespace.clone(),
                ..ObjectMeta::default()
            },
            action: Some(note.reason.to_owned()),
            reason: Some(note.reason.to_owned()),
            note: Some(text),
            type_: Some(if note.warning { "Warning" } else { "Normal" }.to_owned()),
            event_time: Some(MicroTime(now)),
            regarding: Some(about.clone()),
            reporting_controller: Some(format!("rauthy.dev/{MANAGER}")),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        }
    }

    /// A watch may show the previous status for a moment, and the difference would be found twice.
    fn is_new(&self, about: &ObjectReference, note: &Note) -> bool {
        let now = Instant::now();
        let mut recent = self.recent.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        recent.retain(|_, until| now < *until);
        let (key, quiet) = said(about, note);
        match recent.entry(key) {
            Entry::Occupied(_) => false,
            Entry::Vacant(free) => {
                free.insert(now + quiet);
                true
            }
        }
    }

    fn forget(&self, about: &ObjectReference, note: &Note) {
        let mut recent = self.recent.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        recent.remove(&said(about, note).0);
    }
}

/// What counts as the same, and for how long it is not said again.
fn said(about: &ObjectReference, note: &Note) -> ((String, Note), Duration) {
    // What lasts until a person acts.
    let waits = matches!(note.reason, DRAINS_WAIT | UNREADABLE);
    let (mut note, mut quiet) = (note.clone(), if waits { QUIET_REFUSALS } else { QUIET });
    if note.reason == PEER_REFUSED
        && let (Some((member, _)), Some((_, reason))) =
            (note.text.split_once(' '), note.text.rsplit_once(": "))
    {
        note.text = format!("{member}: {reason}");
        quiet = QUIET_REFUSALS;
    }
    ((about.uid.clone().unwrap_or_default(), note), quiet)
}
