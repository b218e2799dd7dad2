//! What concerns the operator, which all clusters share: one test at a time. Run by `make e2e`.

mod failpoints;
mod nodes;
mod operators;
mod others;

use anyhow::{Context as _, ensure};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, ListParams};
use rauthy_e2e::operators::{operator_containers, restart_operator, rested_operators};
use rauthy_e2e::scene::{AVAILABLE_WITHIN, KUBERNETES, OPERATOR, Scene, started};
use rauthy_e2e::tools::variable;
use rauthy_e2e::{eventually, freeze, play};
use serde_json::json;

#[tokio::test]
async fn helm_install_and_kubectl_apply_of_the_minimal_example_become_available_within_60_s()
-> anyhow::Result<()> {
    play("minimal", async |scene| {
        let example = format!("{}/examples/minimal.yaml", variable("E2E_ROOT")?);
        scene.kubectl(&["apply", "-f", &example]).await?;
        let condition = scene.condition("Available", "True", KUBERNETES + AVAILABLE_WITHIN).await?;
        let available: k8s_openapi::jiff::Timestamp =
            condition["lastTransitionTime"].as_str().context("no time")?.parse()?;
        let mut last = k8s_openapi::jiff::Timestamp::MIN;
        for pod in scene.pods() {
            // Two members are enough: the third may still start.
            let began = eventually("it runs", KUBERNETES, async || started(&scene.pod(&pod).await?)).await?;
            last = last.max(began);
        }
        let seconds = available.duration_since(last).as_secs();
        println!("Available {seconds} s after the last container's start");
        ensure!(seconds <= i64::try_from(AVAILABLE_WITHIN.as_secs())?, "Available only {seconds} s after");

        let table = eventually("kubectl get rauthy shows it", OPERATOR, async || {
            let table = scene.kubectl(&["get", "rauthy"]).await?;
            let cells = columns(&table).with_context(|| table.clone())?;
            let shown =
                |name: &str| cells.iter().find(|c| c.0 == name).map(|c| c.1.as_str()).unwrap_or_default();
            ensure!(shown("READY") == "3/3" && shown("LEADER").starts_with("rauthy-"), "{table}");
            anyhow::Ok(table)
        })
        .await?;
        print!("{table}");
        Ok(())
    })
    .await
}

/// Heading and cell of each column of a table with one row.
fn columns(table: &str) -> Option<Vec<(String, String)>> {
    let mut lines = table.lines().map(|l| l.split_whitespace().map(str::to_owned));
    Some(lines.next()?.zip(lines.next()?).collect())
}

#[tokio::test]
async fn the_token_has_48_letters_and_digits_and_survives_restarts_of_the_operator() -> anyhow::Result<()> {
    play("token", async |scene| {
        scene.with_agents().await?;
        let secrets: Api<Secret> = scene.api();
        let before = secrets.get("rauthy-cache-auth").await?;
        let token = scene.secret("rauthy-cache-auth", "token").await?;
        ensure!(token.len() == 48, "the token has {} characters", token.len());
        ensure!(token.iter().all(u8::is_ascii_alphanumeric), "the token is not only of [a-zA-Z0-9]");
        let pods = uids(scene).await?;

        for _ in 0..2 {
            restart_operator(&scene.client).await?;
            // Something that only a running operator does: so it has seen this cluster after its start.
            let map = scene.api::<ConfigMap>().get("rauthy-hosts").await?.uid();
            scene.api::<ConfigMap>().delete("rauthy-hosts", &DeleteParams::default()).await?;
            eventually("the operator is at work", OPERATOR, async || {
                let now = scene.api::<ConfigMap>().get("rauthy-hosts").await?.uid();
                ensure!(now != map, "it is still the old one");
                anyhow::Ok(())
            })
            .await?;
            let after = secrets.get("rauthy-cache-auth").await?;
            ensure!(after.data == before.data, "the token is another one");
            ensure!(after.uid() == before.uid(), "the Secret was made anew");
        }
        ensure!(uids(scene).await? == pods, "a restart of the operator restarted members");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_operator_that_is_killed_in_the_middle_of_a_creation_finishes_it() -> anyhow::Result<()> {
    play("killed", async |scene| {
        let containers = rested_operators(&scene.client).await?;
        scene.apply(json!({"replicas": 3})).await?;
        // The first sign of its work; what comes after it, a new life of the operator has to do.
        let uid = scene.clusters().get("rauthy").await?.uid();
        eventually("the creation has begun", OPERATOR, async || {
            let secrets = scene.api::<Secret>().list(&ListParams::default()).await?.items;
            let ours = |s: &Secret| s.owner_references().iter().any(|o| Some(&o.uid) == uid.as_ref());
            ensure!(secrets.iter().any(ours), "no Secret yet");
            anyhow::Ok(())
        })
        .await?;
        for id in &containers {
            freeze::kill(id)?;
        }
        let set = scene.api::<StatefulSet>().get_opt("rauthy").await?;
        println!("killed when the StatefulSet was {}", if set.is_some() { "there" } else { "not there yet" });
        let status = scene.status().await?;
        let available = status["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .any(|c| c["type"] == "Available" && c["status"] == "True");
        ensure!(!available, "the creation was over when the operator was killed");
        scene.available(3).await?;
        scene.ctl("rauthy-0", &["put", "e2e", "key", "value"]).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_operator_that_is_killed_between_the_steps_of_a_new_authority_finishes_them() -> anyhow::Result<()>
{
    play("killed-rotation", async |scene| {
        rested_operators(&scene.client).await?;
        scene.with_agents().await?;
        let pods = uids(scene).await?;
        let bundle = async || -> anyhow::Result<(usize, Vec<u8>)> {
            let text = scene.secret("rauthy-tls", "ca.crt").await?;
            Ok((String::from_utf8_lossy(&text).matches("BEGIN CERTIFICATE").count(), text))
        };
        let old = bundle().await?.1;
        let shown = scene.secret("rauthy-tls", "tls.crt").await?;
        scene.kubectl(&["annotate", "rauthycluster", "rauthy", "rauthy.dev/renew=ca"]).await?;
        // Killed when both are accepted, and again when the new certificate is shown.
        for (what, switched) in [("both are accepted", false), ("the new certificate is there", true)] {
            eventually(what, OPERATOR * 2, async || {
                let (count, _) = bundle().await?;
                ensure!(count == 2, "{count} authorities");
                let now = scene.secret("rauthy-tls", "tls.crt").await?;
                ensure!(
                    (now != shown) == switched,
                    "the certificate is {} one",
                    if switched { "the old" } else { "a new" }
                );
                anyhow::Ok(())
            })
            .await?;
            for id in &operator_containers(&scene.client).await? {
                // One that was killed before may not be back yet.
                let _ = freeze::kill(id);
            }
        }
        eventually("the old authority is dropped", KUBERNETES, async || {
            let (count, text) = bundle().await?;
            ensure!(count == 1 && text != old, "{count} authorities");
            anyhow::Ok(())
        })
        .await?;
        scene.available(3).await?;
        ensure!(uids(scene).await? == pods, "a member was replaced");
        scene.ctl("rauthy-0", &["put", "e2e", "key", "value"]).await?;
        Ok(())
    })
    .await
}

async fn uids(scene: &Scene) -> anyhow::Result<Vec<Option<String>>> {
    let mut uids = Vec::new();
    for pod in scene.pods() {
        uids.push(scene.pod(&pod).await?.uid());
    }
    Ok(uids)
}
