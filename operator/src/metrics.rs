//! What Prometheus reads. Labels are bounded: clusters that are gone take their series along.

use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::crd::RauthyClusterStatus;
use crate::names::Names;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ClusterLabels {
    namespace: String,
    name: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

type ClusterGauge = Family<ClusterLabels, Gauge<i64, AtomicI64>>;

/// The operator's metrics.
pub struct Metrics {
    registry: Registry,
    rounds: Family<ResultLabels, Counter>,
    seconds: Histogram,
    leading: Gauge,
    members: ClusterGauge,
    ready: ClusterGauge,
    available: ClusterGauge,
    certificate: ClusterGauge,
    authority: ClusterGauge,
    rotating: ClusterGauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("rauthy_operator");
        let rounds = Family::<ResultLabels, Counter>::default();
        registry.register("reconciliations", "Rounds, by result", rounds.clone());
        let seconds = Histogram::new([0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]);
        registry.register("reconciliation_seconds", "Duration of a round", seconds.clone());
        let leading = Gauge::default();
        registry.register("leading", "Whether this replica acts", leading.clone());
        let mut cluster = |name: &str, help: &str| {
            let gauge = ClusterGauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let members = cluster("cluster_members", "Members of a RauthyCluster");
        let ready = cluster("cluster_ready_members", "Members that serve");
        let available = cluster("cluster_available", "Whether a quorum serves under a known leader");
        let certificate =
            cluster("cluster_certificate_expiry_timestamp_seconds", "When the certificate expires");
        let authority = cluster(
            "cluster_authority_expiry_timestamp_seconds",
            "When the first of the authorities that members accept expires",
        );
        let rotating = cluster(
            "cluster_rotating",
            "Whether certificates or tokens are being replaced: members have yet to confirm",
        );
        Self {
            registry,
            rounds,
            seconds,
            leading,
            members,
            ready,
            available,
            certificate,
            authority,
            rotating,
        }
    }
}

impl Metrics {
    /// Counts a round.
    pub fn reconciled(&self, ok: bool, took: Duration) {
        let result = if ok { "ok" } else { "error" };
        self.rounds.get_or_create(&ResultLabels { result }).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// Whether this replica acts.
    pub fn leading(&self, leading: bool) {
        self.leading.set(i64::from(leading));
    }

    /// The state of a cluster.
    pub fn observed(&self, names: &Names, status: &RauthyClusterStatus) {
        let labels = labels(names);
        let available = status.conditions.iter().any(|c| c.type_ == "Available" && c.status == "True");
        self.members.get_or_create(&labels).set(i64::try_from(status.members.len()).unwrap_or(i64::MAX));
        self.ready.get_or_create(&labels).set(i64::from(status.ready_replicas));
        self.available.get_or_create(&labels).set(i64::from(available));
        let rotating = status.conditions.iter().any(|c| c.type_ == "Progressing" && c.reason == "Rotating");
        self.rotating.get_or_create(&labels).set(i64::from(rotating));
        let certificate = status.certificate.as_ref();
        for (gauge, end) in [
            (&self.certificate, certificate.map(|c| c.not_after.as_str())),
            (&self.authority, certificate.and_then(|c| c.authority_not_after.as_deref())),
        ] {
            if let Some(end) = end.and_then(|end| end.parse::<jiff::Timestamp>().ok()) {
                gauge.get_or_create(&labels).set(end.as_second());
            }
        }
    }

    /// Drops the series of a cluster that is gone.
    pub fn forget(&self, names: &Names) {
        let labels = labels(names);
        for family in
            [&self.members, &self.ready, &self.available, &self.certificate, &self.authority, &self.rotating]
        {
            family.remove(&labels);
        }
    }

    /// The text that Prometheus reads.
    ///
    /// # Errors
    /// Never in practice: a string can be written to.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

fn labels(names: &Names) -> ClusterLabels {
    ClusterLabels { namespace: names.namespace.clone(), name: names.cluster.clone() }
}
