//! A cluster as a release of its own (charts/rauthy-cluster): whose the number of members is, as docs/guide/install.md says.

use anyhow::ensure;
use rauthy_e2e::lives::{lives, reached, same_lives};
use rauthy_e2e::play;
use rauthy_e2e::scene::{CLUSTER, Scene};
use rauthy_e2e::tools::{path, said};

#[tokio::test]
async fn a_release_that_leaves_replicas_out_keeps_what_kubectl_scale_said() -> anyhow::Result<()> {
    play("cluster-chart", async |scene| {
        helm(scene, &["install", CLUSTER, CHART]).await?;
        scene.available(3).await?;
        scene.ctl("rauthy-0", &["put", "e2e", "key", "value"]).await?;
        let before = lives(scene).await?;
        scene.kubectl(&["scale", "rauthy", CLUSTER, "--replicas=5"]).await?;
        helm(scene, &["upgrade", CLUSTER, CHART, "--set", "labels.team=identity"]).await?;
        reached(scene, 5).await?;
        let labels = scene.clusters().get(CLUSTER).await?.metadata.labels.unwrap_or_default();
        ensure!(
            labels.get("team").map(String::as_str) == Some("identity"),
            "the upgrade did nothing: {labels:?}"
        );
        same_lives(&before, &lives(scene).await?, 3)?;
        ensure!(scene.ctl("rauthy-4", &["get", "e2e", "key"]).await?.trim() == "value", "the value is lost");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_release_that_sets_replicas_conflicts_with_kubectl_scale_and_a_dropped_value_falls_back()
-> anyhow::Result<()> {
    play("chart-replicas", async |scene| {
        // Paused: this is about what the API server makes of it.
        let own = ["--set", "spec.paused=true"];
        let with = |command: &'static str, name: &'static str, more: &[&'static str]| {
            [&[command, name, CHART][..], &own, more].concat()
        };
        // Helm 4, server-side.
        helm(scene, &with("install", "server", &["--set", "spec.replicas=3"])).await?;
        scene.kubectl(&["scale", "rauthy", "server", "--replicas=5"]).await?;
        let refused = try_helm(scene, &with("upgrade", "server", &["--set", "spec.replicas=4"])).await?;
        ensure!(!refused.ok, "nobody minds: {}", refused.out);
        ensure!(
            refused.err.contains("conflict") && refused.err.contains(".spec.replicas"),
            "the refusal does not name the field: {}",
            refused.err
        );
        println!("{}", refused.err.trim());
        ensure!(replicas(scene, "server").await? == "5", "it was changed all the same");
        // The two ways out that the guide names.
        let forced = ["--set", "spec.replicas=4", "--force-conflicts"];
        helm(scene, &with("upgrade", "server", &forced)).await?;
        ensure!(replicas(scene, "server").await? == "4", "--force-conflicts did not set it");
        scene.kubectl(&["scale", "rauthy", "server", "--replicas=5"]).await?;
        helm(scene, &with("upgrade", "server", &[])).await?;
        ensure!(replicas(scene, "server").await? == "5", "taken out of the values, it is not as scaled");

        // Client-side: set again only when the value changed, and a dropped value falls back to the default.
        let client = |command, more: &[&'static str]| {
            with(command, "client", &[&["--server-side=false"][..], more].concat())
        };
        helm(scene, &client("install", &["--set", "spec.replicas=5"])).await?;
        scene.kubectl(&["scale", "rauthy", "client", "--replicas=7"]).await?;
        helm(scene, &client("upgrade", &["--set", "spec.replicas=5,labels.a=b"])).await?;
        println!("client-side, the same value after kubectl scale: {}", replicas(scene, "client").await?);
        helm(scene, &client("upgrade", &[])).await?;
        ensure!(
            replicas(scene, "client").await? == "3",
            "helm: a dropped value did not fall back to the default"
        );
        for (line, expected) in [("replicas: 5", "5"), ("paused: true", "3")] {
            let object = format!(
                "{{apiVersion: rauthy.dev/v1alpha1, kind: RauthyCluster, metadata: {{name: plain}}, \
                 spec: {{paused: true, {line}}}}}"
            );
            let object = if expected == "3" { object.replace("paused: true, ", "") } else { object };
            let applied = said("kubectl", &["-n", &scene.namespace, "apply", "-f", "-"], &object).await?;
            ensure!(applied.ok, "{}", applied.err);
            ensure!(replicas(scene, "plain").await? == expected, "kubectl apply with {line}");
        }
        Ok(())
    })
    .await
}

const CHART: &str = "charts/rauthy-cluster";

async fn replicas(scene: &Scene, name: &str) -> anyhow::Result<String> {
    scene.kubectl(&["get", "rauthy", name, "-o", "jsonpath={.spec.replicas}"]).await
}

async fn try_helm(scene: &Scene, args: &[&str]) -> anyhow::Result<rauthy_e2e::tools::Said> {
    let chart = path(CHART)?;
    let args: Vec<_> = args.iter().map(|arg| if *arg == CHART { chart.as_str() } else { arg }).collect();
    said("helm", &[&["-n", scene.namespace.as_str()], &args[..]].concat(), "").await
}

async fn helm(scene: &Scene, args: &[&str]) -> anyhow::Result<()> {
    let said = try_helm(scene, args).await?;
    ensure!(said.ok, "helm {}: {}", args.join(" "), said.err);
    Ok(())
}
