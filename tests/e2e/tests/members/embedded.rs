//! An application that has the cache inside (`engine: Embedded`): the probe, which starts a node of its own where there is
//! no agent (examples/embedded.yaml).

use std::collections::BTreeSet;

use anyhow::ensure;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use rauthy_e2e::scene::{KUBERNETES, OPERATOR, Scene, brief};
use rauthy_e2e::{Clients, eventually, lasts, play};
use std::time::Duration;

use crate::examples::{available, example};

const NAME: &str = "rauthy-embedded";

#[tokio::test]
async fn an_application_with_the_cache_inside_serves_and_changes_its_size_only_when_it_may_lose_the_cache()
-> anyhow::Result<()> {
    play("embedded", async |scene| {
        scene
            .kubectl(&["create", "secret", "generic", "rauthy-config", "--from-literal=rauthy.cfg=#"])
            .await?;
        example(scene, "embedded.yaml", "ghcr.io/sebadob/rauthy:0.24.0").await?;
        available(scene, NAME, 3).await?;
        for pod in pods(scene).await? {
            let spec = pod.spec.clone().unwrap_or_default();
            let names: Vec<_> = spec.containers.iter().map(|c| c.name.as_str()).collect();
            ensure!(names == ["rauthy"] && spec.init_containers.is_none(), "there is more in it: {names:?}");
        }
        let app = async |n: usize| scene.app(&format!("{NAME}-{n}")).await;
        app(0).await?.put("key", "value").await?;
        let reader = app(2).await?;
        eventually("it is read", OPERATOR, async || reader.holds("key", Some("value")).await).await?;
        let clients = Clients::start(scene).await?;

        // Its certificate is read at the start: pods are replaced one by one, and nothing is lost.
        let old = uids(scene).await?;
        scene.kubectl(&["annotate", "rauthycluster", NAME, "rauthy.dev/renew=certificates"]).await?;
        let mut away_at_most = 0;
        eventually("every pod is replaced", KUBERNETES, async || {
            let pods = pods(scene).await?;
            let ready = pods.iter().filter(|pod| rauthy_e2e::scene::is_ready(pod)).count();
            away_at_most = away_at_most.max(3 - ready.min(3));
            let stays = pods.iter().filter(|pod| pod.uid().is_some_and(|uid| old.contains(&uid))).count();
            ensure!(stays == 0 && ready == 3, "{stays} are still there, {ready} are ready");
            anyhow::Ok(())
        })
        .await?;
        ensure!(away_at_most <= 1, "{away_at_most} were away at the same time");
        let reader = app(1).await?;
        eventually("it is still there", OPERATOR, async || reader.holds("key", Some("value")).await).await?;

        // Another size empties the cache, which has to be allowed.
        let before = uids(scene).await?;
        scene.kubectl(&["scale", "rauthy", NAME, "--replicas=5"]).await?;
        let blocked = eventually("it says what it waits for", OPERATOR, async || {
            let status = scene.clusters().get(NAME).await?.data["status"].clone();
            let conditions = status["conditions"].as_array().into_iter().flatten();
            let blocked = conditions.clone().find(|c| c["type"] == "ScalingBlocked" && c["status"] == "True");
            blocked.cloned().ok_or_else(|| anyhow::anyhow!(brief(&status)))
        })
        .await?;
        println!("{}", blocked["message"]);
        ensure!(blocked.to_string().contains("rauthy.dev/allow-cache-loss"), "{blocked}");
        lasts("nobody is touched", Duration::from_secs(3), async || {
            ensure!(uids(scene).await? == before, "a pod was replaced");
            anyhow::Ok(())
        })
        .await?;
        scene.kubectl(&["annotate", "rauthycluster", NAME, "rauthy.dev/allow-cache-loss=true"]).await?;
        // All end before any starts: two sizes at once would be two clusters.
        eventually("all are stopped", KUBERNETES, async || {
            let left = uids(scene).await?;
            ensure!(left.is_disjoint(&before), "{left:?}");
            anyhow::Ok(())
        })
        .await?;
        available(scene, NAME, 5).await?;
        let reader = app(4).await?;
        eventually("the cache is empty", OPERATOR, async || reader.holds("key", None).await).await?;
        let summary = clients.stop().await?;
        ensure!(summary.generations.len() >= 2, "{summary}");
        Ok(())
    })
    .await
}

async fn pods(scene: &Scene) -> anyhow::Result<Vec<Pod>> {
    Ok(scene.api::<Pod>().list(&ListParams::default()).await?.items)
}

async fn uids(scene: &Scene) -> anyhow::Result<BTreeSet<String>> {
    Ok(pods(scene).await?.iter().filter_map(ResourceExt::uid).collect())
}
