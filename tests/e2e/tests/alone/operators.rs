//! The operator is killed, or hangs and comes back, in the middle of something.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt as _};
use rauthy_e2e::freeze::{self, Frozen};
use rauthy_e2e::operators::{operator_containers, rested_operators};
use rauthy_e2e::scene::{CLUSTER, KUBERNETES, OPERATOR, Scene, container_id, is_ready};
use rauthy_e2e::tools::OPERATOR_NAMESPACE;
use rauthy_e2e::{Clients, eventually, lasts, play};
use serde_json::{Value, json};

#[tokio::test]
async fn operators_killed_at_each_stage_of_a_change_of_the_size_still_finish_it() -> anyhow::Result<()> {
    play("killed-scaling", async |scene| {
        rested_operators(&scene.client).await?;
        scene.with_agents().await?;
        scene.ctl("rauthy-0", &["put", "e2e", "key", "value"]).await?;
        let before = rauthy_e2e::lives(scene).await?;
        scene.kubectl(&["scale", "rauthy", CLUSTER, "--replicas=5"]).await?;
        for stage in ["announced", "committing"] {
            eventually(&format!("the change is {stage}"), KUBERNETES, async || {
                let map = scene.kubectl(&["get", "configmap", "rauthy-hosts", "-o", "json"]).await?;
                let map: Value = serde_json::from_str(&map)?;
                let change = map["metadata"]["annotations"]["rauthy.dev/size-change"]
                    .as_str()
                    .unwrap_or("")
                    .to_owned();
                let done =
                    stage == "committing" && map["data"]["hosts.json"].to_string().contains("rauthy-4");
                ensure!(change.contains(stage) || done, "{change}");
                anyhow::Ok(())
            })
            .await?;
            for id in operator_containers(&scene.client).await? {
                // One that was killed before may not run again yet.
                let _ = freeze::kill(&id);
            }
        }
        eventually("five members", KUBERNETES * 2, async || {
            let status = scene.status().await?;
            ensure!(status["size"] == 5 && status["ready"] == "5/5", "{status:#}");
            anyhow::Ok(())
        })
        .await?;
        let after = rauthy_e2e::lives(scene).await?;
        for (pod, life) in &before {
            ensure!(after.get(pod) == Some(life), "{pod} was restarted: {before:?}, {after:?}");
        }
        ensure!(scene.ctl("rauthy-4", &["get", "e2e", "key"]).await?.trim() == "value", "the value is lost");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_leading_operator_that_hangs_in_the_middle_of_a_roll_does_nothing_twice() -> anyhow::Result<()> {
    play("frozen-operator", async |scene| {
        scene.with_app(json!({})).await?;
        let generation = scene.status().await?["generation"].clone();
        let first = uids(scene).await?;
        rested_operators(&scene.client).await?;
        let pods: Api<Pod> = Api::namespaced(scene.client.clone(), OPERATOR_NAMESPACE);
        // One that ended lately may still be named.
        let (holder, pod) = eventually("a replica that lives leads", OPERATOR, async || {
            let holder = holder(scene).await?;
            let pod = pods.get(&holder).await?;
            anyhow::Ok((holder, pod))
        })
        .await?;
        let status = pod.status.iter().flat_map(|s| s.container_statuses.iter().flatten()).next();
        let id = container_id(status.context("the operator has no container")?)?.to_owned();

        let clients = Clients::start(scene).await?;
        scene.kubectl(&["rollout", "restart", "statefulset", CLUSTER]).await?;
        eventually("the first pod is replaced", KUBERNETES, async || {
            let now = uids(scene).await?;
            ensure!(now.len() == 3 && now != first, "none yet");
            anyhow::Ok(())
        })
        .await?;
        let frozen = Frozen::container(&id)?;
        eventually("the other operator takes over", OPERATOR, async || {
            let now = self::holder(scene).await?;
            ensure!(now != holder, "{now} still holds the Lease");
            anyhow::Ok(())
        })
        .await?;
        frozen.thaw()?;
        // All lives that each pod ever had, and how many pods were away at the same time.
        let (mut all, mut away_at_most) = (BTreeMap::<String, BTreeSet<String>>::new(), 0);
        let mut look = async || {
            let pods = scene.api::<Pod>().list(&ListParams::default()).await?.items;
            let well =
                pods.iter().filter(|pod| is_ready(pod) && pod.metadata.deletion_timestamp.is_none()).count();
            away_at_most = away_at_most.max(3_usize.saturating_sub(well));
            for pod in &pods {
                all.entry(pod.name_any()).or_default().extend(pod.uid());
            }
            let new = pods.iter().filter(|pod| pod.uid() != first.get(&pod.name_any()).cloned()).count();
            ensure!(new == 3 && well == 3, "{new} of 3 are replaced, {well} are ready");
            anyhow::Ok(())
        };
        eventually("the roll is finished", KUBERNETES, &mut look).await?;
        lasts("nothing more happens", Duration::from_secs(5), &mut look).await?;
        ensure!(away_at_most <= 1, "{away_at_most} pods were away at the same time");
        for (pod, lives) in &all {
            ensure!(lives.len() <= 2, "{pod} was replaced more than once: {lives:?}");
        }
        ensure!(scene.status().await?["generation"] == generation, "the cache began again");
        let summary = clients.stop().await?;
        ensure!(summary.generations.len() == 1, "the cache began again: {summary}");
        Ok(())
    })
    .await
}

/// The replica that acts.
async fn holder(scene: &Scene) -> anyhow::Result<String> {
    let leases: Api<Lease> = Api::namespaced(scene.client.clone(), OPERATOR_NAMESPACE);
    let lease = leases.get("rauthy-operator").await?;
    let holder = lease.spec.and_then(|spec| spec.holder_identity).filter(|holder| !holder.is_empty());
    holder.context("nobody holds the Lease")
}

async fn uids(scene: &Scene) -> anyhow::Result<BTreeMap<String, String>> {
    let pods = scene.api::<Pod>().list(&ListParams::default()).await?.items;
    Ok(pods.into_iter().filter_map(|pod| Some((pod.name_any(), pod.uid()?))).collect())
}
