//! Pods are replaced by such of a newer template.

use std::collections::BTreeMap;

use anyhow::ensure;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::ListParams;
use rauthy_e2e::scene::{CLUSTER, KUBERNETES, Scene, brief, is_ready};
use rauthy_e2e::tools::variable;
use rauthy_e2e::{Clients, eventually, play};
use serde_json::json;

#[tokio::test]
async fn another_image_rolls_with_the_leader_last_while_the_application_writes() -> anyhow::Result<()> {
    play("roll-image", async |scene| {
        scene.with_app(json!({})).await?;
        let clients = Clients::start(scene).await?;
        let leader = scene.leader().await?;
        let image = variable("E2E_IMAGE_AGAIN")?;
        let patch = json!({"spec": {"agent": {"image": image}}}).to_string();
        scene.kubectl(&["patch", "rauthy", CLUSTER, "--type=merge", "-p", &patch]).await?;
        let order = replaced(scene).await?;
        println!("replaced {order:?}, {leader} led");
        ensure!(order.last() == Some(&leader), "{leader} led, and {order:?} were replaced");
        for pod in scene.pods() {
            let pod = scene.pod(&pod).await?;
            let spec = pod.spec.unwrap_or_default();
            let agent = spec.init_containers.iter().flatten().find(|c| c.name == "agent");
            ensure!(agent.is_some_and(|agent| agent.image.as_ref() == Some(&image)), "{agent:?}");
        }
        let summary = clients.stop().await?;
        ensure!(summary.generations.len() == 1, "the cache began again: {summary}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn kubectl_rollout_restart_replaces_every_pod_and_keeps_the_values() -> anyhow::Result<()> {
    play("rollout-restart", async |scene| {
        scene.with_app(json!({})).await?;
        let clients = Clients::start(scene).await?;
        let leader = scene.leader().await?;
        scene.kubectl(&["rollout", "restart", "statefulset", CLUSTER]).await?;
        let order = replaced(scene).await?;
        ensure!(order.last() == Some(&leader), "{leader} led, and {order:?} were replaced");
        let summary = clients.stop().await?;
        ensure!(summary.generations.len() == 1, "the cache began again: {summary}");
        Ok(())
    })
    .await
}

/// Waits until all three pods are others and the roll is complete, and demands that never more than one was away; the
/// pods in the order in which they were replaced.
async fn replaced(scene: &Scene) -> anyhow::Result<Vec<String>> {
    let look = async || {
        let pods = scene.api::<Pod>().list(&ListParams::default()).await?.items;
        anyhow::Ok(pods.into_iter().map(|pod| (pod.name_any(), pod)).collect::<BTreeMap<_, _>>())
    };
    let before = look().await?;
    let (mut order, mut away_at_most) = (Vec::new(), 0);
    let started = eventually("every pod is replaced", KUBERNETES, async || {
        let now = look().await?;
        let well = |pod: &Pod| is_ready(pod) && pod.metadata.deletion_timestamp.is_none();
        let away = scene.pods().iter().filter(|name| !now.get(*name).is_some_and(well)).count();
        away_at_most = away.max(away_at_most);
        for (name, pod) in &now {
            let new = before.get(name).is_some_and(|old| old.uid() != pod.uid());
            if new && !order.contains(name) {
                order.push(name.clone());
            }
        }
        ensure!(order.len() == 3, "replaced: {order:?}");
        let status = scene.status().await?;
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let complete =
            conditions.into_iter().any(|c| c["type"] == "Progressing" && c["reason"] == "Complete");
        ensure!(complete, "{}", brief(&status));
        anyhow::Ok(())
    })
    .await;
    started?;
    ensure!(away_at_most <= 1, "{away_at_most} pods were away at the same time");
    Ok(order)
}
