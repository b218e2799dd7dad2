//! What the runtime counts. All labels are bounded: by the members of the host list, by an enum, or, for caches, by a
//! number. `docs/metrics.md` lists them for people, and a test holds the two together.

mod present;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use rauthy_core::{Replica, Role, Status};

use crate::serve::operations::Operations;
use present::Present;
pub use present::{CacheSize, Memory};

/// One role; exactly one of them is 1.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RoleLabel {
    /// Its name.
    pub role: &'static str,
}

/// One member of the host list.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PeerLabel {
    /// `host:port` of its slot.
    pub peer: String,
}

/// A file that is read again when it changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FileLabel {
    /// `certificates`, `token` or `hosts`.
    pub file: &'static str,
}

/// Why somebody was refused, or which stream was full.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// One of a fixed set of names.
    pub reason: &'static str,
}

/// The generation that this node is bound to; one at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct GenerationLabel {
    /// Its name in hex.
    pub generation: String,
}

/// Gauges and counters of one agent.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// What is looked up when somebody asks.
    present: Arc<Present>,
    /// What applications asked; counted by the servers.
    pub operations: Operations,
    /// What this node is doing.
    pub role: Family<RoleLabel, Gauge>,
    /// It follows a leader or is one.
    pub led: Gauge,
    /// Seated, caught up and leased.
    pub ready: Gauge,
    /// Term of the present leadership.
    pub term: Gauge<u64, AtomicU64>,
    /// How often this node was bound to a generation.
    pub generations: Counter,
    /// Commit index.
    pub commit: Gauge<u64, AtomicU64>,
    /// Applied index.
    pub applied: Gauge<u64, AtomicU64>,
    /// The generation; nothing while free.
    pub generation: Family<GenerationLabel, Gauge>,
    /// Seconds that are left of the read lease.
    pub lease_left: Gauge<f64, AtomicU64>,
    /// Campaigns of this process.
    pub elections: Counter,
    /// How often this process wiped its data.
    pub wipes: Counter,
    /// Writes at level Direct that were answered and that the leader was not heard to have.
    pub direct_lost: Counter,
    /// Values in the store.
    pub entries: Gauge<u64, AtomicU64>,
    /// Bytes in the store.
    pub bytes: Gauge<u64, AtomicU64>,
    /// Bytes in the log.
    pub log_bytes: Gauge<u64, AtomicU64>,
    /// Entries that a member is behind; known at the leader.
    pub lag: Family<PeerLabel, Gauge<u64, AtomicU64>>,
    /// An authenticated control stream stands.
    pub links: Family<PeerLabel, Gauge>,
    /// Times that one came up.
    pub links_opened: Family<PeerLabel, Counter>,
    /// 1: a file has changed and what it holds now cannot be used, so what it held before still is.
    pub stale_files: Family<FileLabel, Gauge>,
    /// Streams that were refused, on either side.
    pub refusals: Family<ReasonLabel, Counter>,
    /// Attempts to open a stream that found nobody to refuse it.
    pub dial_failures: Family<ReasonLabel, Counter>,
    /// Messages that were not sent or not taken.
    pub dropped: Family<ReasonLabel, Counter>,
    /// 1: the data of this peer was equal to ours where both were known last.
    pub equal: Family<PeerLabel, Gauge>,
    /// Seconds until the first of the own certificates ends; 0 without TLS.
    pub certificate_expires: Gauge,
    /// Epoch of the host list.
    pub host_epoch: Gauge<u64, AtomicU64>,
}

const ROLES: [&str; 5] = ["free", "learner", "follower", "candidate", "leader"];

/// The name of a role in metrics and logs.
#[must_use]
pub fn role_name(role: Role) -> &'static str {
    match role {
        Role::Free => "free",
        Role::Learner => "learner",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut r = Registry::with_prefix("rauthy");
        let operations = Operations::register(&mut r);
        let certificate_expires = Gauge::default();
        let present = Arc::new(Present::new(operations.clone(), certificate_expires.clone()));
        r.register_collector(Box::new(present.clone()));
        let mut all = Self {
            registry: Registry::default(),
            present,
            operations,
            role: Family::default(),
            led: Gauge::default(),
            ready: Gauge::default(),
            term: Gauge::default(),
            generations: Counter::default(),
            generation: Family::default(),
            commit: Gauge::default(),
            applied: Gauge::default(),
            lease_left: Gauge::default(),
            elections: Counter::default(),
            wipes: Counter::default(),
            direct_lost: Counter::default(),
            entries: Gauge::default(),
            bytes: Gauge::default(),
            log_bytes: Gauge::default(),
            lag: Family::default(),
            links: Family::default(),
            links_opened: Family::default(),
            stale_files: Family::default(),
            refusals: Family::default(),
            dial_failures: Family::default(),
            dropped: Family::default(),
            equal: Family::default(),
            certificate_expires,
            host_epoch: Gauge::default(),
        };
        r.register("role", "What this node is doing; exactly one is 1", all.role.clone());
        r.register("led", "1: this node follows a leader or is one", all.led.clone());
        r.register("ready", "1: seated, caught up and leased", all.ready.clone());
        r.register("term", "Number of the present leadership", all.term.clone());
        r.register("generation_info", "The generation of the data, by name", all.generation.clone());
        r.register("generations", "Times this node was bound to a generation", all.generations.clone());
        r.register("commit_index", "Last index that a quorum holds", all.commit.clone());
        r.register("applied_index", "Last index that is applied here", all.applied.clone());
        let left = "What is left of the read lease";
        r.register_with_unit("lease_left", left, Unit::Seconds, all.lease_left.clone());
        r.register("elections", "Campaigns of this process", all.elections.clone());
        r.register("wipes", "Times the data was wiped because the quorum was lost", all.wipes.clone());
        let lost = "Writes at level Direct that were answered and that the leader was not heard to have";
        r.register("direct_lost", lost, all.direct_lost.clone());
        r.register("store_entries", "Values in the store", all.entries.clone());
        let charged = "Bytes of keys and values in the store, with a fixed part for each";
        r.register_with_unit("store", charged, Unit::Bytes, all.bytes.clone());
        r.register_with_unit("log", "Bytes in the log", Unit::Bytes, all.log_bytes.clone());
        r.register("lag_entries", "Entries a member is behind, known at the leader", all.lag.clone());
        r.register("link_up", "1: an authenticated control stream stands", all.links.clone());
        r.register("links_opened", "Times an authenticated control stream came up", all.links_opened.clone());
        let stale = "1: the changed file cannot be used, what it held before stays in use";
        r.register("stale_files", stale, all.stale_files.clone());
        r.register("refusals", "Streams refused on either side, by reason", all.refusals.clone());
        r.register("dial_failures", "Attempts that reached no peer, by reason", all.dial_failures.clone());
        r.register("dropped_messages", "Messages not sent or not taken, by reason", all.dropped.clone());
        let equal = "1: the data of this member was equal to ours where both were known last";
        r.register("replica_equal", equal, all.equal.clone());
        r.register("host_list_epoch", "Epoch of the host list in use", all.host_epoch.clone());
        all.registry = r;
        all
    }
}

impl Metrics {
    /// All of them as OpenMetrics text.
    ///
    /// # Errors
    /// None in practice: text is written to memory.
    pub async fn encode(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        prometheus_client::encoding::text::encode_registry(&mut text, &self.registry)?;
        // These go by the names that Prometheus gives them everywhere, without a prefix.
        let mut process = Registry::default();
        process.register_collector(Box::new(present::Process));
        prometheus_client::encoding::text::encode_registry(&mut text, &process)?;
        prometheus_client::encoding::text::encode_eof(&mut text)?;
        Ok(text)
    }

    /// The store is looked at when somebody asks, and may hold so many bytes.
    pub(crate) fn look_at(&self, replica: Arc<Replica>, limit: u64) {
        self.present.look_at(replica, limit);
    }

    /// What each cache holds, as metrics name them, and what all may hold together.
    #[must_use]
    pub fn memory(&self) -> Memory {
        self.present.memory()
    }

    /// The data of a peer was compared with ours.
    pub fn compared(&self, peer: &str, equal: bool) {
        self.equal.get_or_create(&PeerLabel { peer: peer.to_owned() }).set(i64::from(equal));
    }

    /// A stream was refused.
    pub fn refused(&self, reason: &'static str) {
        self.refusals.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// An attempt to open a stream reached no peer.
    pub fn dial_failed(&self, reason: &'static str) {
        self.dial_failures.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A message was not sent or not taken.
    pub fn drop_message(&self, reason: &'static str) {
        self.dropped.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A control stream to this peer stands, or stands no more.
    pub fn link(&self, peer: &str, up: bool) {
        self.links.get_or_create(&PeerLabel { peer: peer.to_owned() }).set(i64::from(up));
    }

    /// A control stream to this peer came up.
    pub fn link_opened(&self, peer: &str) {
        self.links_opened.get_or_create(&PeerLabel { peer: peer.to_owned() }).inc();
    }

    /// Whether what a file holds now cannot be used.
    pub fn stale(&self, file: &'static str, stale: bool) {
        self.stale_files.get_or_create(&FileLabel { file }).set(i64::from(stale));
    }

    /// This is a peer no more.
    pub fn no_peer(&self, peer: &str) {
        let label = PeerLabel { peer: peer.to_owned() };
        self.links.remove(&label);
        self.links_opened.remove(&label);
        self.lag.remove(&label);
        self.equal.remove(&label);
    }

    /// Whether this node follows a leader without a seat, as it was observed last: it is being brought up to date.
    pub(crate) fn is_learning(&self) -> bool {
        let learner = RoleLabel { role: role_name(Role::Learner) };
        self.led.get() == 1 && self.role.get_or_create(&learner).get() == 1
    }

    /// Copies what the core and its store know.
    pub(crate) fn observe(&self, status: &Status, entries: usize, bytes: usize) {
        for name in ROLES {
            let now = i64::from(name == role_name(status.role));
            self.role.get_or_create(&RoleLabel { role: name }).set(now);
        }
        self.led.set(i64::from(status.leader.is_some()));
        self.ready.set(i64::from(status.ready));
        self.term.set(status.term);
        self.commit.set(status.commit);
        self.applied.set(status.applied);
        self.lease_left.set(status.lease_left.0 as f64 / 1e6);
        let generation = status.generation.map(|g| GenerationLabel { generation: g.to_string() });
        if generation.as_ref().is_none_or(|g| self.generation.get(g).is_none()) {
            self.generation.clear();
        }
        if let Some(generation) = generation {
            self.generation.get_or_create(&generation).set(1);
        }
        // The core counts these itself; a counter only ever grows, and so do they.
        self.elections.inner().store(status.elections, Ordering::Relaxed);
        self.wipes.inner().store(status.wipes, Ordering::Relaxed);
        self.entries.set(entries as u64);
        self.bytes.set(bytes as u64);
        self.log_bytes.set(status.log_bytes as u64);
        self.host_epoch.set(status.epoch);
        for member in &status.members {
            let label = PeerLabel { peer: member.slot.to_string() };
            match member.lag {
                Some(lag) => {
                    self.lag.get_or_create(&label).set(lag);
                }
                // Who leads no more does not know: an old figure would stand for ever.
                None => {
                    self.lag.remove(&label);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rauthy_core::{Boot, Incarnation, Slot, Span};

    use super::*;

    #[test]
    fn only_a_learner_with_a_leader_is_learning() {
        let metrics = Metrics::default();
        assert!(!metrics.is_learning(), "nothing is known yet");
        let me = Incarnation { slot: Slot::new("a:1"), boot: Boot(1) };
        let table = [
            (Role::Learner, true, true),
            (Role::Learner, false, false),
            (Role::Follower, true, false),
            (Role::Follower, false, false),
            (Role::Free, false, false),
        ];
        for (role, led, learning) in table {
            let status = Status {
                me: me.clone(),
                role,
                generation: None,
                term: 0,
                leader: led.then(|| me.clone()),
                commit: 0,
                applied: 0,
                ready: false,
                not_ready: "",
                lease_left: Span(0),
                epoch: 0,
                members: Vec::new(),
                wipes: 0,
                elections: 0,
                log_bytes: 0,
                digest: None,
                configuration: None,
            };
            metrics.observe(&status, 0, 0);
            assert_eq!(metrics.is_learning(), learning, "{role:?}, led: {led}");
        }
    }
}
