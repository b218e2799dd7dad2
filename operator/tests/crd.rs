//! The CRD: the committed files are what the types say, and the rules refuse what they should in words that help.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

use std::path::Path;

use rauthy_operator::crd::RauthyCluster;
use rauthy_operator::crd::generate::{FILES, VALUES, values_schema, yaml};
use rauthy_operator::render::render;
use serde_json::{Value, json};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn the_files_are_what_the_types_say() {
    let crd = yaml().unwrap();
    let files = FILES.map(|file| (file, crd.clone()));
    for (file, expected) in files.into_iter().chain([(VALUES, values_schema().unwrap())]) {
        let text = std::fs::read_to_string(root().join(file)).unwrap_or_default();
        assert!(
            text == expected,
            "{file} is not up to date; run `cargo run -p rauthy-operator -- crd --write`"
        );
    }
}

#[test]
fn it_fits_into_an_annotation() {
    let crd: Value = serde_yaml::from_str(&yaml().unwrap()).unwrap();
    assert!(crd.to_string().len() < 262_144, "kubectl apply keeps a copy in an annotation");
}

#[test]
fn defaults_are_written_in_full() {
    let crd: Value = serde_yaml::from_str(&yaml().unwrap()).unwrap();
    let spec = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"];
    assert_eq!(
        spec["cache"]["default"],
        json!({ "engine": "Agent", "port": 8000, "invalidateAfter": "10s", "maxMemory": "128Mi" })
    );
    assert_eq!(spec["tls"]["default"], json!({ "mode": "Managed" }));
    assert_eq!(
        spec["tls"]["properties"]["mode"]["enum"],
        json!(["Managed", "CertManager", "Secret", "Disabled"])
    );
    assert_eq!((&spec["replicas"]["minimum"], &spec["replicas"]["maximum"]), (&json!(1.0), &json!(9.0)));
    let status =
        &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"];
    assert_eq!(status["conditions"]["x-kubernetes-list-map-keys"], json!(["type"]));
    assert_eq!(status["members"]["x-kubernetes-list-map-keys"], json!(["slot"]));
}

fn cluster(name: &str, spec: Value) -> RauthyCluster {
    let object = json!({
        "apiVersion": "rauthy.dev/v1alpha1", "kind": "RauthyCluster", "metadata": { "name": name }, "spec": spec,
    });
    serde_json::from_value(object).unwrap()
}

#[test]
fn rules_refuse_what_is_wrong() {
    let long = "a".repeat(41);
    for (name, spec, word) in [
        (long.as_str(), json!({}), "at most 40"),
        ("1rauthy", json!({}), "begin with a letter"),
        ("rauthy", json!({ "cache": { "port": 8081 } }), "8081"),
        ("rauthy", json!({ "cache": { "invalidateAfter": "soon" } }), "from 3s to 1h"),
        ("rauthy", json!({ "cache": { "invalidateAfter": "2999ms" } }), "from 3s to 1h"),
        ("rauthy", json!({ "cache": { "invalidateAfter": "61m" } }), "from 3s to 1h"),
        ("rauthy", json!({ "cache": { "maxMemory": "lots" } }), "such as 128Mi"),
        ("rauthy", json!({ "cache": { "maxMemory": "-1Mi" } }), "such as 128Mi"),
        ("rauthy", json!({ "cache": { "invalidateAfter": "2h" } }), "from 3s to 1h"),
        ("rauthy", json!({ "cache": { "maxMemory": "7Mi" } }), "8Mi at least"),
        ("rauthy", json!({ "cache": { "maxMemory": "8388608" } }), "8Mi at least"),
        ("rauthy", json!({ "cache": { "engine": "Embedded" } }), "needs an application"),
        (
            "rauthy",
            json!({ "tls": { "mode": "CertManager" } }),
            "tls.certManager with an issuerRef is needed",
        ),
        (
            "rauthy",
            json!({ "tls": { "certManager": { "issuerRef": { "name": "x" } } } }),
            "no place in another mode",
        ),
        ("rauthy", json!({ "tls": { "mode": "Secret" } }), "tls.secret with the name"),
        ("rauthy", json!({ "tls": { "secret": { "name": "x" } } }), "no place in another mode"),
        ("rauthy", json!({ "agent": { "logLevel": "off" } }), "agent.logLevel must be"),
        ("rauthy", json!({ "agent": { "logLevel": "verbose" } }), "agent.logLevel must be"),
        ("rauthy", json!({ "agent": { "logLevel": "info,a=loud" } }), "agent.logLevel must be"),
    ] {
        let errors = cluster(name, spec.clone()).validate_cel().expect_err(&format!("{name} {spec}"));
        let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(text.join(" ").contains(word), "{spec}: {text:?}");
    }
    for (name, spec) in [
        ("a".repeat(40).as_str(), json!({})),
        ("r", json!({ "agent": { "logLevel": "trace" } })),
        ("r", json!({ "tls": { "mode": "CertManager", "certManager": { "issuerRef": { "name": "x" } } } })),
        ("r", json!({ "tls": { "mode": "Secret", "secret": { "name": "x" } } })),
        ("r", json!({ "agent": { "logLevel": "info,rauthy_agent::mesh=debug,h2=off" } })),
        ("r", json!({ "cache": { "invalidateAfter": "3s", "maxMemory": "1Gi", "port": 9000 } })),
        (
            "my-rauthy2",
            json!({ "cache": { "invalidateAfter": "1h", "maxMemory": "8Mi" }, "auth": { "tokenSecretName": "x" } }),
        ),
    ] {
        cluster(name, spec.clone()).validate_cel().unwrap_or_else(|errors| panic!("{spec}: {errors:?}"));
    }
}

#[test]
fn what_cannot_change_says_why() {
    let base = || cluster("rauthy", json!({ "auth": { "tokenSecretName": "x" } }));
    for (spec, word) in [
        (
            json!({ "auth": { "tokenSecretName": "x" }, "cache": { "port": 8001 } }),
            "cache.port cannot change",
        ),
        (json!({ "auth": { "tokenSecretName": "x" }, "tls": { "mode": "Disabled" } }), "to or from Disabled"),
        (
            json!({
                "auth": { "tokenSecretName": "x" }, "rauthy": { "image": "app:1" }, "cache": { "engine": "Embedded" },
            }),
            "cache.engine cannot change",
        ),
    ] {
        let errors =
            cluster("rauthy", spec.clone()).validate_cel_update(&base()).expect_err(&spec.to_string());
        let text: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert!(text.join(" ").contains(word), "{spec}: {text:?}");
    }
    let grown =
        cluster("rauthy", json!({ "auth": { "tokenSecretName": "x" }, "replicas": 5, "paused": true }));
    assert!(grown.validate_cel_update(&base()).is_ok());
    for spec in [
        json!({ "auth": { "tokenSecretName": "y" } }),
        json!({}),
        json!({ "tls": { "mode": "Secret", "secret": { "name": "x" } } }),
    ] {
        assert!(cluster("rauthy", spec.clone()).validate_cel_update(&base()).is_ok(), "{spec}");
    }
    let plain = cluster("rauthy", json!({ "tls": { "mode": "Disabled" } }));
    let errors = base().validate_cel_update(&plain).expect_err("from Disabled");
    assert!(errors.iter().any(|error| error.to_string().contains("Create a new RauthyCluster")));
}

#[test]
fn every_example_can_be_built() {
    let mut seen = 0;
    for entry in std::fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "yaml") {
            let text = std::fs::read_to_string(&path).unwrap();
            let objects =
                render(&text, "agent:1").unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(objects.contains("kind: StatefulSet"), "{}", path.display());
            assert!(!objects.contains("PRIVATE KEY"), "no secret is shown");
            seen += 1;
        }
    }
    assert!(seen >= 3, "{seen} examples");
}
