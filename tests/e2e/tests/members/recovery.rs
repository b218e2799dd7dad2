//! What was lost comes back, and what was in it is said to be gone.

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::ListParams;
use rauthy_e2e::scene::{CLUSTER, KUBERNETES, OPERATOR, Scene};
use rauthy_e2e::{eventually, play};

#[tokio::test]
async fn all_pods_deleted_at_once_are_a_new_generation_which_an_event_explains() -> anyhow::Result<()> {
    play("all-deleted", async |scene| {
        scene.with_agents().await?;
        scene.ctl("rauthy-0", &["put", "e2e", "key", "value"]).await?;
        let before = generation(scene).await?;
        scene.kubectl(&["delete", "pods", "--all", "--wait=false"]).await?;
        let after = began_again(scene, &before).await?;
        let event = scene.event(&["CacheLost", &before, &after, "started anew"], OPERATOR).await?;
        println!("{event}");
        scene.available(3).await?;
        ensure!(scene.ctl("rauthy-1", &["get", "e2e", "key"]).await.is_err(), "the value outlived its cache");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn every_owned_object_comes_back_when_it_is_deleted() -> anyhow::Result<()> {
    play("objects", async |scene| {
        scene.with_agents().await?;
        let pods = uids(scene).await?;
        let objects = [
            "configmap/rauthy-hosts",
            "service/rauthy",
            "service/rauthy-client",
            "serviceaccount/rauthy",
            "poddisruptionbudget/rauthy",
            "secret/rauthy-tls",
        ];
        for object in objects {
            comes_back(scene, object, &[]).await?;
        }
        // Its pods stay, and are taken over.
        comes_back(scene, "statefulset/rauthy", &["--cascade=orphan"]).await?;
        scene.available(3).await?;
        ensure!(uids(scene).await? == pods, "a pod was replaced");
        let before = generation(scene).await?;
        // With its pods, and with what is not mounted anew in pods that run.
        comes_back(scene, "secret/rauthy-ca", &[]).await?;
        comes_back(scene, "statefulset/rauthy", &[]).await?;
        began_again(scene, &before).await?;
        scene.available(3).await
    })
    .await
}

/// Deletes an object and waits for another one of its name.
async fn comes_back(scene: &Scene, object: &str, more: &[&str]) -> anyhow::Result<()> {
    let uid = async || scene.kubectl(&["get", object, "-o", "jsonpath={.metadata.uid}"]).await;
    let old = uid().await?;
    scene.kubectl(&[&["delete", object, "--wait=false"], more].concat()).await?;
    eventually(&format!("{object} is back"), OPERATOR, async || {
        let new = uid().await?;
        ensure!(!new.is_empty() && new != old, "the old one is still there");
        anyhow::Ok(())
    })
    .await
}

async fn uids(scene: &Scene) -> anyhow::Result<Vec<Option<String>>> {
    let pods = scene.api::<Pod>().list(&ListParams::default()).await?.items;
    Ok(pods.iter().map(|pod| pod.uid()).collect())
}

async fn generation(scene: &Scene) -> anyhow::Result<String> {
    let status = scene.status().await?;
    Ok(status["generation"].as_str().with_context(|| format!("no generation of {CLUSTER}"))?.to_owned())
}

async fn began_again(scene: &Scene, before: &str) -> anyhow::Result<String> {
    eventually("the cache begins again", KUBERNETES, async || {
        let now = generation(scene).await?;
        ensure!(now != before, "it is still {before}");
        anyhow::Ok(now)
    })
    .await
}
