//! Who was restarted, and changes of the size, which restart nobody; and objects that come back.

use std::collections::BTreeMap;

use anyhow::ensure;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::ListParams;
use serde_json::json;

use crate::scene::{CLUSTER, KUBERNETES, OPERATOR, Scene, agent};
use crate::wait::eventually;

/// Of each pod its uid, and how often its agent was started again.
pub type Lives = BTreeMap<String, (Option<String>, i32)>;

/// The lives of the scene's cluster.
///
/// # Errors
/// The API server's.
pub async fn lives(scene: &Scene) -> anyhow::Result<Lives> {
    let ours = ListParams::default().labels(&format!("app.kubernetes.io/instance={CLUSTER}"));
    let pods = scene.api::<Pod>().list(&ours).await?.items;
    let life = |pod: &Pod| (pod.uid(), agent(pod).map_or(0, |agent| agent.restart_count));
    Ok(pods.iter().map(|pod| (pod.name_any(), life(pod))).collect())
}

/// Demands that of the pods that were there before, those of the first `size` members are the same as ever.
///
/// # Errors
/// Who was restarted.
pub fn same_lives(before: &Lives, after: &Lives, size: usize) -> anyhow::Result<()> {
    for (pod, life) in before {
        let stays = (0..size).any(|ordinal| *pod == format!("{CLUSTER}-{ordinal}"));
        ensure!(!stays || after.get(pod) == Some(life), "{pod} was restarted: {before:?}, {after:?}");
    }
    Ok(())
}

/// Waits until a size is reached.
///
/// # Errors
/// The status as last seen.
pub async fn reached(scene: &Scene, size: usize) -> anyhow::Result<()> {
    eventually(&format!("{size} members"), KUBERNETES, async || {
        let cluster = scene.clusters().get(CLUSTER).await?;
        let status = &cluster.data["status"];
        let reached = status["size"] == size
            && status["ready"] == format!("{size}/{size}")
            && status["replicas"] == size
            && status["observedGeneration"].as_i64() == cluster.metadata.generation;
        ensure!(
            reached,
            "{:#}",
            json!([status["size"], status["ready"], status["replicas"], status["conditions"]])
        );
        anyhow::Ok(())
    })
    .await
}

/// Changes the size as a user does, waits until it is reached, and demands that no pod that stays was restarted.
///
/// # Errors
/// What was not so.
pub async fn scale(scene: &Scene, size: usize) -> anyhow::Result<()> {
    let before = lives(scene).await?;
    let began = std::time::Instant::now();
    scene.kubectl(&["scale", "rauthy", CLUSTER, &format!("--replicas={size}")]).await?;
    reached(scene, size).await?;
    same_lives(&before, &lives(scene).await?, size)?;
    println!("{size} members after {:.1} s; {} leads", began.elapsed().as_secs_f32(), scene.leader().await?);
    Ok(())
}

/// Deletes an object and waits for another one of its name.
///
/// # Errors
/// If none comes.
pub async fn comes_back(scene: &Scene, object: &str, more: &[&str]) -> anyhow::Result<()> {
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
