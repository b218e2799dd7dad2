//! What cert-manager is asked for, and what it says. Its certificate is not mounted but followed: it may change at any
//! time, and members have to learn of it step by step.

use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Value, json};

use super::super::build::metadata;
use crate::names::MANAGED_BY;
use crate::reconcile::validate::Validated;

/// cert-manager's kind.
#[must_use]
pub fn resource() -> ApiResource {
    let kind = GroupVersionKind::gvk("cert-manager.io", "v1", "Certificate");
    ApiResource::from_gvk_with_plural(&kind, "certificates")
}

/// The `Certificate`; none without an issuer.
#[must_use]
pub fn build(cluster: &Validated) -> Option<DynamicObject> {
    let issuer = &cluster.spec.tls.cert_manager.as_ref()?.issuer_ref;
    let mut certificate = DynamicObject::new(&cluster.names.certificate(), &resource());
    certificate.metadata = metadata(cluster, cluster.names.certificate());
    certificate.data = json!({ "spec": {
        "secretName": cluster.names.issued(),
        // So that what is removed one day is known to be ours.
        "secretTemplate": { "labels": { MANAGED_BY.0: MANAGED_BY.1 } },
        "commonName": cluster.names.cluster,
        "dnsNames": cluster.names.certificate_hosts(),
        "usages": ["digital signature", "server auth", "client auth"],
        "privateKey": { "algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always" },
        "duration": "2160h0m0s",
        "renewBefore": "720h0m0s",
        "issuerRef": { "name": issuer.name, "kind": issuer.kind, "group": issuer.group },
    }});
    Some(certificate)
}

/// Why cert-manager has not issued it, in its own words.
#[must_use]
pub fn why_not(certificate: Option<&DynamicObject>) -> String {
    let ready = certificate.and_then(|certificate| {
        let conditions = certificate.data.get("status")?.get("conditions")?.as_array()?;
        let ready = conditions.iter().find(|c| c.get("type").and_then(Value::as_str) == Some("Ready"))?;
        let message = ready.get("message")?.as_str()?;
        Some(message.chars().filter(|c| !c.is_control()).take(300).collect::<String>())
    });
    match ready {
        Some(message) => format!("cert-manager says: {message}"),
        None => "cert-manager has not said anything yet".to_owned(),
    }
}
