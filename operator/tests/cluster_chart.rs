//! The chart of a cluster: what it gives is a RauthyCluster that the operator takes, and wrong values are refused by name.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

#[path = "support/helm.rs"]
mod helm;

use helm::{helm, refusal, root, template};
use rauthy_operator::render::render;
use serde::Deserialize;
use serde_json::{Value, json};

const CHART: &str = "charts/rauthy-cluster";

fn cluster(args: &[&str]) -> Value {
    let objects = template(CHART, args);
    assert_eq!(objects.len(), 1, "{objects:?}");
    objects[0].clone()
}

#[test]
fn the_number_of_members_is_left_out_unless_it_is_set() {
    let plain = cluster(&[]);
    assert_eq!((&plain["metadata"]["name"], &plain["spec"]), (&json!("x"), &json!({})));
    assert_eq!(cluster(&["--set", "spec.replicas=5"])["spec"], json!({ "replicas": 5 }));
    assert_eq!(cluster(&["--set", "name=idm"])["metadata"]["name"], "idm");
}

#[test]
fn every_example_can_be_a_release() {
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let documents = serde_yaml::Deserializer::from_str(&text).map(|d| Value::deserialize(d).unwrap());
        let example = documents.into_iter().find(|object| object["kind"] == "RauthyCluster").unwrap();
        let made = cluster(&["--set-json", &format!("spec={}", example["spec"])]);
        assert_eq!(made["spec"], example["spec"], "{}", path.display());
        render(&made.to_string(), "agent:1").unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    }
}

#[test]
fn a_wrong_value_is_refused_with_its_name() {
    for (value, name) in [
        ("spec.replicas=10", "/spec/replicas"),
        ("spec.replicas=0", "/spec/replicas"),
        ("spec.replica=3", "replica"),
        ("replicas=3", "replicas"),
        ("name=Rauthy", "/name"),
        ("spec.rauthy.port=1", "port"),
        ("spec.rauthy.image=", "/spec/rauthy/image"),
        ("spec.rauthy.ports[0].containerPort=http", "/spec/rauthy/ports/0/containerPort"),
        ("spec.cache.maxMemroy=1Gi", "maxMemroy"),
        ("spec.cache.engine=Other", "/spec/cache/engine"),
        ("spec.cache.port=70000", "/spec/cache/port"),
        ("spec.tls.mode=Sometimes", "/spec/tls/mode"),
        ("spec.agent.imagePullPolicy=Often", "/spec/agent/imagePullPolicy"),
        ("spec.pod.tolerations[0].keey=x", "keey"),
        ("spec.paused=maybe", "/spec/paused"),
        ("annotations.a=1", "/annotations/a"),
    ] {
        let said = refusal(CHART, &["--set", value]);
        assert!(said.contains(name), "{value}: {said}");
    }
    let long = "a".repeat(41);
    let said = helm(&["template", &long, CHART]);
    let said = String::from_utf8(said.stderr).unwrap();
    assert!(said.contains("at most 40 characters"), "{said}");
}
