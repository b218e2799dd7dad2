//! Operators end at every place that a crash could choose, one after the other, while the application writes through every
//! pod; the next one goes on where the last one ended.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use rauthy_e2e::clients::{no_gap, none_failed};
use rauthy_e2e::failpoints::Armed;
use rauthy_e2e::lives::{lives, reached, same_lives};
use rauthy_e2e::scene::{CLUSTER, KUBERNETES, Scene};
use rauthy_e2e::{Clients, eventually, lasts, play};
use serde_json::{Value, json};

const PODS: [&str; 3] = ["rauthy-0", "rauthy-1", "rauthy-2"];

#[tokio::test]
async fn operators_that_end_at_each_place_of_a_creation_finish_it() -> anyhow::Result<()> {
    play("ends-creation", async |scene| {
        let places = ["token-made", "ca-made", "certificate-made", "hosts-written"];
        Armed::at(scene, &places, async |armed| {
            scene.with_app(json!({})).await?;
            armed.all_passed().await?;
            scene.ctl("rauthy-0", &["put", "e2e", "key", "value"]).await?;
            Ok(())
        })
        .await
    })
    .await
}

#[tokio::test]
async fn operators_that_end_at_each_place_of_growing_and_shrinking_finish_both() -> anyhow::Result<()> {
    play("ends-scaling", async |scene| {
        scene.with_app(json!({})).await?;
        let generation = scene.status().await?["generation"].clone();
        let clients = Clients::start(scene).await?;
        let places = ["scale-announced", "scale-committing", "scale-asked", "scale-committed"];
        Armed::at(scene, &places, async |armed| {
            let before = lives(scene).await?;
            for size in [5, 3] {
                armed.again().await?;
                let began = Instant::now();
                scene.kubectl(&["scale", "rauthy", CLUSTER, &format!("--replicas={size}")]).await?;
                reached(scene, size).await?;
                println!("{size} members after {:.1} s", began.elapsed().as_secs_f32());
                armed.all_passed().await.with_context(|| format!("to {size} members"))?;
                same_lives(&before, &lives(scene).await?, 3)?;
                clients.more().await?;
            }
            Ok(())
        })
        .await?;
        let summary = clients.stop().await?;
        ensure!(scene.status().await?["generation"] == generation, "the cache began again");
        ensure!(summary.generations.len() == 1, "the cache began again: {summary}");
        ensure!(summary.gaps[0].contains_key("rauthy-4"), "no client worked at rauthy-4: {summary}");
        no_gap(&summary, 0, &PODS)
    })
    .await
}

#[tokio::test]
async fn operators_that_end_at_each_place_of_a_rotation_finish_it() -> anyhow::Result<()> {
    play("ends-rotation", async |scene| {
        scene.with_app(json!({})).await?;
        let before = lives(scene).await?;
        let clients = Clients::start(scene).await?;
        for (what, places, changed) in [
            ("ca", &["ca-renewed", "ca-added", "certificate-replaced", "ca-dropped"][..], "authorities"),
            ("token", &["token-added", "token-dropped"][..], "tokens"),
        ] {
            Armed::at(scene, places, async |armed| {
                let old = used(scene).await?;
                let renew = format!("rauthy.dev/renew={what}");
                scene.kubectl(&["annotate", "rauthycluster", CLUSTER, &renew, "--overwrite"]).await?;
                eventually(&format!("other {changed}"), KUBERNETES * 2, async || {
                    let now = used(scene).await?;
                    ensure!(now.iter().all(|one| *one == now[0]), "members differ: {now:?}");
                    let ones = now[0][changed].as_array().map(Vec::len);
                    ensure!(now[0][changed] != old[0][changed] && ones == Some(1), "{now:?}");
                    anyhow::Ok(())
                })
                .await?;
                armed.all_passed().await.with_context(|| what.to_owned())?;
                clients.more().await
            })
            .await?;
        }
        none_failed(&clients.stop().await?)?;
        let after = lives(scene).await?;
        ensure!(after == before, "a pod was restarted: {before:?}, {after:?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn operators_that_end_at_each_place_of_a_roll_finish_it() -> anyhow::Result<()> {
    play("ends-roll", async |scene| {
        scene.with_app(json!({})).await?;
        let before = lives(scene).await?;
        let generation = scene.status().await?["generation"].clone();
        let clients = Clients::start(scene).await?;
        let places = ["roll-transferred", "roll-before-delete", "roll-deleted"];
        Armed::at(scene, &places, async |armed| {
            let leader = scene.leader().await?;
            scene.kubectl(&["rollout", "restart", "statefulset", CLUSTER]).await?;
            let mut last = String::new();
            eventually("every pod is replaced", KUBERNETES * 2, async || {
                let now = lives(scene).await?;
                let old: Vec<_> = before.keys().filter(|pod| now.get(*pod) == before.get(*pod)).collect();
                if let [only] = old[..] {
                    last.clone_from(only);
                }
                ensure!(old.is_empty() && now.len() == 3, "{old:?} are the old ones");
                anyhow::Ok(())
            })
            .await?;
            println!("{leader} led; {last} was replaced last");
            scene.available(3).await?;
            armed.all_passed().await
        })
        .await?;
        let after = lives(scene).await?;
        lasts("nobody is replaced twice", Duration::from_secs(5), async || {
            let now = lives(scene).await?;
            ensure!(now == after, "{after:?}, {now:?}");
            anyhow::Ok(())
        })
        .await?;
        let summary = clients.stop().await?;
        ensure!(scene.status().await?["generation"] == generation, "the cache began again");
        ensure!(summary.generations.len() == 1, "the cache began again: {summary}");
        Ok(())
    })
    .await
}

/// Certificate, authorities and tokens of each member.
async fn used(scene: &Scene) -> anyhow::Result<Vec<Value>> {
    let mut all = Vec::new();
    for pod in scene.pods() {
        all.push(scene.view(&pod).await?["credentials"].clone());
    }
    Ok(all)
}
