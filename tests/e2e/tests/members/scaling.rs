//! The size changes while the application writes.

use anyhow::ensure;
use rauthy_e2e::clients::no_gap;
use rauthy_e2e::lives::{lives, same_lives, scale};
use rauthy_e2e::scene::{CLUSTER, OPERATOR};
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
        scene.with_app(json!({})).await?;
        let clients = Clients::start(scene).await?;
        let before = lives(scene).await?;
        scene.kubectl(&["scale", "rauthy", CLUSTER, "--replicas=5"]).await?;
        let list = async || {
            let path = "jsonpath={.data.hosts\\.json}";
            let list = scene.kubectl(&["get", "configmap", "rauthy-hosts", "-o", path]).await?;
            anyhow::Ok(serde_json::from_str::<serde_json::Value>(&list)?)
        };
        eventually("the change is announced", OPERATOR, async || {
            let list = list().await?;
            ensure!(list["epoch"].as_u64() > Some(0), "{list}");
            anyhow::Ok(())
        })
        .await?;
        scale(scene, 3).await?;
        let list = list().await?;
        ensure!(list["next"].is_null() && list["now"].as_array().map(Vec::len) == Some(3), "{list}");
        same_lives(&before, &lives(scene).await?, 3)?;
        let summary = clients.stop().await?;
        ensure!(summary.generations.len() == 1, "the cache began again: {summary}");
        no_gap(&summary, 0, &["rauthy-0", "rauthy-1", "rauthy-2"])
    })
    .await
}
