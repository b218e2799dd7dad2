//! Certificates, authorities and tokens are replaced while the application writes through every pod.

use anyhow::ensure;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Patch, PatchParams};
use rauthy_e2e::certificates::hosts;
use rauthy_e2e::clients::none_failed;
use rauthy_e2e::scene::{CLUSTER, KUBERNETES, Scene};
use rauthy_e2e::{Authority, Clients, eventually, play};
use serde_json::{Value, json};

#[tokio::test]
async fn certificates_authorities_and_tokens_are_replaced_without_a_restart_or_a_failed_write()
-> anyhow::Result<()> {
    play("rotation", async |scene| {
        scene.with_app(json!({})).await?;
        let lives = rauthy_e2e::lives(scene).await?;
        let mut before = same(scene).await?;
        let clients = Clients::start(scene).await?;
        // What is asked for, and what of the credentials changes by it.
        for (what, changes) in [
            ("certificates", vec!["certificate"]),
            ("ca", vec!["certificate", "authorities"]),
            ("token", vec!["tokens"]),
        ] {
            let began = std::time::Instant::now();
            scene
                .kubectl(&[
                    "annotate",
                    "rauthycluster",
                    CLUSTER,
                    &format!("rauthy.dev/renew={what}"),
                    "--overwrite",
                ])
                .await?;
            before = replaced(scene, &before, &changes).await?;
            println!("{what}: replaced at all members within {:.1} s", began.elapsed().as_secs_f32());
        }
        // From the cluster's own authority to a certificate of the user's, and back.
        scene.kubectl(&["annotate", "rauthycluster", CLUSTER, "rauthy.dev/renew-"]).await?;
        let mine = Authority::new("nobody's")?.secret("mine", hosts())?;
        scene.api::<Secret>().create(&Default::default(), &mine).await?;
        let both = ["certificate", "authorities"];
        for tls in [
            json!({"mode": "Secret", "secret": {"name": "mine"}}),
            json!({"mode": "Managed", "secret": null}),
        ] {
            let patch = Patch::Merge(json!({"spec": {"tls": tls}}));
            scene.clusters().patch(CLUSTER, &PatchParams::default(), &patch).await?;
            before = replaced(scene, &before, &both).await?;
        }
        none_failed(&clients.stop().await?)?;
        let after = rauthy_e2e::lives(scene).await?;
        ensure!(after == lives, "a pod was restarted: {lives:?}, {after:?}");
        scene.event(&["AuthorityDropped", "every member shows"], KUBERNETES).await?;
        scene.event(&["TokenRotated"], KUBERNETES).await?;
        Ok(())
    })
    .await
}

/// What all three agents use alike.
async fn same(scene: &Scene) -> anyhow::Result<Value> {
    let mut all = Vec::new();
    for pod in scene.pods() {
        all.push(scene.view(&pod).await?["credentials"].clone());
    }
    ensure!(all.iter().all(|one| one["tokens"].is_array() && *one == all[0]), "they differ: {all:?}");
    Ok(all.swap_remove(0))
}

/// Waits until all members use something else in these parts, the same in the others, and nothing old is accepted.
async fn replaced(scene: &Scene, before: &Value, changes: &[&str]) -> anyhow::Result<Value> {
    eventually(&format!("other {changes:?}"), KUBERNETES, async || {
        let status = scene.status().await?;
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let rotating = conditions.clone().find(|c| c["reason"] == "Rotating");
        ensure!(rotating.is_none(), "{rotating:?}");
        let now = same(scene).await?;
        for part in ["certificate", "authorities", "tokens"] {
            ensure!((now[part] != before[part]) == changes.contains(&part), "{part}: {before}, {now}");
        }
        for part in ["authorities", "tokens"] {
            ensure!(now[part].as_array().map(Vec::len) == Some(1), "{part}: {now}");
        }
        anyhow::Ok(now)
    })
    .await
}
