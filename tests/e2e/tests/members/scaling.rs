//! The size changes while the application writes.

use std::collections::BTreeMap;

use anyhow::ensure;
use kube::ResourceExt as _;
use rauthy_e2e::clients::no_gap;
use rauthy_e2e::scene::{CLUSTER, KUBERNETES, OPERATOR, Scene, agent};
use rauthy_e2e::{Clients, eventually, play};
use serde_json::json;

#[tokio::test]
async fn three_five_three_one_three_while_serving_and_nothing_is_lost() -> anyhow::Result<()> {
    play("scaling", async |scene| {
        scene.with_app(json!({})).await?;
        let clients = Clients::start(scene).await?;
        for size in [5, 3] {
            scale(scene, size).await?;
        }
        clients.mark();
        for size in [1, 3] {
            scale(scene, size).await?;
        }
        let summary = clients.stop().await?;
        // What a quorum acknowledged is there, whatever the size was.
        ensure!(summary.generations.len() == 1, "the cache began again: {summary}");
        no_gap(&summary, 0, &["rauthy-0", "rauthy-1", "rauthy-2"])?;
        no_gap(&summary, 1, &["rauthy-0"])?;
        ensure!(summary.gaps[0].contains_key("rauthy-4"), "no client worked at rauthy-4: {summary}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_changed_mind_in_the_middle_of_growing_ends_where_the_spec_says() -> anyhow::Result<()> {
    play("changed-mind", async |scene| {
        scene.with_agents().await?;
        let before = lives(scene, 3).await?;
        scene.kubectl(&["scale", "rauthy", CLUSTER, "--replicas=5"]).await?;
        eventually("the change is announced", OPERATOR, async || {
            let list = scene
                .kubectl(&["get", "configmap", "rauthy-hosts", "-o", "jsonpath={.data.hosts\\.json}"])
                .await?;
            let list: serde_json::Value = serde_json::from_str(&list)?;
            ensure!(list["epoch"].as_u64() > Some(0), "{list}");
            anyhow::Ok(())
        })
        .await?;
        scale(scene, 3).await?;
        ensure!(lives(scene, 3).await? == before, "a pod that stays was restarted");
        Ok(())
    })
    .await
}

/// Changes the size as a user does, waits until it is reached, and demands that no pod that stays was restarted.
async fn scale(scene: &Scene, size: usize) -> anyhow::Result<()> {
    let before = lives(scene, 9).await?;
    scene.kubectl(&["scale", "rauthy", CLUSTER, &format!("--replicas={size}")]).await?;
    eventually(&format!("{size} members"), KUBERNETES, async || {
        let status = scene.status().await?;
        let reached = status["size"] == size
            && status["ready"] == format!("{size}/{size}")
            && status["replicas"] == size;
        ensure!(
            reached,
            "{:#}",
            json!([status["size"], status["ready"], status["replicas"], status["conditions"]])
        );
        anyhow::Ok(())
    })
    .await?;
    let after = lives(scene, size).await?;
    for (pod, life) in &after {
        ensure!(before.get(pod).is_none_or(|old| old == life), "{pod} was restarted: {before:?}, {after:?}");
    }
    println!("{size} members; {}", scene.leader().await?);
    Ok(())
}

/// Of each of the first pods that exist: its uid and how often its agent was started.
async fn lives(scene: &Scene, most: usize) -> anyhow::Result<BTreeMap<String, (Option<String>, i32)>> {
    let mut lives = BTreeMap::new();
    for name in (0..most).map(|ordinal| format!("{CLUSTER}-{ordinal}")) {
        if let Some(pod) = scene.api::<k8s_openapi::api::core::v1::Pod>().get_opt(&name).await? {
            lives.insert(name, (pod.uid(), agent(&pod).map_or(0, |agent| agent.restart_count)));
        }
    }
    Ok(lives)
}
