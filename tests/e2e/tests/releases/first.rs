//! A cluster as the first release of the operator left it: tests/e2e/first holds that release's chart and the objects as it
//! made them; Secrets of the form that they had are made here. The agents are today's.

use anyhow::{Context as _, ensure};
use k8s_openapi::api::core::v1::Secret;
use rauthy_e2e::certificates::hosts_in;
use rauthy_e2e::scene::{CLUSTER, KUBERNETES, Scene};
use rauthy_e2e::tools::{path, said, variable};
use rauthy_e2e::{Authority, eventually};
use serde_json::{Value, json};

/// The uid and the agent's image in objects.yaml.
const UID: &str = "00000000-0000-0000-0000-000000000000";
const AGENT_IMAGE: &str = "example/agent:first";
const TOKEN: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL";

/// Makes it, and waits until its members serve.
pub async fn cluster(scene: &Scene) -> anyhow::Result<()> {
    let cluster = std::fs::read_to_string(path("tests/e2e/first/cluster.yaml")?)?;
    apply(scene, "somebody", &cluster).await?;
    let uid = scene.clusters().get(CLUSTER).await?.metadata.uid.context("no uid")?;
    let owner = json!([{"apiVersion": "rauthy.dev/v1alpha1", "kind": "RauthyCluster", "name": CLUSTER, "uid": uid,
        "controller": true}]);

    let authority = Authority::new(&format!("CA of RauthyCluster {}/{CLUSTER}", scene.namespace))?;
    let (certificate, key) = authority.issue(hosts_in(&scene.namespace))?;
    let secrets = [
        ("cache-auth", "Opaque", json!({"token": TOKEN})),
        ("ca", "kubernetes.io/tls", json!({"tls.crt": authority.pem, "tls.key": authority.key})),
        (
            "tls",
            "kubernetes.io/tls",
            json!({"tls.crt": certificate, "tls.key": key, "ca.crt": authority.pem}),
        ),
    ];
    for (name, kind, data) in secrets {
        let labels = json!({"app.kubernetes.io/name": "rauthy", "app.kubernetes.io/instance": CLUSTER,
            "app.kubernetes.io/managed-by": "rauthy-operator"});
        let secret: Value = json!({"metadata": {"name": format!("{CLUSTER}-{name}"), "labels": labels,
            "ownerReferences": owner}, "type": kind, "stringData": data});
        scene.api::<Secret>().create(&Default::default(), &serde_json::from_value(secret)?).await?;
    }
    let objects = std::fs::read_to_string(path("tests/e2e/first/objects.yaml")?)?;
    let objects = objects.replace(UID, &uid).replace(AGENT_IMAGE, &variable("E2E_IMAGE")?);
    // As the operator writes.
    apply(scene, "rauthy-operator", &objects).await?;
    for pod in scene.pods() {
        eventually("it exists", KUBERNETES, async || scene.pod(&pod).await).await?;
        scene.ready(&pod, KUBERNETES).await?;
    }
    Ok(())
}

async fn apply(scene: &Scene, manager: &str, objects: &str) -> anyhow::Result<()> {
    let manager = format!("--field-manager={manager}");
    let args = ["-n", &scene.namespace, "apply", "--server-side", &manager, "-f", "-"];
    let said = said("kubectl", &args, objects).await?;
    ensure!(said.ok, "kubectl apply: {}", said.err);
    Ok(())
}
