//! What is written stays, whoever goes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rauthy_e2e::app::App;
use rauthy_e2e::scene::{KUBERNETES, Scene, ip, is_ready};
use rauthy_e2e::{Clients, dns, eventually, play};
use serde_json::json;

/// A member that came back is one again within this.
const BACK_WITHIN: Duration = Duration::from_secs(10);
/// A follower applies a little after the quorum has acknowledged.
const LAG: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_put_with_quorum_through_pod_0_is_read_through_pods_1_and_2() -> anyhow::Result<()> {
    play("put-get", async |scene| {
        scene.with_app(json!({})).await?;
        scene.app("rauthy-0").await?.put("greeting", "hello").await?;
        for pod in ["rauthy-1", "rauthy-2"] {
            let app = scene.app(pod).await?;
            eventually("it is read", LAG, async || app.holds("greeting", Some("hello")).await).await?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_application_container_talks_to_the_agents_socket() -> anyhow::Result<()> {
    play("socket", async |scene| {
        scene.with_app(json!({})).await?;
        let app = scene.app("rauthy-1").await?;
        app.put("from-the-app", "1").await?;
        app.holds("from-the-app", Some("1")).await?;
        // The agent's own tool sees the same cache; and the application has neither token nor keys.
        let seen = scene.ctl("rauthy-1", &["get", "e2e", "from-the-app"]).await?;
        ensure!(seen.trim() == "1", "ctl sees {seen:?}");
        let pod = scene.pod("rauthy-1").await?;
        let containers = pod.spec.context("a pod without a spec")?.containers;
        let app =
            containers.iter().find(|c| c.name == "rauthy").context("no container of the application")?;
        let text = serde_json::to_string(app)?;
        for secret in ["CACHE_AUTH_TOKEN", "rauthy-cache-auth", "rauthy-tls", "rauthy-ca"] {
            ensure!(!text.contains(secret), "the application is given {secret}: {text}");
        }
        Ok(())
    })
    .await
}

/// How much is to be copied to a member that comes back.
const FILLING: u64 = 2000;

#[tokio::test]
async fn the_leaders_pod_is_deleted_while_a_writer_runs_and_no_acknowledged_value_is_lost()
-> anyhow::Result<()> {
    play("leader-deleted", async |scene| {
        scene.with_app(json!({})).await?;
        let old = scene.leader().await?;
        scene.app(&scene.others(&old)[0]).await?.fill("before", FILLING, 1000).await?;
        let clients = Clients::start(scene).await?;

        let name = format!("{old}.rauthy.{}.svc.cluster.local", scene.namespace);
        let address = ip(&scene.pod(&old).await?)?;
        freshly_cached(&name).await?;
        scene.replace(&old).await?;
        let running = Instant::now();
        let came_back = ip(&scene.pod(&old).await?)?;
        let back = App { ip: came_back };

        // Kubernetes says Ready only when the member has everything.
        let mut member_after = None;
        eventually("the new pod is Ready", KUBERNETES, async || {
            if member_after.is_none() && back.agent_ready().await.is_ok() {
                member_after = Some((running.elapsed(), dns::ask(&name).await?));
            }
            ensure!(is_ready(&scene.pod(&old).await?), "not yet");
            anyhow::Ok(())
        })
        .await?;
        back.holds_filling("before", FILLING).await.context("it is Ready and does not have everything")?;

        let (after, cached) = member_after.context("it was Ready before it was a member")?;
        println!("a member again {:.1} s after its start; its name was {cached:?}, it was {address}", after.as_secs_f32());
        ensure!(after <= BACK_WITHIN, "a member again only after {after:?}");
        ensure!(
            cached.iter().any(|r| r.address.to_string() == address.to_string()),
            "the DNS cache holds {cached:?} and no more {address}: this run proves nothing about old addresses"
        );

        let new = eventually("another pod leads", KUBERNETES, async || {
            let leader = scene.leader().await?;
            ensure!(leader != old, "still {leader}");
            anyhow::Ok(leader)
        })
        .await?;
        println!("{new} leads after {old}");
        let summary = clients.stop().await?;
        ensure!(summary.generations.len() == 1, "the cache began again: {summary}");
        for pod in scene.pods() {
            let app = scene.app(&pod).await?;
            app.holds_filling("before", FILLING).await?;
        }
        Ok(())
    })
    .await
}

/// Waits until the cache of the cluster's DNS has just learned `name`, so that it will go on to say the same for
/// longer than a pod takes to come back.
async fn freshly_cached(name: &str) -> anyhow::Result<()> {
    eventually("the name is freshly cached", Duration::from_secs(45), async || {
        match dns::ask(name).await?.as_slice() {
            [record] if record.ttl >= 29 => Ok(()),
            other => bail!("{name}: {other:?}"),
        }
    })
    .await
}

#[tokio::test]
async fn members_find_each_other_while_dns_still_hides_their_names() -> anyhow::Result<()> {
    play("hidden-names", async |scene| {
        // Asked for too early, they stay unknown for 30 s, three times what a member keeps its values without quorum.
        let names =
            ["rauthy-1", "rauthy-2"].map(|pod| format!("{pod}.rauthy.{}.svc.cluster.local", scene.namespace));
        for name in &names {
            ensure!(dns::ask(name).await?.is_empty(), "{name} is known already");
        }
        scene.with_app(json!({})).await?;
        let connected = async |pod: &str, peer: &str| {
            let view = scene.view(pod).await?;
            let members = view["members"].as_array().context("no members")?;
            let it = members.iter().find(|m| m["slot"].as_str().is_some_and(|s| s.starts_with(peer)));
            ensure!(it.is_some_and(|m| m["connected"] == true), "{pod} sees {it:?}");
            anyhow::Ok(())
        };
        eventually("rauthy-1 and rauthy-2 have a link", BACK_WITHIN, async || {
            connected("rauthy-1", "rauthy-2").await
        })
        .await?;
        for name in &names {
            let known = dns::ask(name).await?;
            ensure!(
                known.is_empty(),
                "DNS says {known:?} of {name}: this run proves nothing about hidden names"
            );
        }
        // So the two are enough when the third goes: the operator told them, and so did the third.
        scene.app("rauthy-1").await?.put("key", "kept").await?;
        scene.replace("rauthy-0").await?;
        let app = scene.app("rauthy-2").await?;
        eventually("the value is kept", BACK_WITHIN, async || app.holds("key", Some("kept")).await).await
    })
    .await
}

#[tokio::test]
async fn all_three_pods_are_deleted_one_after_another_and_the_values_are_still_there() -> anyhow::Result<()> {
    play("all-deleted", async |scene: &Scene| {
        scene.with_app(json!({})).await?;
        scene.app("rauthy-0").await?.fill("kept", 300, 100).await?;
        let clients = Clients::start(scene).await?;
        for pod in scene.pods() {
            scene.replace(&pod).await?;
            scene.ready(&pod, KUBERNETES).await?;
            scene.app(&pod).await?.holds_filling("kept", 300).await?;
        }
        for pod in scene.pods() {
            scene.app(&pod).await?.holds_filling("kept", 300).await?;
        }
        let summary = clients.stop().await?;
        ensure!(summary.generations.len() == 1, "the cache began again: {summary}");
        Ok(())
    })
    .await
}
