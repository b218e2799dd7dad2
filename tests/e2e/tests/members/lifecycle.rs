//! A RauthyCluster goes and comes.

use anyhow::ensure;
use kube::api::DeleteParams;
use rauthy_e2e::scene::{CLUSTER, KUBERNETES};
use rauthy_e2e::{eventually, play};

/// All kinds that the operator makes, and pods.
const KINDS: &str = "pods,statefulsets,services,configmaps,secrets,poddisruptionbudgets,serviceaccounts";

#[tokio::test]
async fn deleting_the_rauthycluster_removes_everything_and_it_can_be_created_again() -> anyhow::Result<()> {
    play("delete", async |scene| {
        let before = scene.kubectl(&["get", KINDS, "-o", "name"]).await?;
        scene.with_agents().await?;
        scene.ctl("rauthy-0", &["put", "e2e", "key", "value"]).await?;
        let there = scene.kubectl(&["get", KINDS, "-o", "name"]).await?;
        ensure!(there.lines().count() > before.lines().count() + 9, "only this was made: {there}");

        scene.clusters().delete(CLUSTER, &DeleteParams::default()).await?;
        eventually("everything is gone", KUBERNETES, async || {
            let left = scene.kubectl(&["get", KINDS, "-o", "name"]).await?;
            ensure!(left == before, "before: {before}now: {left}");
            anyhow::Ok(())
        })
        .await?;

        scene.with_agents().await?;
        let found = scene.ctl("rauthy-1", &["get", "e2e", "key"]).await;
        ensure!(found.is_err(), "the new cluster knows the old one's value: {found:?}");
        scene.ctl("rauthy-1", &["put", "e2e", "key", "new"]).await?;
        Ok(())
    })
    .await
}
