//! Who may reach the members' port: the members and the operator. Every other port and all that leaves a pod stay as they
//! are, for they are the application's.

use std::collections::BTreeMap;

use k8s_openapi::api::networking::v1::{
    NetworkPolicy, NetworkPolicyIngressRule, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::metadata;
use crate::names::MANAGER;
use crate::reconcile::validate::Validated;

/// The highest port.
const LAST: i32 = 65535;

/// The policy; none where it is switched off. A policy for ingress allows what it names and nothing else, so the other
/// ports are named as the ranges around the one.
#[must_use]
pub fn build(cluster: &Validated) -> Option<NetworkPolicy> {
    if !cluster.spec.network_policy.enabled {
        return None;
    }
    let mesh = cluster.spec.cache.port;
    let selector = LabelSelector { match_labels: Some(cluster.names.selector()), ..LabelSelector::default() };
    let namespace = cluster
        .operator_namespace
        .as_ref()
        .map(|namespace| BTreeMap::from([("kubernetes.io/metadata.name".to_owned(), namespace.clone())]));
    // Where it is not known which namespace the operator is in, its pods in all of them.
    let anywhere = namespace.is_none().then(|| LabelSelector {
        match_labels: Some(BTreeMap::from([("app.kubernetes.io/name".to_owned(), MANAGER.to_owned())])),
        ..LabelSelector::default()
    });
    let operator = NetworkPolicyPeer {
        pod_selector: anywhere,
        namespace_selector: Some(LabelSelector { match_labels: namespace, ..LabelSelector::default() }),
        ..NetworkPolicyPeer::default()
    };
    let members = NetworkPolicyPeer { pod_selector: Some(selector.clone()), ..NetworkPolicyPeer::default() };
    let around = [("TCP", 1, mesh - 1), ("TCP", mesh + 1, LAST), ("UDP", 1, LAST), ("SCTP", 1, LAST)];
    let others = around
        .into_iter()
        .filter(|(_, from, to)| from <= to)
        .map(|(protocol, from, to)| ports(protocol, from, to));
    Some(NetworkPolicy {
        metadata: metadata(cluster, cluster.names.cluster.clone()),
        spec: Some(NetworkPolicySpec {
            pod_selector: Some(selector),
            policy_types: Some(vec!["Ingress".to_owned()]),
            ingress: Some(vec![
                NetworkPolicyIngressRule {
                    from: Some(vec![members, operator]),
                    ports: Some(vec![ports("TCP", mesh, mesh)]),
                },
                NetworkPolicyIngressRule { from: None, ports: Some(others.collect()) },
            ]),
            egress: None,
        }),
    })
}

fn ports(protocol: &str, from: i32, to: i32) -> NetworkPolicyPort {
    NetworkPolicyPort {
        protocol: Some(protocol.to_owned()),
        port: Some(IntOrString::Int(from)),
        end_port: (to > from).then_some(to),
    }
}
