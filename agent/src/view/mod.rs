//! How a node sees its cluster, as plain values that become JSON: for `ctl status` and for the status page. A field
//! keeps its name and meaning once it is published.
//!
//! * [`NodeView`]: what is so · [`verdict`]: whether it is well, and what to do if it is not · [`units`]: in words

pub mod units;
pub mod verdict;

use rauthy_client::{NodeStatus, Role};
use serde::Serialize;

pub use verdict::{Health, Problem, Verdict, verdict};

/// How one node sees its cluster.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)] // The names and units of `rauthy.cache.v1.NodeStatus`.
pub struct NodeView {
    pub cluster: String,
    pub slot: String,
    pub incarnation: String,
    pub role: &'static str,
    pub ready: bool,
    pub not_ready_reason: Option<String>,
    pub leader: Option<String>,
    pub generation: Option<String>,
    pub term: u64,
    pub commit: u64,
    pub applied: u64,
    pub lease_ms: u64,
    pub host_epoch: u64,
    pub entries: u64,
    pub bytes: u64,
    /// Absent while a snapshot is being installed.
    pub digest: Option<String>,
    pub version: String,
    pub uptime_ms: u64,
    /// Absent without TLS.
    pub certificate_expires_in_s: Option<i64>,
    /// Absent for a single node.
    pub credentials: Option<CredentialsView>,
    pub wipes: u64,
    pub elections: u64,
    /// Absent while free.
    pub configuration: Option<ConfigurationView>,
    pub members: Vec<MemberView>,
    pub refusals: Vec<RefusalView>,
}

/// Who counts, as the log says.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)] // The names of `rauthy.cache.v1.ConfigurationStatus`.
pub struct ConfigurationView {
    pub epoch: u64,
    pub now: Vec<String>,
    /// Empty: one list is in force.
    pub next: Vec<String>,
    pub resizing: bool,
}

/// Which certificates and tokens it uses, by names that are no secret.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)] // The names of `rauthy.cache.v1.Credentials`.
pub struct CredentialsView {
    /// Absent without TLS.
    pub certificate: Option<String>,
    pub authorities: Vec<String>,
    pub tokens: Vec<String>,
}

/// One slot of the cluster.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)] // The names of `rauthy.cache.v1.MemberStatus`.
pub struct MemberView {
    pub slot: String,
    /// Absent: the seat is vacant.
    pub incarnation: Option<String>,
    pub me: bool,
    pub connected: bool,
    pub link_error: Option<String>,
    /// Absent: only the leader knows.
    pub lag: Option<u64>,
    pub caught_up: bool,
    pub learned: bool,
    /// The last index at which its data was compared with this node's; absent: not yet.
    pub compared_at: Option<u64>,
    /// Whether they were equal there; absent: not compared yet.
    pub equal: Option<bool>,
    /// What it says of itself; absent: nothing lately, and always of this node.
    pub report: Option<ReportView>,
}

/// What a member says of itself.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)] // The names of `rauthy.cache.v1.Report`.
pub struct ReportView {
    pub role: &'static str,
    pub ready: bool,
    pub applied: u64,
    pub entries: u64,
    pub bytes: u64,
    pub version: String,
    pub uptime_ms: u64,
    /// Absent without TLS.
    pub certificate_expires_in_s: Option<i64>,
    pub connected: Vec<String>,
    pub age_ms: u64,
}

/// A peer that was refused lately.
#[derive(Clone, Debug, Serialize)]
#[allow(missing_docs)] // The names of `rauthy.cache.v1.Refusal`.
pub struct RefusalView {
    pub from: String,
    pub claimed: Option<String>,
    pub reason: String,
    pub age_s: u64,
    pub count: u64,
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Unspecified => "unknown",
        Role::Free => "free",
        Role::Learner => "learner",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
    }
}

fn with_tls(expires_in_s: i64) -> Option<i64> {
    (expires_in_s != 0).then_some(expires_in_s)
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl From<&NodeStatus> for NodeView {
    fn from(node: &NodeStatus) -> Self {
        Self {
            cluster: node.cluster.clone(),
            slot: node.slot.clone(),
            incarnation: node.incarnation.clone(),
            role: role(node.role()),
            ready: node.ready,
            not_ready_reason: some(&node.not_ready_reason),
            leader: some(&node.leader),
            generation: some(&node.generation),
            term: node.term,
            commit: node.commit,
            applied: node.applied,
            lease_ms: node.lease_ms,
            host_epoch: node.host_epoch,
            entries: node.entries,
            bytes: node.bytes,
            digest: some(&node.digest),
            version: node.version.clone(),
            uptime_ms: node.uptime_ms,
            certificate_expires_in_s: with_tls(node.certificate_expires_in_s),
            credentials: node.credentials.as_ref().map(|c| CredentialsView {
                certificate: some(&c.certificate),
                authorities: c.authorities.clone(),
                tokens: c.tokens.clone(),
            }),
            wipes: node.wipes,
            elections: node.elections,
            configuration: node.configuration.as_ref().map(|c| ConfigurationView {
                epoch: c.epoch,
                now: c.now.clone(),
                next: c.next.clone(),
                resizing: c.resizing,
            }),
            members: node
                .members
                .iter()
                .map(|m| MemberView {
                    slot: m.slot.clone(),
                    incarnation: some(&m.incarnation),
                    me: m.me,
                    connected: m.connected,
                    link_error: some(&m.link_error),
                    lag: m.lag,
                    caught_up: m.caught_up,
                    learned: m.learned,
                    compared_at: m.compared_at,
                    equal: m.compared_at.map(|_| m.equal),
                    report: m.report.as_ref().map(ReportView::from),
                })
                .collect(),
            refusals: node
                .refusals
                .iter()
                .map(|r| RefusalView {
                    from: r.from.clone(),
                    claimed: some(&r.claimed),
                    reason: r.reason.clone(),
                    age_s: r.age_s,
                    count: r.count,
                })
                .collect(),
        }
    }
}

impl From<&rauthy_proto::cache::Report> for ReportView {
    fn from(report: &rauthy_proto::cache::Report) -> Self {
        Self {
            role: role(report.role()),
            ready: report.ready,
            applied: report.applied,
            entries: report.entries,
            bytes: report.bytes,
            version: report.version.clone(),
            uptime_ms: report.uptime_ms,
            certificate_expires_in_s: with_tls(report.certificate_expires_in_s),
            connected: report.connected.clone(),
            age_ms: report.age_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use rauthy_client::{ConfigurationStatus, MemberStatus, Refusal};
    use serde_json::Value;

    fn names(value: &Value, path: &str, out: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    out.insert(path.clone());
                    names(value, &path, out);
                }
            }
            Value::Array(all) => all.iter().for_each(|one| names(one, &format!("{path}[]"), out)),
            _ => {}
        }
    }

    #[test]
    fn the_documentation_has_every_field() {
        let member = MemberStatus { report: Some(Default::default()), ..MemberStatus::default() };
        let node = NodeStatus {
            members: vec![member],
            configuration: Some(ConfigurationStatus::default()),
            refusals: vec![Refusal::default()],
            credentials: Some(Default::default()),
            ..NodeStatus::default()
        };
        let mut served = BTreeSet::new();
        names(&serde_json::to_value(NodeView::from(&node)).unwrap(), "", &mut served);
        let text = include_str!("../../../docs/guide/ctl.md");
        let begin = text.find("| field | meaning |").unwrap();
        let rows =
            text[begin..].lines().skip(2).map_while(|line| line.strip_prefix("| `")?.split('`').next());
        let told: BTreeSet<String> = rows.map(str::to_owned).collect();
        assert_eq!(told, served);
    }
}
