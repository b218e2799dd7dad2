//! Objects of kinds that other operators define.

use anyhow::ensure;
use rauthy_e2e::issuer::{CERTIFICATES, MONITORS, define};
use rauthy_e2e::lives::comes_back;
use rauthy_e2e::operators::restart_operator;
use rauthy_e2e::scene::OPERATOR;
use rauthy_e2e::{Issuer, lives, play};
use serde_json::json;

#[tokio::test]
async fn a_servicemonitor_and_a_certificate_come_back_when_they_are_deleted() -> anyhow::Result<()> {
    play("others", async |scene| {
        define(CERTIFICATES).await?;
        define(MONITORS).await?;
        // Which kinds there are is asked at the start, and then every five minutes.
        restart_operator(&scene.client).await?;
        let issuer = Issuer::start(scene)?;
        let tls = json!({"mode": "CertManager", "certManager": {"issuerRef": {"name": "company"}}});
        scene.apply(json!({"replicas": 3, "tls": tls})).await?;
        scene.available(3).await?;
        let before = lives(scene).await?;
        for object in ["servicemonitor/rauthy", "certificate/rauthy-tls"] {
            let spec = async || scene.kubectl(&["get", object, "-o", "jsonpath={.spec}"]).await;
            let was = spec().await?;
            comes_back(scene, object, &[]).await?;
            ensure!(!was.is_empty() && spec().await? == was, "{object} was {was}");
        }
        scene.condition("TLSReady", "True", OPERATOR).await?;
        scene.available(3).await?;
        let shown = scene.secret("rauthy-tls", "ca.crt").await?;
        ensure!(
            shown == issuer.authority.as_bytes(),
            "another authority: {}",
            String::from_utf8_lossy(&shown)
        );
        let after = lives(scene).await?;
        ensure!(after == before, "a pod was restarted: {before:?}, {after:?}");
        Ok(())
    })
    .await
}
