//! Releases of the operator come, change and go while a cluster serves: one test at a time, before all others. What they
//! leave is today's release, watching all namespaces.

mod first;

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt as _;
use kube::api::DeleteParams;
use rauthy_e2e::clients::no_gap;
use rauthy_e2e::lives::{Lives, lives};
use rauthy_e2e::scene::{CLUSTER, KUBERNETES, OPERATOR, Scene, brief};
use rauthy_e2e::tools::{helm, install, kubectl, path, said};
use rauthy_e2e::{Clients, eventually, lasts, play, play_without_operator};
use serde_json::json;

const CHART: &str = "charts/rauthy-operator";
const CRD: &str = "rauthyclusters.rauthy.dev";

#[tokio::test]
async fn a_an_upgrade_from_the_first_release_leaves_a_running_cluster_as_it_is() -> anyhow::Result<()> {
    // Of an earlier run on a cluster that was kept.
    let _ = said("helm", &["-n", "rauthy-operator", "uninstall", "rauthy-operator", "--wait"], "").await?;
    let _ = said("kubectl", &["delete", "crd", CRD, "--ignore-not-found", "--timeout=60s"], "").await?;
    play_without_operator("first", async |scene| {
        install(&path("tests/e2e/first/rauthy-operator-0.1.0.tgz")?, &[]).await?;
        // The server tells of a definition a moment after it was written.
        eventually("the first release's definition", KUBERNETES, async || {
            ensure!(!has_field("networkPolicy").await?, "it is a later one");
            Ok(())
        })
        .await?;
        first::cluster(scene).await?;
        let clients = Clients::start(scene).await?;
        let before = lives(scene).await?;

        let began = Instant::now();
        install(&path(CHART)?, &[]).await.context("helm upgrade")?;
        println!("helm upgrade: {:.1} s", began.elapsed().as_secs_f32());
        eventually("today's definition", KUBERNETES, async || {
            ensure!(has_field("networkPolicy").await?, "it is still the first release's");
            Ok(())
        })
        .await?;
        // Something that only today's operator does.
        eventually("today's operator has taken over", OPERATOR, async || {
            scene.kubectl(&["get", "networkpolicy", CLUSTER]).await
        })
        .await?;
        scene.available(3).await?;
        clients.more().await?;
        // Longer than the operator waits between two looks at a cluster that is well.
        lasts("no pod is replaced", Duration::from_secs(17), async || same(scene, &before).await).await?;

        let tested = helm(&["test", "rauthy-operator", "--logs"]).await?;
        print!(
            "{}",
            tested
                .lines()
                .filter(|line| line.contains("good: "))
                .fold(String::new(), |all, l| all + l + "\n")
        );
        ensure!(tested.contains("Succeeded") && tested.contains(" acts"), "helm test: {tested}");
        served(clients, 1).await
    })
    .await
}

#[tokio::test]
async fn b_clusters_outlive_the_operators_release_and_the_next_one_takes_over_with_fewer_rights()
-> anyhow::Result<()> {
    play("outlives", async |scene| {
        let result = outlives(scene).await;
        // Whatever happened: other tests need today's release.
        install(&path(CHART)?, &["--force-conflicts"]).await?;
        result
    })
    .await
}

async fn outlives(scene: &Scene) -> anyhow::Result<()> {
    let other = scene.beside("other").await?;
    other.apply(json!({"replicas": 1})).await?;
    scene.with_app(json!({})).await?;
    other.available(1).await?;
    let clients = Clients::start(scene).await?;
    let before = lives(scene).await?;

    helm(&["uninstall", "rauthy-operator", "--wait"]).await?;
    kubectl(&["get", "crd", CRD]).await.context("the definition went with the release")?;
    let began = Instant::now();
    other.remove().await?;
    other.removed().await.context("nobody runs the cluster in it")?;
    println!(
        "a namespace with a cluster and no operator is gone after {:.1} s",
        began.elapsed().as_secs_f32()
    );
    clients.more().await?;
    same(scene, &before).await?;

    // Again, for this namespace alone.
    clients.mark();
    let watched = format!("watchNamespaces={{{}}}", scene.namespace);
    install(&path(CHART)?, &["--set", &watched]).await?;
    let tested = helm(&["test", "rauthy-operator", "--logs"]).await?;
    ensure!(tested.contains(&format!("RauthyClusters of {}: 1", scene.namespace)), "helm test: {tested}");
    let outside = scene.beside("outside").await?;
    outside.apply(json!({"replicas": 1, "paused": true})).await?;
    comes_back(scene).await?;
    lasts("elsewhere nothing is done", Duration::from_secs(5), async || {
        let status = outside.status().await?;
        ensure!(status.is_null(), "{}", brief(&status));
        anyhow::Ok(())
    })
    .await?;
    let may = [
        "auth",
        "can-i",
        "get",
        "secrets",
        "--as=system:serviceaccount:rauthy-operator:rauthy-operator",
        "-n",
    ];
    ensure!(
        kubectl(&[&may[..], &[&scene.namespace]].concat()).await?.contains("yes"),
        "it may not read its own"
    );
    let elsewhere = said("kubectl", &[&may[..], &[&outside.namespace]].concat(), "").await?;
    ensure!(elsewhere.out.contains("no"), "it may read others' secrets: {elsewhere:?}");
    one_right_less(scene).await?;

    // And for all of them.
    install(&path(CHART)?, &["--set", "watchNamespaces=null"]).await?;
    outside.condition("Paused", "True", OPERATOR).await?;
    outside.remove().await?;
    comes_back(scene).await?;
    scene.available(3).await?;
    same(scene, &before).await?;
    served(clients, 2).await
}

/// Takes one verb away: the status says which, members serve, and all is done when it is given back.
async fn one_right_less(scene: &Scene) -> anyhow::Result<()> {
    let role = scene.kubectl(&["get", "role", "rauthy-operator", "-o", "json"]).await?;
    let mut role: serde_json::Value = serde_json::from_str(&role)?;
    let whole = role["rules"].to_string();
    let rules = role["rules"].as_array_mut().context("a Role without rules")?;
    let budgets = rules.iter_mut().find(|rule| rule["resources"][0] == "poddisruptionbudgets");
    let verbs =
        budgets.context("no rule about PodDisruptionBudgets")?["verbs"].as_array_mut().context("no verbs")?;
    verbs.retain(|verb| verb != "create");
    let set = async |rules: &str| {
        let patch = format!(r#"{{"rules": {rules}}}"#);
        scene.kubectl(&["patch", "role", "rauthy-operator", "--type=merge", "-p", &patch]).await
    };
    set(&role["rules"].to_string()).await?;
    scene.kubectl(&["delete", "poddisruptionbudget", CLUSTER]).await?;
    let told = eventually("the status says what is not allowed", OPERATOR, async || {
        let status = scene.status().await?;
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let told = conditions.clone().find(|c| {
            let message = c["message"].as_str().unwrap_or_default();
            c["status"] == "True"
                && message.contains("PodDisruptionBudget")
                && message.contains("cannot create resource")
        });
        told.cloned().with_context(|| brief(&status))
    })
    .await?;
    println!("{}: {}: {}", told["type"], told["reason"], told["message"]);
    let log = kubectl(&[
        "-n",
        "rauthy-operator",
        "logs",
        "-l",
        "app.kubernetes.io/name=rauthy-operator",
        "--tail=50",
    ]);
    let log = log.await?;
    let line = log.lines().find(|line| line.contains("cannot create resource"));
    println!("{}", line.with_context(|| format!("the log says nothing of it: {log}"))?);
    set(&whole).await?;
    eventually("the budget is back", KUBERNETES, async || {
        scene.kubectl(&["get", "poddisruptionbudget", CLUSTER]).await
    })
    .await?;
    scene.condition("Degraded", "False", OPERATOR).await?;
    Ok(())
}

/// Deletes something that the operator makes, and waits for it.
async fn comes_back(scene: &Scene) -> anyhow::Result<()> {
    let services = scene.api::<Service>();
    let old = services.get("rauthy-client").await?.uid();
    services.delete("rauthy-client", &DeleteParams::default()).await?;
    let began = Instant::now();
    eventually("the operator has taken over", OPERATOR, async || {
        let new = services.get("rauthy-client").await?.uid();
        ensure!(new != old, "the old one is still there");
        anyhow::Ok(())
    })
    .await?;
    println!("a deleted Service is back after {:.1} s", began.elapsed().as_secs_f32());
    Ok(())
}

/// Demands that every pod is the one that it was, and was not started again.
async fn same(scene: &Scene, before: &Lives) -> anyhow::Result<()> {
    let now = lives(scene).await?;
    ensure!(now == *before, "before: {before:?}, now: {now:?}");
    Ok(())
}

/// Judges what the clients saw: nothing is lost, and nobody waited, in any of these parts of the story.
async fn served(clients: Clients, parts: usize) -> anyhow::Result<()> {
    let summary = clients.stop().await?;
    ensure!(summary.generations.len() == 1, "the cache began again: {summary}");
    (0..parts).try_for_each(|part| no_gap(&summary, part, &["rauthy-0", "rauthy-1", "rauthy-2"]))
}

/// Whether the served definition has a field of the spec.
async fn has_field(name: &str) -> anyhow::Result<bool> {
    let said = said("kubectl", &["explain", &format!("rauthycluster.spec.{name}")], "").await?;
    ensure!(said.ok || said.err.contains("does not exist"), "kubectl explain: {}", said.err);
    Ok(said.ok)
}
