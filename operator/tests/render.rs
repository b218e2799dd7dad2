//! `rauthy-operator render`: everything that would be applied, and clear words about what is wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use rauthy_operator::render::render;
use serde::Deserialize;
use serde_json::{Value, json};
use support::{Api, Operator};

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn documents(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap()).collect()
}

/// Every example of the guide is there, is taken, and nothing secret is shown.
#[test]
fn every_example_is_rendered() {
    for name in ["minimal", "production", "cache-only", "linkerd", "embedded", "with-app"] {
        let text =
            render(&example(&format!("{name}.yaml")), "agent:1").unwrap_or_else(|e| panic!("{name}: {e}"));
        let all = documents(&text);
        assert!(all.iter().any(|object| object["kind"] == "StatefulSet"), "{name}");
        assert!(!text.contains("PRIVATE KEY"), "{name}");
        for secret in all.iter().filter(|object| object["kind"] == "Secret") {
            let contents = secret["data"].as_object().unwrap().values();
            assert!(contents.into_iter().all(|content| content == "(left out)"), "{name}");
        }
    }
}

/// What the operator itself makes of the same spec, object for object and in the same order.
#[tokio::test]
async fn it_is_everything_that_the_operator_applies() {
    for spec in [
        json!({}),
        json!({ "replicas": 1, "tls": { "mode": "Disabled" } }),
        json!({ "rauthy": { "image": "app:1" }, "cache": { "engine": "Embedded" } }),
    ] {
        let cluster = json!({
            "apiVersion": "rauthy.dev/v1alpha1", "kind": "RauthyCluster",
            "metadata": { "name": "rauthy", "namespace": "idm" }, "spec": spec,
        });
        let api = Api::with(cluster["spec"].clone());
        Operator::start(&api).settle().await;
        let kind = |object: &Value| (object["kind"].to_string(), object["metadata"]["name"].to_string());
        let made: BTreeSet<_> = api.owned().values().map(kind).collect();
        let text = render(&serde_yaml::to_string(&cluster).unwrap(), "agent:1").unwrap();
        let shown = documents(&text);
        let shown = shown.iter().filter(|object| object["kind"] != "ServiceMonitor");
        assert_eq!(shown.map(kind).collect::<BTreeSet<_>>(), made);
        let order: Vec<String> = documents(&text).iter().map(|object| object["kind"].to_string()).collect();
        assert_eq!(
            order.last().map(String::as_str),
            Some("\"StatefulSet\""),
            "its pods need everything else"
        );
    }
}

#[test]
fn what_is_wrong_is_said_clearly() {
    let cluster = |spec: &str| {
        format!(
            "apiVersion: rauthy.dev/v1alpha1\nkind: RauthyCluster\nmetadata: {{ name: rauthy }}\nspec: {spec}\n"
        )
    };
    let two = format!("{}---\n{}", cluster("{}"), cluster("{ replicas: 10 }"));
    for (text, words) in [
        (String::new(), "there is no RauthyCluster in it: it is empty"),
        ("kind: [".to_owned(), "document 1 is not a RauthyCluster"),
        ("just words".to_owned(), "in it: nothing nothing"),
        (
            "apiVersion: apps/v1\nkind: Deployment\n".to_owned(),
            "there is no RauthyCluster in it: apps/v1 Deployment",
        ),
        (
            "apiVersion: rauthy.dev/v1\nkind: RauthyCluster\n".to_owned(),
            "document 1 is a rauthy.dev/v1 RauthyCluster; this operator knows apiVersion rauthy.dev/v1alpha1",
        ),
        (cluster("{ replica: 5 }"), "spec.replica"),
        (cluster("{ cache: { maxMemroy: 1Gi } }"), "spec.cache.maxMemroy"),
        (cluster("{ pod: { tolerations: [{ keey: x }] } }"), "spec.pod.tolerations[0].keey"),
        (cluster("{ replicas: many }"), "spec.replicas"),
        (cluster("{ tls: { mode: Sometimes } }"), "Sometimes"),
        (cluster("{ cache: { maxMemory: lots } }"), "cache.maxMemory must be"),
        (cluster("{ agent: { resources: { limits: { memory: 1Mi } } } }"), "needs at least 336Mi"),
        (two, "document 2: spec.replicas is 10; 1 to 9 are possible"),
    ] {
        let said = render(&text, "agent:1").expect_err(&text).to_string();
        assert!(said.contains(words), "{text}\nsays {said}");
    }
}
