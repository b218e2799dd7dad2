//! A node goes: drained, or dead.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use rauthy_e2e::scene::{KUBERNETES, OPERATOR, Scene};
use rauthy_e2e::tools::{kubectl, said, variable};
use rauthy_e2e::{Clients, eventually, play};
use serde_json::json;

#[tokio::test]
async fn the_leaders_node_is_drained_while_the_application_writes() -> anyhow::Result<()> {
    play("drain", async |scene| {
        scene.with_app(json!({})).await?;
        let leader = scene.leader().await?;
        let node = node_of(scene, &leader).await?;
        let uid = scene.pod(&leader).await?.uid();
        let clients = Clients::start(scene).await?;
        let drained = kubectl(&[
            "drain",
            &node,
            "--ignore-daemonsets",
            "--delete-emptydir-data",
            "--force",
            "--timeout=120s",
        ])
        .await;
        let elsewhere = eventually("the pod runs elsewhere", KUBERNETES, async || {
            let pod = scene.pod(&leader).await?;
            ensure!(pod.uid() != uid, "it is still the old one");
            let now = node_of(scene, &leader).await?;
            ensure!(now != node, "it is on {now}");
            anyhow::Ok(())
        })
        .await;
        // Whatever happened: other tests need the node.
        kubectl(&["uncordon", &node]).await?;
        drained?;
        elsewhere?;
        scene.available(3).await?;
        let summary = clients.stop().await?;
        ensure!(summary.generations.len() == 1, "the cache began again: {summary}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_node_dies_and_its_pod_is_deleted_by_force() -> anyhow::Result<()> {
    play("dead-node", async |scene| {
        scene.with_app(json!({})).await?;
        let leader = scene.leader().await?;
        let node = node_of(scene, &leader).await?;
        let old = scene.pod(&leader).await?.uid();
        let clients = Clients::start(scene).await?;
        let number = node.trim_start_matches("node").to_owned();
        harness("crash", &number).await?;
        let result = left_without(scene, &leader, old).await;
        // Whatever happened: other tests need the node.
        harness("start", &number).await?;
        result?;
        scene.available(3).await?;
        let summary = clients.stop().await?;
        ensure!(summary.generations.len() == 1, "the cache began again: {summary}");
        Ok(())
    })
    .await
}

/// What is seen and done while the node of `lost`, which led, is dead.
async fn left_without(scene: &Scene, lost: &str, old: Option<String>) -> anyhow::Result<()> {
    let others = scene.others(lost);
    eventually("another member leads, and the status names the lost one", KUBERNETES, async || {
        let leader = scene.leader().await?;
        let member = scene.member(lost).await?;
        ensure!(leader != lost && member["ready"] == false, "{leader} leads; {member}");
        anyhow::Ok(())
    })
    .await?;
    let app = scene.app(&others[0]).await?;
    eventually("the others serve", OPERATOR, async || app.put("while", "away").await).await?;
    // The operator leaves alone what may still live.
    ensure!(scene.pod(lost).await?.uid() == old, "the pod was replaced by somebody else");
    let force = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    scene.api::<k8s_openapi::api::core::v1::Pod>().delete(lost, &force).await?;
    let pod = scene.ready(lost, KUBERNETES + Duration::from_secs(60)).await?;
    ensure!(pod.uid() != old, "it is the old one");
    scene.app(lost).await?.holds("while", Some("away")).await
}

async fn node_of(scene: &Scene, pod: &str) -> anyhow::Result<String> {
    let pod = scene.pod(pod).await?;
    pod.spec.and_then(|spec| spec.node_name).context("the pod is on no node")
}

/// A command of tests/cluster.
async fn harness(command: &str, node: &str) -> anyhow::Result<()> {
    let program = format!("{}/tests/cluster/cluster", variable("E2E_ROOT")?);
    let said = said(&program, &[command, node], "").await?;
    ensure!(said.ok, "{program} {command} {node}: {}{}", said.out, said.err);
    Ok(())
}
