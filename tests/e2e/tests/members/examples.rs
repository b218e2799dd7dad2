//! What stands in examples/ is accepted, and runs where nothing else has to be there for it.

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Secret;
use rauthy_e2e::certificates::hosts;
use rauthy_e2e::scene::{KUBERNETES, Scene};
use rauthy_e2e::tools::{path, said, variable};
use rauthy_e2e::{Authority, eventually, play};
use serde_json::{Value, json};

#[tokio::test]
async fn every_example_is_accepted_by_the_api_server() -> anyhow::Result<()> {
    play("examples", async |scene| {
        let mut seen = 0;
        for entry in std::fs::read_dir(path("examples")?)? {
            let file = entry?.path().to_string_lossy().into_owned();
            if file.ends_with(".yaml") {
                // A field that the definition does not know is an error.
                let args = ["apply", "--server-side", "--dry-run=server", "--validate=strict", "-f", &file];
                let said = scene.kubectl(&args).await.with_context(|| file.clone())?;
                print!("{said}");
                seen += 1;
            }
        }
        ensure!(seen >= 8, "only {seen} examples are there");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn examples_that_need_no_other_operator_run() -> anyhow::Result<()> {
    play("examples-run", async |scene| {
        // As the comment at the top of own-secrets.yaml says.
        let secrets = scene.api::<Secret>();
        let mesh = Authority::new("company")?.secret("rauthy-mesh", hosts())?;
        secrets.create(&Default::default(), &mesh).await?;
        scene
            .kubectl(&[
                "create",
                "secret",
                "generic",
                "rauthy-token",
                "--from-literal=token=0123456789abcdef0123456789abcdef",
            ])
            .await?;
        scene
            .kubectl(&["create", "secret", "generic", "rauthy-config", "--from-literal=rauthy.cfg=#"])
            .await?;
        let all = [
            ("cache-only.yaml", "cache"),
            ("own-secrets.yaml", "rauthy"),
            ("linkerd.yaml", "rauthy-mesh"),
            ("with-app.yaml", "rauthy-app"),
        ];
        for (file, _) in all {
            example(scene, file, "registry.example/rauthy-with-agent:1").await?;
        }
        for (file, name) in all {
            let status = available(scene, name, 3).await.with_context(|| file.to_owned())?;
            let ctl = |pod: usize, what: &str| {
                let line = format!("exec {name}-{pod} -c agent -- /rauthy-agent ctl {what}");
                line.split(' ').map(str::to_owned).collect::<Vec<_>>()
            };
            let run = async |args: Vec<String>| {
                scene.kubectl(&args.iter().map(String::as_str).collect::<Vec<_>>()).await
            };
            run(ctl(0, "put e2e key value")).await?;
            eventually("it is read", KUBERNETES, async || {
                let value = run(ctl(2, "get e2e key")).await?;
                ensure!(value.trim() == "value", "{value}");
                anyhow::Ok(())
            })
            .await?;
            println!("{file}: {}, {} leads", status["ready"], status["leader"]);
        }
        Ok(())
    })
    .await
}

/// Applies an example, with the probe in place of an application that nobody here has.
pub(crate) async fn example(scene: &Scene, file: &str, image: &str) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(path(&format!("examples/{file}"))?)?;
    let text = text.replace(image, &variable("E2E_PROBE_IMAGE")?);
    let said = said("kubectl", &["-n", &scene.namespace, "apply", "-f", "-"], &text).await?;
    ensure!(said.ok, "{file}: {}", said.err);
    Ok(())
}

/// Waits until a cluster is Available with so many members that are ready; its status.
pub(crate) async fn available(scene: &Scene, name: &str, size: usize) -> anyhow::Result<Value> {
    eventually(&format!("{name} is available"), KUBERNETES, async || {
        let status = scene.clusters().get(name).await?.data["status"].clone();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let available = conditions.iter().any(|c| c["type"] == "Available" && c["status"] == "True");
        ensure!(available && status["ready"] == format!("{size}/{size}"), "{:#}", json!(conditions));
        anyhow::Ok(status)
    })
    .await
}
