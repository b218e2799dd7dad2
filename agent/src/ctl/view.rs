//! The answers as plain values that become JSON. A field keeps its name and meaning once it is published.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rauthy_client::{NodeStatus, Role, Value};
use serde::Serialize;

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
    pub digest: String,
    pub version: String,
    pub uptime_ms: u64,
    /// Absent without TLS.
    pub certificate_expires_in_s: Option<i64>,
    pub wipes: u64,
    pub elections: u64,
    pub members: Vec<MemberView>,
    pub refusals: Vec<RefusalView>,
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

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

impl From<&NodeStatus> for NodeView {
    fn from(node: &NodeStatus) -> Self {
        Self {
            cluster: node.cluster.clone(),
            slot: node.slot.clone(),
            incarnation: node.incarnation.clone(),
            role: match node.role() {
                Role::Unspecified => "unknown",
                Role::Free => "free",
                Role::Learner => "learner",
                Role::Follower => "follower",
                Role::Candidate => "candidate",
                Role::Leader => "leader",
            },
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
            digest: node.digest.clone(),
            version: node.version.clone(),
            uptime_ms: node.uptime_ms,
            certificate_expires_in_s: (node.certificate_expires_in_s != 0)
                .then_some(node.certificate_expires_in_s),
            wipes: node.wipes,
            elections: node.elections,
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

/// A value, or that there is none.
#[derive(Debug, Serialize)]
pub(super) struct ValueView<'a> {
    cache: &'a str,
    key: &'a str,
    found: bool,
    version: Option<u64>,
    /// The value, if it is UTF-8.
    value: Option<&'a str>,
    /// The value in base64, if it is not.
    value_base64: Option<String>,
}

impl<'a> ValueView<'a> {
    pub(super) fn new(cache: &'a str, key: &'a str, found: Option<&'a Value>) -> Self {
        let text = found.and_then(|f| std::str::from_utf8(&f.value).ok());
        Self {
            cache,
            key,
            found: found.is_some(),
            version: found.map(|f| f.version),
            value: text,
            value_base64: found.filter(|_| text.is_none()).map(|f| STANDARD.encode(&f.value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_come_as_base64() {
        let value = Value { value: vec![0xff, 0].into(), version: 3 };
        let json = serde_json::to_value(ValueView::new("c", "k", Some(&value))).unwrap();
        assert_eq!(json["value_base64"], "/wA=");
        assert!(json["value"].is_null());
        let miss = serde_json::to_value(ValueView::new("c", "k", None)).unwrap();
        assert_eq!((&miss["found"], &miss["version"]), (&false.into(), &serde_json::Value::Null));
    }
}
