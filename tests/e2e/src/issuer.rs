//! What other operators bring along, as far as ours has to do with it: definitions of their kinds, and a stand-in for
//! cert-manager.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::certificates::Authority;
use crate::scene::Scene;
use crate::tools::{kubectl, said};

/// Group, plural and kind of cert-manager's certificates.
pub const CERTIFICATES: [&str; 3] = ["cert-manager.io", "certificates", "Certificate"];
/// Those of the Prometheus Operator's monitors.
pub const MONITORS: [&str; 3] = ["monitoring.coreos.com", "servicemonitors", "ServiceMonitor"];

/// Has the API server take such objects, whatever stands in them. It stays so: other tests may use the kind by then.
///
/// # Errors
/// If it does not.
pub async fn define([group, plural, kind]: [&str; 3]) -> anyhow::Result<()> {
    let name = format!("{plural}.{group}");
    let version = json!({
        "name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
    });
    let definition: Value = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": name, "annotations": {"api-approved.kubernetes.io": "tests"}},
        "spec": {"group": group, "scope": "Namespaced", "names": {"plural": plural, "kind": kind}, "versions": [version]},
    });
    let applied = said("kubectl", &["apply", "--server-side", "-f", "-"], &definition.to_string()).await?;
    ensure!(applied.ok, "{}", applied.err);
    kubectl(&["wait", "--for=condition=Established", "--timeout=60s", "crd", &name]).await?;
    Ok(())
}

/// The `Certificate`s of a scene.
#[must_use]
pub fn certificates(scene: &Scene) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("cert-manager.io", "v1", "Certificate");
    let resource = ApiResource::from_gvk_with_plural(&kind, "certificates");
    Api::namespaced_with(scene.client.clone(), &scene.namespace, &resource)
}

/// Does what cert-manager would: signs each `Certificate` that has none yet, until it is dropped.
pub struct Issuer {
    /// Its certificate.
    pub authority: String,
    task: JoinHandle<()>,
}

impl Issuer {
    /// Begins.
    ///
    /// # Errors
    /// If no key can be made.
    pub fn start(scene: &Scene) -> anyhow::Result<Self> {
        let (scene, authority) = (scene.clone(), Authority::new("company-ca")?);
        let pem = authority.pem.clone();
        let task = tokio::spawn(async move {
            loop {
                // The definition may not be served yet.
                let _ = sign(&scene, &authority).await;
                tokio::time::sleep(Duration::from_millis(300)).await;
            }
        });
        Ok(Self { authority: pem, task })
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn sign(scene: &Scene, authority: &Authority) -> anyhow::Result<()> {
    let certificates = certificates(scene);
    for certificate in certificates.list(&ListParams::default()).await?.items {
        let spec = &certificate.data["spec"];
        let name = spec["secretName"].as_str().context("no secretName")?;
        if scene.api::<Secret>().get_opt(name).await?.is_some() {
            continue;
        }
        let hosts = serde_json::from_value(spec["dnsNames"].clone())?;
        let mut secret = authority.secret(name, hosts)?;
        secret.metadata.labels = serde_json::from_value(spec["secretTemplate"]["labels"].clone())?;
        scene.api::<Secret>().create(&Default::default(), &secret).await?;
        let ready = json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let its = certificate.metadata.name.as_deref().unwrap_or_default();
        certificates.patch_status(its, &PatchParams::default(), &Patch::Merge(&ready)).await?;
    }
    Ok(())
}
