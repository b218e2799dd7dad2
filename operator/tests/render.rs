//! `rauthy-operator render`: everything that would be applied, and clear words about what is wrong.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;

use rauthy_operator::crd::RauthyCluster;
use rauthy_operator::render::render;
use serde::Deserialize;
use serde_json::{Value, json};
use support::{Api, Operator};

/// Names and texts of all examples.
fn examples() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let yaml = files.filter(|path| path.extension().is_some_and(|end| end == "yaml"));
    let name = |path: &Path| path.file_stem().unwrap().to_string_lossy().into_owned();
    yaml.map(|path| (name(&path), std::fs::read_to_string(&path).unwrap())).collect()
}

fn documents(text: &str) -> Vec<Value> {
    serde_yaml::Deserializer::from_str(text).map(|document| Value::deserialize(document).unwrap()).collect()
}

/// Every example of the guide is there, is taken, and nothing secret is shown.
#[test]
fn every_example_is_rendered() {
    let named = [
        "minimal",
        "production",
        "cache-only",
        "cert-manager",
        "own-secrets",
        "linkerd",
        "embedded",
        "with-app",
    ];
    let all = examples();
    let names: BTreeSet<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, BTreeSet::from(named), "docs/guide/spec.md names them all");
    for (name, text) in &all {
        let text = render(text, "agent:1").unwrap_or_else(|e| panic!("{name}: {e}"));
        let objects = documents(&text);
        let kinds: BTreeSet<&str> = objects.iter().filter_map(|object| object["kind"].as_str()).collect();
        for kind in ["StatefulSet", "Service", "ConfigMap", "ServiceAccount", "Secret"] {
            assert!(kinds.contains(kind), "{name}: {kinds:?}");
        }
        assert_eq!(kinds.contains("Certificate"), name == "cert-manager", "{name}");
        assert!(!text.contains("PRIVATE KEY"), "{name}");
        for secret in objects.iter().filter(|object| object["kind"] == "Secret") {
            let contents = secret["data"].as_object().unwrap().values();
            assert!(contents.into_iter().all(|content| content == "(left out)"), "{name}");
        }
        for object in &objects {
            assert_eq!(object["metadata"]["ownerReferences"][0]["kind"], "RauthyCluster", "{name}: {object}");
        }
    }
}

/// What the API server would say: no field that the schema does not have, no value that it forbids, none that is missing.
fn schema(value: &Value, schema: &Value, at: &str, wrong: &mut Vec<String>) {
    let kind = match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::Null => "null",
    };
    let either = schema["x-kubernetes-int-or-string"] == true && matches!(kind, "integer" | "string");
    let wanted = schema["type"].as_str();
    if !either && wanted.is_some_and(|wanted| wanted != kind && (wanted, kind) != ("number", "integer")) {
        wrong.push(format!("{at} is of type {kind}, not {wanted:?}"));
    }
    if schema["enum"].as_array().is_some_and(|some| !some.contains(value)) {
        wrong.push(format!("{at} is {value}, none of {}", schema["enum"]));
    }
    let bound = |key: &str| schema[key].as_f64();
    if let Some(number) = value.as_f64()
        && (bound("minimum").is_some_and(|least| number < least)
            || bound("maximum").is_some_and(|most| number > most))
    {
        wrong.push(format!("{at} is {number}, out of range"));
    }
    if let Some(text) = value.as_str()
        && (bound("minLength").is_some_and(|least| (text.len() as f64) < least)
            || bound("maxLength").is_some_and(|most| text.len() as f64 > most))
    {
        wrong.push(format!("{at} has {} characters", text.len()));
    }
    for needed in schema["required"].as_array().into_iter().flatten() {
        if value.get(needed.as_str().unwrap()).is_none() {
            wrong.push(format!("{at}.{needed} is missing"));
        }
    }
    for (n, item) in value.as_array().into_iter().flatten().enumerate() {
        self::schema(item, &schema["items"], &format!("{at}[{n}]"), wrong);
    }
    for (key, below) in value.as_object().into_iter().flatten() {
        let at = format!("{at}.{key}");
        match (&schema["properties"][key], &schema["additionalProperties"]) {
            (Value::Null, Value::Null) if schema["x-kubernetes-preserve-unknown-fields"] == true => {}
            (Value::Null, Value::Null) => wrong.push(format!("{at} does not exist")),
            (Value::Null, any) => self::schema(below, any, &at, wrong),
            (known, _) => self::schema(below, known, &at, wrong),
        }
    }
}

#[test]
fn every_example_is_accepted_by_the_schema_and_its_rules() {
    let crd = serde_json::to_value(<RauthyCluster as kube::CustomResourceExt>::crd()).unwrap();
    let all = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    let spec = &all["properties"]["spec"];
    for (name, text) in examples() {
        for document in documents(&text).iter().filter(|document| document["kind"] == "RauthyCluster") {
            let mut wrong = Vec::new();
            schema(&document["spec"], spec, "spec", &mut wrong);
            assert_eq!(wrong, Vec::<String>::new(), "{name}");
            let cluster: RauthyCluster = serde_json::from_value(document.clone()).unwrap();
            cluster.validate_cel().unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
        }
    }
    // It would say so.
    for bad in [
        json!({ "replicas": 10 }),
        json!({ "replicas": "3" }),
        json!({ "replica": 3 }),
        json!({ "tls": { "mode": "Maybe" } }),
        json!({ "rauthy": {} }),
        json!({ "pod": { "tolerations": [{ "key": 1 }] } }),
    ] {
        let mut wrong = Vec::new();
        schema(&bad, spec, "spec", &mut wrong);
        assert_eq!(wrong.len(), 1, "{bad}: {wrong:?}");
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
