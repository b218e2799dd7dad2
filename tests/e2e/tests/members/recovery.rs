//! What was lost comes back, and what was in it is said to be gone.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail, ensure};
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::api::{Api, DeleteParams, EvictParams, ListParams, PostParams};
use kube::{Client, Config, ResourceExt as _};
use rauthy_e2e::clients::no_gap;
use rauthy_e2e::lives::comes_back;
use rauthy_e2e::scene::{CLUSTER, KUBERNETES, OPERATOR, Scene, is_ready};
use rauthy_e2e::{Clients, eventually, lasts, lives, play};
use serde_json::json;

#[tokio::test]
async fn all_pods_deleted_at_once_are_a_new_generation_which_an_event_explains() -> anyhow::Result<()> {
    play("all-lost", async |scene| {
        scene.with_app(json!({})).await?;
        scene.ctl("rauthy-0", &["put", "e2e", "key", "value"]).await?;
        let before = generation(scene).await?;
        let clients = Clients::start(scene).await?;
        scene.kubectl(&["delete", "pods", "--all", "--wait=false"]).await?;
        let after = began_again(scene, &before).await?;
        let event = scene.event(&["CacheLost", &before, &after, "started anew"], OPERATOR).await?;
        println!("{event}");
        scene.available(3).await?;
        ensure!(scene.ctl("rauthy-1", &["get", "e2e", "key"]).await.is_err(), "the value outlived its cache");
        let summary = clients.stop().await?;
        ensure!(summary.generations.len() == 2, "not one cache after the other: {summary}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn every_owned_object_comes_back_when_it_is_deleted() -> anyhow::Result<()> {
    play("objects", async |scene| {
        scene.with_app(json!({})).await?;
        let pods = uids(scene).await?;
        let clients = Clients::start(scene).await?;
        let objects = [
            "configmap/rauthy-hosts",
            "service/rauthy",
            "service/rauthy-client",
            "serviceaccount/rauthy",
            "poddisruptionbudget/rauthy",
            "networkpolicy/rauthy",
            "secret/rauthy-tls",
        ];
        for object in objects {
            comes_back(scene, object, &[]).await?;
        }
        // Its pods stay, and are taken over.
        comes_back(scene, "statefulset/rauthy", &["--cascade=orphan"]).await?;
        scene.available(3).await?;
        // Nobody has the key of the authority but this Secret: another one is trusted beside it, step by step.
        comes_back(scene, "secret/rauthy-ca", &[]).await?;
        ensure!(uids(scene).await? == pods, "a pod was replaced");
        clients.more().await?;
        clients.mark();
        // With its pods: an empty cache begins.
        let before = generation(scene).await?;
        comes_back(scene, "statefulset/rauthy", &[]).await?;
        began_again(scene, &before).await?;
        scene.available(3).await?;
        let summary = clients.stop().await?;
        ensure!(summary.generations.len() == 2, "not one cache after the other: {summary}");
        no_gap(&summary, 0, &["rauthy-0", "rauthy-1", "rauthy-2"])
    })
    .await
}

#[tokio::test]
async fn a_deleted_token_is_put_back_as_it_was_and_no_member_loses_another() -> anyhow::Result<()> {
    play("token-deleted", async |scene| {
        scene.with_app(json!({})).await?;
        let pods = lives(scene).await?;
        let used = async || -> anyhow::Result<_> {
            let mut used = Vec::new();
            for pod in scene.pods() {
                used.push(scene.view(&pod).await?["credentials"]["tokens"].clone());
            }
            Ok(used)
        };
        let (old, before) = (scene.secret("rauthy-cache-auth", "token").await?, used().await?);
        let clients = Clients::start(scene).await?;
        comes_back(scene, "secret/rauthy-cache-auth", &[]).await?;
        ensure!(
            scene.secret("rauthy-cache-auth", "token").await? == old,
            "another token than the members have"
        );
        eventually("it is said", OPERATOR, async || {
            let events = scene.kubectl(&["get", "events"]).await?;
            ensure!(events.contains("TokenRestored"), "{events}");
            Ok(())
        })
        .await?;
        scene.available(3).await?;
        ensure!(used().await? == before, "members use another token than before");
        ensure!(lives(scene).await? == pods, "a pod was restarted");
        clients.stop().await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_eviction_is_refused_while_another_member_is_away_and_nobody_waits() -> anyhow::Result<()> {
    play("evictions", async |scene| {
        scene.with_app(json!({})).await?;
        let leader = scene.leader().await?;
        let clients = Clients::start(scene).await?;
        let pods: Api<Pod> = Api::namespaced(asking_once().await?, &scene.namespace);
        // A follower, and then the leader.
        let [follower, third] = scene.others(&leader).try_into().map_err(|all| anyhow!("{all:?}"))?;
        for goes in [follower, leader] {
            let old = scene.pod(&goes).await?.uid();
            // Its successor would be ready within a second or two, and the others might go again.
            no_room_for_a_third(scene).await?;
            // The budget may not have counted yet the one that went before.
            eventually("it is evicted", OPERATOR, async || pods.evict(&goes, &EvictParams::default()).await)
                .await?;
            eventually("it is gone", KUBERNETES, async || {
                ensure!(pods.get_opt(&goes).await?.is_none(), "it ends");
                anyhow::Ok(())
            })
            .await?;
            let others = scene.others(&goes);
            for stays in &others {
                let told =
                    eventually(&format!("{stays} may not go"), COUNTED, async || refused(&pods, stays).await)
                        .await?;
                println!("{stays}: {told}");
            }
            lasts("nobody else may go", Duration::from_secs(5), async || {
                for stays in &others {
                    // One that looks unready for a moment on a busy machine, the budget does not count as one that serves.
                    if is_ready(&scene.pod(stays).await?) {
                        refused(&pods, stays).await?;
                    }
                }
                anyhow::Ok(())
            })
            .await?;
            let quotas = scene.api::<ResourceQuota>();
            quotas.delete("no-room", &DeleteParams::default()).await?;
            eventually("another one takes its place", KUBERNETES, async || {
                let pod = scene.pod(&goes).await?;
                ensure!(pod.uid() != old && is_ready(&pod), "not yet");
                anyhow::Ok(())
            })
            .await?;
            for stays in &others {
                eventually(&format!("{stays} may go again"), OPERATOR, async || {
                    pods.evict(stays, &asking()).await
                })
                .await?;
            }
        }
        scene.available(3).await?;
        let summary = clients.stop().await?;
        ensure!(summary.generations.len() == 1, "the cache began again: {summary}");
        // The one that stayed all the time.
        no_gap(&summary, 0, &[&third])
    })
    .await
}

/// A client that takes a refusal for an answer: by itself the library asks again, for minutes, when it is told 429.
async fn asking_once() -> anyhow::Result<Client> {
    let mut config = Config::infer().await?;
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// So long after a member is gone the budget has counted those that are left.
const COUNTED: Duration = Duration::from_secs(10);

/// Asks whether a pod may be evicted, and does nothing.
fn asking() -> EvictParams {
    let post_options = PostParams { dry_run: true, ..PostParams::default() };
    EvictParams { post_options, ..EvictParams::default() }
}

/// Demands that the budget refuses to evict a pod; what it says.
async fn refused(pods: &Api<Pod>, pod: &str) -> anyhow::Result<String> {
    match pods.evict(pod, &asking()).await {
        Err(kube::Error::Api(told)) if told.code == 429 => Ok(told.message),
        other => bail!("{pod} may go: {other:?}"),
    }
}

/// No pod is made while there are two. In this namespace alone, beside which other tests go on.
async fn no_room_for_a_third(scene: &Scene) -> anyhow::Result<()> {
    let quotas = scene.api::<ResourceQuota>();
    let quota = json!({"metadata": {"name": "no-room"}, "spec": {"hard": {"pods": "2"}}});
    quotas.create(&PostParams::default(), &serde_json::from_value(quota)?).await?;
    eventually("the quota is in force", KUBERNETES, async || {
        let status = quotas.get("no-room").await?.status.unwrap_or_default();
        let used = status.used.and_then(|mut used| used.remove("pods"));
        ensure!(used.is_some_and(|used| used.0 == "3"), "the pods are not counted yet");
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
