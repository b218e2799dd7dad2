//! Certificates by cert-manager, of which there is a stand-in ([`rauthy_e2e::issuer`]).

use std::time::Instant;

use anyhow::ensure;
use rauthy_e2e::clients::none_failed;
use rauthy_e2e::scene::{KUBERNETES, OPERATOR, Scene};
use rauthy_e2e::tools::path;
use rauthy_e2e::{Clients, Issuer, eventually, issuer, lives, play};
use serde_json::{Value, json};

#[tokio::test]
async fn certificates_by_cert_manager_are_asked_for_used_and_followed_without_a_restart() -> anyhow::Result<()>
{
    play("cert-manager", async |scene| {
        // The part of the example that is about it, with an application beside.
        let example = path("examples/cert-manager.yaml")?;
        let example = scene.kubectl(&["create", "--dry-run=client", "-o", "json", "-f", &example]).await?;
        let example: Value = serde_json::from_str(&example)?;
        issuer::define(issuer::CERTIFICATES).await?;
        let issuer = Issuer::start(scene)?;
        scene.with_app(json!({"tls": example["spec"]["tls"]})).await?;
        let asked = issuer::certificates(scene).get("rauthy-tls").await?;
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
