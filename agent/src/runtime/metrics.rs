//! What the runtime counts. All labels are bounded: by the members of the host list, or by an enum.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use rauthy_core::{Role, Status};

use crate::serve::operations::Operations;

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

/// Why somebody was refused, or which stream was full.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// One of a fixed set of names.
    pub reason: &'static str,
}

/// Gauges and counters of one agent.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
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
    /// Milliseconds that are left of the read lease.
    pub lease_left_ms: Gauge<u64, AtomicU64>,
    /// Campaigns of this process.
    pub elections: Counter,
    /// How often this process wiped its data.
    pub wipes: Counter,
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
    /// Streams that were refused, on either side.
    pub refusals: Family<ReasonLabel, Counter>,
    /// Attempts to open a stream that found nobody to refuse it.
    pub dial_failures: Family<ReasonLabel, Counter>,
    /// Messages that were not sent or not taken.
    pub dropped: Family<ReasonLabel, Counter>,
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
        let mut all = Self {
            registry: Registry::default(),
            operations,
            role: Family::default(),
            led: Gauge::default(),
            ready: Gauge::default(),
            term: Gauge::default(),
            generations: Counter::default(),
            commit: Gauge::default(),
            applied: Gauge::default(),
            lease_left_ms: Gauge::default(),
            elections: Counter::default(),
            wipes: Counter::default(),
            entries: Gauge::default(),
            bytes: Gauge::default(),
            log_bytes: Gauge::default(),
            lag: Family::default(),
            links: Family::default(),
            refusals: Family::default(),
            dial_failures: Family::default(),
            dropped: Family::default(),
            certificate_expires: Gauge::default(),
            host_epoch: Gauge::default(),
        };
        r.register("role", "What this node is doing; exactly one is 1", all.role.clone());
        r.register("led", "1: this node follows a leader or is one", all.led.clone());
        r.register("ready", "1: seated, caught up and leased", all.ready.clone());
        r.register("term", "Number of the present leadership", all.term.clone());
        r.register("generations", "Times this node was bound to a generation", all.generations.clone());
        r.register("commit_index", "Last index that a quorum holds", all.commit.clone());
        r.register("applied_index", "Last index that is applied here", all.applied.clone());
        r.register("lease_left_milliseconds", "What is left of the read lease", all.lease_left_ms.clone());
        r.register("elections", "Campaigns of this process", all.elections.clone());
        r.register("wipes", "Times the data was wiped because the quorum was lost", all.wipes.clone());
        r.register("entries", "Values in the store", all.entries.clone());
        r.register("bytes", "Bytes of keys and values in the store", all.bytes.clone());
        r.register("log_bytes", "Bytes in the log", all.log_bytes.clone());
        r.register("lag_entries", "Entries a member is behind, known at the leader", all.lag.clone());
        r.register("link_up", "1: an authenticated control stream stands", all.links.clone());
        r.register("refusals", "Streams refused on either side, by reason", all.refusals.clone());
        r.register("dial_failures", "Attempts that reached no peer, by reason", all.dial_failures.clone());
        r.register("dropped_messages", "Messages not sent or not taken, by reason", all.dropped.clone());
        let left = "Until the first of the own certificates ends; 0 without TLS";
        r.register("certificate_expires_seconds", left, all.certificate_expires.clone());
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
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(text)
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

    /// This is a peer no more.
    pub fn no_peer(&self, peer: &str) {
        let label = PeerLabel { peer: peer.to_owned() };
        self.links.remove(&label);
        self.lag.remove(&label);
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
        self.lease_left_ms.set(status.lease_left.as_millis());
        // The core counts these itself; a counter only ever grows, and so do they.
        self.elections.inner().store(status.elections, Ordering::Relaxed);
        self.wipes.inner().store(status.wipes, Ordering::Relaxed);
        self.entries.set(entries as u64);
        self.bytes.set(bytes as u64);
        self.log_bytes.set(status.log_bytes as u64);
        self.host_epoch.set(status.epoch);
        for member in &status.members {
            if let Some(lag) = member.lag {
                self.lag.get_or_create(&PeerLabel { peer: member.slot.to_string() }).set(lag);
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
                configuration: None,
            };
            metrics.observe(&status, 0, 0);
            assert_eq!(metrics.is_learning(), learning, "{role:?}, led: {led}");
        }
    }
}
