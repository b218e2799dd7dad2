//! What is built: the pods' template is the same bytes as ever, and nothing depends on the order of things.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use proptest::prelude::*;
use rauthy_operator::crd::RauthyCluster;
use rauthy_operator::reconcile::build::{Desired, build, host_list};
use rauthy_operator::reconcile::credentials::{decide, x509};
use rauthy_operator::reconcile::dereference::Observed;
use rauthy_operator::reconcile::validate::{Environment, Invalid, Validated, validate};
use serde_json::{Value, json};

fn cluster(spec: Value) -> RauthyCluster {
    let object = json!({
        "apiVersion": "rauthy.dev/v1alpha1", "kind": "RauthyCluster",
        "metadata": { "name": "rauthy", "namespace": "idm", "uid": "uid-1" }, "spec": spec,
    });
    serde_json::from_value(object).unwrap()
}

fn environment(image: &str) -> Environment {
    Environment { agent_image: Some(image.to_owned()), ..Environment::default() }
}

fn checked(spec: Value) -> Result<Validated, Invalid> {
    validate(&cluster(spec), &Observed::default(), &environment("agent:1"), &[])
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn made(spec: Value, observed: &Observed) -> Desired {
    let validated = validate(&cluster(spec), observed, &environment("agent:1"), &[]).unwrap();
    build(&validated, observed, now()).unwrap()
}

/// What the API server would hold afterwards.
fn held(desired: &Desired) -> Observed {
    Observed {
        service_account: Some(desired.service_account.clone()),
        hosts: Some(desired.hosts.clone()),
        headless: Some(desired.headless.clone()),
        client: Some(desired.client.clone()),
        token: desired.credentials.token.clone(),
        ca: desired.credentials.ca.clone(),
        tls: desired.credentials.tls.clone(),
        pdb: desired.pdb.clone(),
        network_policy: desired.network_policy.clone(),
        monitors: false,
        monitor: None,
        statefulset: Some(desired.statefulset.clone()),
        ..Observed::default()
    }
}

fn template(spec: Value) -> String {
    let set = made(spec, &Observed::default()).statefulset;
    serde_json::to_string_pretty(&set.spec.unwrap().template).unwrap() + "\n"
}

/// An upgrade of the operator restarts nothing: these bytes may only change with a reason that is worth a restart
/// of every cluster there is. `UPDATE_GOLDEN=1` writes them anew.
#[test]
fn the_template_is_the_same_bytes_as_ever() {
    let app = json!({
        "rauthy": {
            "image": "app:1", "command": ["/app"], "args": ["serve"],
            "env": [{ "name": "A", "value": "b" }], "envFrom": [{ "secretRef": { "name": "more" } }],
            "ports": [{ "name": "http", "containerPort": 8080 }],
            "config": { "secretName": "config", "mountPath": "/app/config" },
            "resources": { "limits": { "memory": "1Gi" } },
        },
        "cache": { "maxMemory": "1Gi", "invalidateAfter": "20s", "port": 9000 },
        "agent": { "image": "agent:7", "imagePullPolicy": "Never", "logLevel": "debug" },
        "pod": {
            "labels": { "team": "idm", "app.kubernetes.io/name": "ignored" }, "annotations": { "note": "x" },
            "nodeSelector": { "disk": "ssd" }, "tolerations": [{ "key": "x", "operator": "Exists" }],
            "priorityClassName": "high", "imagePullSecrets": ["registry"],
        },
    });
    for (name, spec) in [
        ("minimal", json!({})),
        ("tls-disabled", json!({ "tls": { "mode": "Disabled" } })),
        ("with-app", app),
    ] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.json"));
        let text = template(spec);
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(text == golden, "{} differs from what is built:\n{text}", path.display());
    }
}

#[test]
fn the_application_gets_neither_token_nor_keys() {
    let set = made(json!({ "rauthy": { "image": "app:1" } }), &Observed::default()).statefulset;
    let pod = set.spec.unwrap().template.spec.unwrap();
    let app = pod.containers.iter().find(|container| container.name == "rauthy").unwrap();
    let mounts: Vec<_> = app.volume_mounts.iter().flatten().map(|mount| mount.name.as_str()).collect();
    assert_eq!(mounts, ["run", "tmp"]);
    let names: Vec<_> = app.env.iter().flatten().map(|env| env.name.as_str()).collect();
    assert_eq!(names, ["HA_MODE", "HA_HOSTS", "RAUTHY_CACHE_SOCKET"]);
    let agent = &pod.init_containers.unwrap()[0];
    assert_eq!((agent.name.as_str(), agent.restart_policy.as_deref()), ("agent", Some("Always")));
    assert_eq!(pod.termination_grace_period_seconds, Some(55));
}

#[test]
fn the_hash_ignores_what_needs_no_restart() {
    let hash = |spec: Value, image: &str| {
        let validated = validate(&cluster(spec), &Observed::default(), &environment(image), &[]).unwrap();
        let set = build(&validated, &Observed::default(), now()).unwrap().statefulset;
        set.spec.unwrap().template.metadata.unwrap().annotations.unwrap()["rauthy.dev/template-hash"].clone()
    };
    let base = hash(json!({}), "agent:1");
    assert_eq!(base, hash(json!({}), "agent:2"), "the default image");
    assert_eq!(base, hash(json!({ "replicas": 5 }), "agent:1"), "the size");
    assert_ne!(
        base,
        hash(json!({ "agent": { "image": "agent:2" } }), "agent:1"),
        "an image that the user chose"
    );
    assert_ne!(base, hash(json!({ "agent": { "logLevel": "debug" } }), "agent:1"));
}

#[test]
fn memory_is_derived_or_checked() {
    let limit = |spec: Value| {
        let set = build(&checked(spec).unwrap(), &Observed::default(), now()).unwrap().statefulset;
        let resources = set.spec.unwrap().template.spec.unwrap().containers[0].resources.clone().unwrap();
        resources.limits.unwrap()["memory"].0.clone()
    };
    assert_eq!(limit(json!({})), "368Mi");
    assert_eq!(limit(json!({ "cache": { "maxMemory": "1Gi" } })), "1488Mi");
    let given = |text: &str| json!({ "agent": { "resources": { "limits": { "memory": text } } } });
    assert_eq!(limit(given("336Mi")), "336Mi");
    for (spec, word) in [
        (given("335Mi"), "needs at least 336Mi"),
        (given("lots"), "`lots` is not an amount"),
        (json!({ "agent": { "resources": { "requests": { "cpu": "many" } } } }), "requests.cpu"),
        (json!({ "cache": { "maxMemory": "1Mi" } }), "at least 8Mi"),
        (json!({ "replicas": 0 }), "1 to 9"),
        (json!({ "replicas": 10 }), "1 to 9"),
        (json!({ "rauthy": { "image": "x", "ports": [{ "name": "mesh", "containerPort": 1 }] } }), "mesh 1"),
        (json!({ "rauthy": { "image": "x", "ports": [{ "name": "a", "containerPort": 8000 }] } }), "a 8000"),
        (json!({ "rauthy": { "image": "x", "env": [{ "name": "HA_HOSTS", "value": "x" }] } }), "HA_HOSTS"),
        (
            json!({ "rauthy": { "image": "x", "config": { "secretName": "c", "mountPath": "/tmp/" } } }),
            "`/tmp/`",
        ),
        (json!({ "rauthy": { "image": "x", "config": { "secretName": "c", "mountPath": "app" } } }), "`app`"),
        (json!({ "cache": { "engine": "Embedded" } }), "set spec.rauthy.image"),
        (
            json!({
                "cache": { "engine": "Embedded" },
                "rauthy": { "image": "x", "env": [{ "name": "CACHE_TLS_CA_SERVER", "value": "x" }] },
            }),
            "CACHE_TLS_CA_SERVER",
        ),
    ] {
        let error = checked(spec.clone()).expect_err(&spec.to_string()).to_string();
        assert!(error.contains(word), "{spec}: {error}");
    }
    let nobody = validate(&cluster(json!({})), &Observed::default(), &Environment::default(), &[]);
    assert_eq!(nobody.unwrap_err(), Invalid::NoImage);
}

#[test]
fn certificates_are_kept_until_they_are_due() {
    let observed = held(&made(json!({}), &Observed::default()));
    let at = |observed: &Observed, time: Timestamp| {
        let validated = validate(&cluster(json!({})), observed, &environment("agent:1"), &[]).unwrap();
        decide(&validated, observed, time)
    };
    let text =
        |secret: &Option<Secret>, key: &str| x509::field(secret.as_ref().unwrap(), key).unwrap().to_owned();
    let leaf = x509::inspect(observed.tls.as_ref().unwrap()).expect("a certificate");
    assert_eq!(leaf.not_after, now() + SignedDuration::from_hours(24 * 90));
    for days in [0, 1, 59] {
        let kept = at(&observed, now() + SignedDuration::from_hours(24 * days)).unwrap();
        assert_eq!((&kept.ca, &kept.tls), (&observed.ca, &observed.tls), "after {days} days");
        assert!(!kept.progress.moving());
    }
    let renewed = at(&observed, now() + SignedDuration::from_hours(24 * 61)).unwrap();
    assert_eq!(renewed.ca, observed.ca, "the CA stays");
    assert_ne!(text(&renewed.tls, "tls.crt"), text(&observed.tls, "tls.crt"));
    assert_eq!(text(&renewed.tls, "ca.crt"), text(&observed.tls, "ca.crt"));
    assert_eq!(x509::inspect(renewed.tls.as_ref().unwrap()).unwrap().hosts.len(), 36);

    // A lost CA: a new one is accepted beside the old one before anybody shows a certificate of it.
    let without_ca = Observed { ca: None, ..observed.clone() };
    let replaced = at(&without_ca, now()).unwrap();
    assert_eq!(text(&replaced.tls, "tls.crt"), text(&observed.tls, "tls.crt"));
    let trusted = text(&replaced.tls, "ca.crt");
    assert!(trusted.contains(text(&replaced.ca, "tls.crt").trim()));
    assert!(trusted.contains(text(&observed.tls, "ca.crt").trim()));

    // A CA whose time is nearly over is replaced in time, and nothing outlives it.
    let late = now() + SignedDuration::from_hours(24 * (3652 * 4 / 5 + 1));
    assert!(at(&observed, late - SignedDuration::from_hours(48)).unwrap().ca == observed.ca);
    let renewed = at(&observed, late).unwrap();
    assert_ne!(renewed.ca, observed.ca);

    // A damaged certificate is made anew, a damaged CA is an error that quotes no key.
    let damage = |secret: &Option<Secret>, key: &str| {
        let mut secret = secret.clone().unwrap();
        secret.data.as_mut().unwrap().insert(key.to_owned(), ByteString(b"SECRET-BYTES".to_vec()));
        Some(secret)
    };
    for key in ["tls.crt", "tls.key", "ca.crt"] {
        let damaged = Observed { tls: damage(&observed.tls, key), ..observed.clone() };
        let made = at(&damaged, now()).unwrap();
        let leaf = x509::inspect(made.tls.as_ref().unwrap()).expect("a certificate");
        assert_eq!(leaf.hosts.len(), 36, "{key}");
        assert_eq!(text(&made.tls, "ca.crt"), text(&observed.ca, "tls.crt"), "{key}");
    }
    for key in ["tls.crt", "tls.key"] {
        let error = at(&Observed { ca: damage(&observed.ca, key), ..observed.clone() }, now()).unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains("rauthy-ca") && text.contains(key) && !text.contains("SECRET-BYTES"), "{text}");
    }
}

#[test]
fn no_secret_is_in_what_can_be_logged() {
    let observed = held(&made(json!({}), &Observed::default()));
    let token = String::from_utf8(observed.token.as_ref().unwrap().data.as_ref().unwrap()["token"].0.clone())
        .unwrap();
    assert!(token.len() == 48 && token.chars().all(|c| c.is_ascii_alphanumeric()), "{}", token.len());
    let validated = validate(&cluster(json!({})), &observed, &environment("agent:1"), &[]).unwrap();
    assert!(!format!("{validated:?}").contains(&token));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn building_again_changes_nothing(
        size in 1..=9_i32, later in 1..=9_i32, tls in any::<bool>(), app in any::<bool>(), port in 1024..8000_i32,
    ) {
        let mut spec = json!({
            "replicas": size, "cache": { "port": port }, "tls": { "mode": if tls { "Managed" } else { "Disabled" } },
        });
        if app {
            spec["rauthy"] = json!({ "image": "app:1" });
        }
        let first = made(spec.clone(), &Observed::default());
        let observed = held(&first);
        prop_assert_eq!(first.pdb.is_some(), size > 1);

        // Whatever size is asked for later, and whatever image the operator has by then.
        spec["replicas"] = json!(later);
        let validated = validate(&cluster(spec), &observed, &environment("agent:2"), &[]).unwrap();
        let again = build(&validated, &observed, now()).unwrap();
        prop_assert_eq!(&again.credentials.token, &observed.token);
        prop_assert_eq!(&again.credentials.ca, &observed.ca);
        prop_assert_eq!(&again.credentials.tls, &observed.tls);
        prop_assert_eq!(&again.statefulset, &first.statefulset);
        prop_assert_eq!(&again.hosts, &first.hosts);
        prop_assert_eq!(&again.pdb, &first.pdb);
        prop_assert_eq!(&again.client, &first.client);

        // The host list, the StatefulSet and the certificate agree.
        let data = again.hosts.data.unwrap();
        let list: host_list::HostList = serde_json::from_str(&data[host_list::FILE]).unwrap();
        prop_assert_eq!(i32::try_from(list.now.len()).unwrap(), again.statefulset.spec.unwrap().replicas.unwrap());
        prop_assert_eq!(list.now.join(","), data[host_list::LINE].clone());
        if let Some(leaf) = observed.tls.as_ref().and_then(x509::inspect) {
            for host in &list.now {
                let name = host.trim_start_matches("https://").split(':').next().unwrap().to_owned();
                prop_assert!(leaf.hosts.contains(&name), "{} is not named", name);
            }
        }
    }
}
