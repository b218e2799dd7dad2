//! `engine: Embedded`: the application has the cache inside. What its pods get, and how the size changes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::{Api, HOSTS, Operator, PODS, STATEFULSET, TLS};

fn spec(tls: &str) -> Value {
    json!({
        "rauthy": { "image": "app:1", "ports": [{ "name": "http", "containerPort": 8080 }] },
        "cache": { "engine": "Embedded" }, "tls": { "mode": tls },
    })
}

fn template(api: &Api) -> Value {
    api.get(STATEFULSET).unwrap()["spec"]["template"].clone()
}

fn replicas(api: &Api) -> i64 {
    api.get(STATEFULSET).unwrap()["spec"]["replicas"].as_i64().unwrap()
}

fn hosts(api: &Api) -> String {
    api.get(HOSTS).unwrap()["data"]["HA_HOSTS"].as_str().unwrap().to_owned()
}

/// What Kubernetes does: pods as many as the StatefulSet says, all ready.
fn controllers(api: &Api) {
    let wanted = replicas(api);
    for ordinal in 0..9 {
        let path = format!("{PODS}/rauthy-{ordinal}");
        if ordinal >= wanted {
            api.remove(&path);
        } else if api.get(&path).is_none() {
            let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": template(api)["metadata"] });
            pod["metadata"]["name"] = json!(format!("rauthy-{ordinal}"));
            pod["metadata"]["namespace"] = json!("idm");
            pod["metadata"]["uid"] = json!(format!("{ordinal}-{}", api.version()));
            pod["status"] = json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
            api.put(&path, pod);
        }
    }
}

fn pods(api: &Api) -> usize {
    api.owned().keys().filter(|path| path.starts_with(PODS)).count()
}

async fn running() -> (Api, Operator) {
    let api = Api::with(spec("Disabled"));
    let operator = Operator::start(&api);
    operator.settle().await;
    controllers(&api);
    operator.settle().await;
    (api, operator)
}

/// As that of the other pods: these bytes change only with a reason worth a restart. `UPDATE_GOLDEN=1` writes them anew.
#[tokio::test]
async fn the_application_gets_all_variables_and_there_is_no_agent() {
    let api = Api::with(spec("Managed"));
    Operator::start(&api).settle().await;
    let mut template = template(&api);
    let pod = template["spec"].clone();
    assert!(pod.get("initContainers").is_none(), "no sidecar");
    assert_eq!(pod["containers"].as_array().unwrap().len(), 1);
    assert_eq!(pod["terminationGracePeriodSeconds"], 45, "the application's own");
    // Both change with each certificate.
    for changing in ["rauthy.dev/certificate", "rauthy.dev/template-hash"] {
        assert!(template["metadata"]["annotations"][changing].is_string(), "{changing}");
        template["metadata"]["annotations"][changing] = json!("…");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/embedded.json");
    let text = serde_json::to_string_pretty(&template).unwrap() + "\n";
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(text == golden, "{} differs from what is built:\n{text}", path.display());
    assert!(api.get(STATEFULSET).unwrap()["metadata"]["annotations"].get("rauthy.dev/agent-image").is_none());
    let service = api.get("/api/v1/namespaces/idm/services/rauthy-client").unwrap();
    assert_eq!(service["spec"]["ports"].as_array().unwrap().len(), 1, "no port of an agent");
}

#[tokio::test]
async fn a_changed_certificate_asks_for_a_restart_and_nothing_else_does() {
    let api = Api::with(spec("Managed"));
    let operator = Operator::start(&api);
    operator.settle().await;
    let before = template(&api);
    controllers(&api);
    operator.settle().await;
    assert_eq!(template(&api), before, "the first pods are not outdated at once");
    api.edit(|spec| spec["replicas"] = json!(5));
    operator.settle().await;
    assert_eq!(template(&api), before, "the size");
    // As when it is renewed.
    api.remove(TLS);
    operator.settle().await;
    let now = template(&api);
    let hash = |template: &Value| template["metadata"]["annotations"]["rauthy.dev/template-hash"].clone();
    assert_ne!(hash(&now), hash(&before));
}

/// What the pods are, by uid and template.
fn generations(api: &Api) -> Vec<(String, String)> {
    let pods = api.owned();
    let pods = pods.iter().filter(|(path, _)| path.starts_with(PODS));
    pods.map(|(_, pod)| {
        let hash = pod["metadata"]["annotations"]["rauthy.dev/template-hash"].to_string();
        (pod["metadata"]["uid"].to_string(), hash)
    })
    .collect()
}

#[tokio::test]
async fn what_an_agent_would_read_again_restarts_the_pods_one_after_another() {
    let api = Api::with(spec("Managed"));
    let operator = Operator::start(&api);
    operator.settle().await;
    controllers(&api);
    operator.settle().await;
    let before = generations(&api);
    api.remove(TLS);
    for _ in 0..20 {
        operator.round().await.unwrap();
        assert!(pods(&api) >= 2, "one at a time");
        if pods(&api) == 2 {
            operator.round().await.unwrap();
            assert_eq!(pods(&api), 2, "nobody else goes before the successor is there");
        }
        controllers(&api);
    }
    let after = generations(&api);
    assert_eq!(after.len(), 3);
    assert!(after.iter().all(|now| before.iter().all(|old| old.0 != now.0 && old.1 != now.1)), "{after:?}");
    assert_eq!(api.condition("Progressing").0, "False");
}

#[tokio::test]
async fn readiness_is_the_applications_own() {
    let (api, operator) = running().await;
    let status = api.cluster().status.unwrap();
    assert_eq!((api.condition("Available").0.as_str(), status.ready.as_str()), ("True", "3/3"));
    assert_eq!((status.leader, status.term), (None, None), "nobody knows");
    assert!(status.members.iter().all(|member| member.role == "Embedded" && member.ready));
    for ordinal in [1, 2] {
        let path = format!("{PODS}/rauthy-{ordinal}");
        let mut pod = api.get(&path).unwrap();
        pod["status"]["conditions"][0]["status"] = json!("False");
        api.put(&path, pod);
    }
    operator.settle().await;
    assert_eq!(api.condition("Available").1, "NoQuorum");
}

#[tokio::test]
async fn a_change_of_size_needs_leave_and_stops_all_pods_before_it_starts_any() {
    let (api, operator) = running().await;
    let before = hosts(&api);
    api.edit(|spec| spec["replicas"] = json!(5));
    operator.settle().await;
    let (status, reason, message) = api.condition("ScalingBlocked");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "CacheLossNotAllowed"));
    assert!(message.contains("rauthy.dev/allow-cache-loss=true"), "{message}");
    assert_eq!((hosts(&api), replicas(&api)), (before.clone(), 3));

    api.annotate("rauthy.dev/allow-cache-loss", "true");
    operator.round().await.unwrap();
    assert_eq!((hosts(&api), replicas(&api)), (before.clone(), 0));
    for left in [3, 2, 1] {
        assert_eq!(pods(&api), left);
        operator.round().await.unwrap();
        assert_eq!((hosts(&api), replicas(&api)), (before.clone(), 0), "{left} pods are still there");
        api.remove(&format!("{PODS}/rauthy-{}", left - 1));
    }
    // A new life of the operator goes on where the old one was.
    let operator = Operator::start(&api);
    operator.round().await.unwrap();
    assert_eq!((hosts(&api).split(',').count(), replicas(&api)), (5, 5));
    controllers(&api);
    operator.settle().await;
    assert_eq!(api.cluster().status.unwrap().ready, "5/5");
    assert_eq!(api.condition("ScalingBlocked").0, "False");
}

#[tokio::test]
async fn killed_after_any_write_a_change_of_size_never_mixes_two_sizes() {
    for writes in 0..6 {
        let (api, operator) = running().await;
        let old = hosts(&api);
        api.annotate("rauthy.dev/allow-cache-loss", "true");
        api.edit(|spec| spec["replicas"] = json!(1));
        api.fail_after(Some(writes), 500);
        for _ in 0..8 {
            // It starts again each time.
            let _ = Operator::start(&api).round().await;
            assert!(
                hosts(&api) == old || pods(&api) == 0 || replicas(&api) == 1,
                "two sizes, {writes} writes"
            );
            controllers(&api);
        }
        api.fail_after(None, 0);
        for _ in 0..8 {
            let _ = operator.round().await;
            controllers(&api);
        }
        operator.settle().await;
        assert_eq!(
            (replicas(&api), pods(&api), hosts(&api).split(',').count()),
            (1, 1, 1),
            "{writes} writes"
        );
    }
}
