//! Certificates by cert-manager: what it would do for the operator's `Certificate` is done here.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams};
use rauthy_e2e::clients::none_failed;
use rauthy_e2e::scene::{KUBERNETES, OPERATOR, Scene};
use rauthy_e2e::tools::{path, said};
use rauthy_e2e::{Authority, Clients, eventually, lives, play};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const DEFINITION: &str = "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, \
    metadata: {name: certificates.cert-manager.io, annotations: {api-approved.kubernetes.io: tests}}, \
    spec: {group: cert-manager.io, scope: Namespaced, names: {plural: certificates, kind: Certificate}, versions: [{ \
    name: v1, served: true, storage: true, subresources: {status: {}}, \
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}]}}";

#[tokio::test]
#[ignore = "seen to pass once, by itself"]
async fn certificates_by_cert_manager_are_asked_for_used_and_followed_without_a_restart() -> anyhow::Result<()>
{
    play("cert-manager", async |scene| {
        // The part of the example that is about it, with an application beside.
        let example = path("examples/cert-manager.yaml")?;
        let example = scene.kubectl(&["create", "--dry-run=client", "-o", "json", "-f", &example]).await?;
        let example: Value = serde_json::from_str(&example)?;
        let defined = said("kubectl", &["apply", "-f", "-"], DEFINITION).await?;
        ensure!(defined.ok, "{}", defined.err);
        let issuer = Issuer::start(scene)?;
        scene.with_app(json!({"tls": example["spec"]["tls"]})).await?;
        let asked: DynamicObject = certificates(scene).get("rauthy-tls").await?;
        let (by, of) =
            (&asked.data["spec"]["issuerRef"], &example["spec"]["tls"]["certManager"]["issuerRef"]);
        ensure!(by["name"] == of["name"] && by["kind"] == of["kind"], "{asked:?}");
        ensure!(
            scene.secret("rauthy-tls", "ca.crt").await? == issuer.authority.as_bytes(),
            "whose certificate is it?"
        );
        scene.condition("TLSReady", "True", OPERATOR).await?;
        ensure!(
            scene.kubectl(&["get", "secret", "rauthy-ca"]).await.is_err(),
            "there is an authority of our own"
        );

        let clients = Clients::start(scene).await?;
        let before = lives(scene).await?;
        // cert-manager renews: here by `cmctl renew`, which is the removal of what it made before.
        let old = shown(scene).await?;
        let began = Instant::now();
        scene.kubectl(&["delete", "secret", "rauthy-issued"]).await?;
        eventually("every member shows the new certificate", KUBERNETES, async || {
            let now = shown(scene).await?;
            ensure!(now.iter().all(|one| *one == now[0] && !old.contains(one)), "{old:?}, {now:?}");
            anyhow::Ok(())
        })
        .await?;
        println!("renewed at all members after {:.1} s", began.elapsed().as_secs_f32());
        none_failed(&clients.stop().await?)?;
        let after = lives(scene).await?;
        ensure!(after == before, "a pod was restarted: {before:?}, {after:?}");
        Ok(())
    })
    .await
}

/// The certificate that each member shows.
async fn shown(scene: &Scene) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for pod in scene.pods() {
        all.push(scene.view(&pod).await?["credentials"]["certificate"].clone());
    }
    Ok(all)
}

fn certificates(scene: &Scene) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("cert-manager.io", "v1", "Certificate");
    let resource = ApiResource::from_gvk_with_plural(&kind, "certificates");
    Api::namespaced_with(scene.client.clone(), &scene.namespace, &resource)
}

/// Signs each `Certificate` that has none yet, until it is dropped.
struct Issuer {
    authority: String,
    task: JoinHandle<()>,
}

impl Issuer {
    fn start(scene: &Scene) -> anyhow::Result<Self> {
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
