//! What belongs to somebody else is neither taken over nor removed, of whatever kind; and only that is deleted which was
//! looked at.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

#[path = "rotation/world.rs"]
mod rotation;
mod support;

use std::collections::BTreeMap;
use std::pin::pin;

use rauthy_operator::agents::ByPodAddress;
use serde_json::{Value, json};
use support::faults::Gate;
use support::{Api, Operator, PDB, TLS};

const CERTIFICATE: &str = "/apis/cert-manager.io/v1/namespaces/idm/certificates/rauthy-tls";
const ISSUED: &str = "/api/v1/namespaces/idm/secrets/rauthy-issued";

/// Every kind that there is.
fn spec() -> Value {
    json!({ "tls": { "mode": "CertManager", "certManager": { "issuerRef": { "name": "company" } } } })
}

/// A server that has ServiceMonitors and what cert-manager has issued.
fn server() -> Api {
    let api = Api::with(spec());
    let kind = json!({
        "name": "servicemonitors", "singularName": "", "namespaced": true, "kind": "ServiceMonitor", "verbs": ["get"],
    });
    let group = "monitoring.coreos.com/v1";
    api.put(
        "/apis/monitoring.coreos.com/v1",
        json!({ "apiVersion": "v1", "kind": "APIResourceList", "groupVersion": group, "resources": [kind] }),
    );
    let mut issued = rotation::secret(ISSUED, &rotation::authority());
    issued["metadata"]["uid"] = json!("issued");
    api.put(ISSUED, issued);
    api
}

fn made(api: &Api) -> BTreeMap<String, Value> {
    let mut all = api.owned();
    all.retain(|path, _| path.contains("/namespaces/"));
    all
}

#[tokio::test]
async fn whatever_belongs_to_somebody_else_is_refused_by_name_and_stays() {
    let whole = server();
    Operator::start(&whole).settle().await;
    let mut whole = made(&whole);
    // The CA is wanted in the other mode only.
    let managed = Api::with(json!({}));
    Operator::start(&managed).settle().await;
    let managed = made(&managed);
    assert!(whole.contains_key(CERTIFICATE) && whole.keys().any(|path| path.contains("servicemonitors")));
    whole.extend(managed);
    assert_eq!(whole.len(), 13, "{:?}", whole.keys());
    let owners = [
        (json!([]), "belongs to nobody"),
        // Nobody controls it, whoever else has an interest in it.
        (json!([{ "apiVersion": "v1", "kind": "Node", "name": "n", "uid": "n" }]), "belongs to nobody"),
        (
            json!([{ "apiVersion": "apps/v1", "kind": "Deployment", "name": "other", "uid": "d", "controller": true }]),
            "belongs to Deployment `other`",
        ),
        (
            json!([{ "apiVersion": "rauthy.dev/v1alpha1", "kind": "RauthyCluster", "name": "rauthy", "uid": "uid-0", "controller": true }]),
            "an earlier RauthyCluster",
        ),
    ];
    for (path, object) in whole {
        for (owner, words) in &owners {
            if path == ISSUED && *words == "an earlier RauthyCluster" {
                continue;
            }
            let api = if path.ends_with("/rauthy-ca") { Api::with(json!({})) } else { server() };
            let mut foreign = object.clone();
            foreign["metadata"]["ownerReferences"] = owner.clone();
            foreign["metadata"]["uid"] = json!("theirs");
            foreign["metadata"]["labels"] = json!({});
            foreign["metadata"]["annotations"] = json!({});
            api.put(&path, foreign);
            let before = made(&api);
            api.writes();
            let operator = Operator::start(&api);
            for _ in 0..3 {
                let error = operator.round().await.expect_err("it is in the way").to_string();
                let (kind, name) =
                    (object["kind"].as_str().unwrap_or("Secret"), path.rsplit('/').next().unwrap());
                assert!(error.contains(&format!("{kind} `{name}`")), "{path}: {error}");
                assert!(error.contains(words), "{path}: {error}");
            }
            assert_eq!(made(&api), before, "{path}: {words}");
            assert_eq!(api.condition("Degraded").1, "InvalidSpec", "{path}");
            assert!(api.events().iter().any(|(reason, _)| reason == "InvalidSpec"), "{path}");
        }
    }
}

#[tokio::test]
async fn an_owner_reference_that_somebody_took_away_comes_back() {
    let api = server();
    let operator = Operator::start(&api);
    operator.settle().await;
    for (path, object) in made(&api).into_iter().filter(|(path, _)| path != ISSUED) {
        let owner = object["metadata"]["ownerReferences"].clone();
        for damage in
            [Value::Null, json!([]), json!([{ "apiVersion": "v1", "kind": "Node", "name": "n", "uid": "n" }])]
        {
            let mut changed = object.clone();
            changed["metadata"]["ownerReferences"] = damage.clone();
            api.put(&path, changed);
            operator.settle().await;
            assert_eq!(api.get(&path).unwrap()["metadata"]["ownerReferences"], owner, "{path}: {damage}");
        }
    }
    // That of an earlier cluster of the same name is none of ours.
    api.create_again("uid-2", spec());
    let mut hosts = api.get(support::HOSTS).unwrap();
    hosts["metadata"]["ownerReferences"] = json!([]);
    api.put(support::HOSTS, hosts);
    let error = operator.round().await.expect_err("it is not ours").to_string();
    assert!(error.contains("belongs to"), "{error}");
}

/// A cluster whose certificate was cert-manager's until now.
async fn withdrawing(api: &Api) -> Operator {
    let operator = Operator::start(api);
    operator.settle().await;
    api.edit(|spec| spec["tls"] = json!({ "mode": "Managed" }));
    operator
}

#[tokio::test]
async fn what_cert_manager_was_asked_for_by_somebody_else_stays() {
    let api = server();
    let operator = withdrawing(&api).await;
    // Somebody else has made one of this name in its place, and a Secret.
    let metadata = json!({ "name": "rauthy-tls", "namespace": "idm", "uid": "theirs" });
    let certificate =
        json!({ "apiVersion": "cert-manager.io/v1", "kind": "Certificate", "metadata": metadata });
    api.put(CERTIFICATE, certificate);
    let mut issued = api.get(ISSUED).unwrap();
    issued["metadata"]["labels"] = json!({});
    api.put(ISSUED, issued);
    operator.settle().await;
    let mounted = api.get(TLS).unwrap();
    assert_eq!(mounted["metadata"]["annotations"]["rauthy.dev/cert-manager"], "false", "it has come to that");
    assert!(api.get(CERTIFICATE).is_some() && api.get(ISSUED).is_some());

    let api = server();
    withdrawing(&api).await.settle().await;
    assert_eq!((api.get(CERTIFICATE), api.get(ISSUED)), (None, None), "ours go");
}

/// An operator is frozen before it deletes this object, and another one takes its place meanwhile.
async fn replaced_meanwhile(api: &Api, path: &str) {
    let delete = format!("DELETE {path}");
    let gate = Gate::at(delete.clone());
    let operator = Operator::through(api, gate.clone(), "agent:1", Box::new(ByPodAddress));
    for _ in 0..12 {
        let mut round = pin!(operator.round());
        tokio::select! {
            biased;
            () = gate.frozen() => {}
            _ = &mut round => continue,
        }
        let mut other = api.get(path).expect(path);
        other["metadata"]["uid"] = json!("another");
        api.put(path, other);
        api.writes();
        gate.thaw();
        let _ = round.await;
        assert!(api.writes().contains(&delete), "{path}");
        assert!(api.get(path).is_some(), "{path}: another one than was looked at is deleted");
        return;
    }
    panic!("{path} was never to be deleted");
}

#[tokio::test]
async fn only_the_object_that_was_looked_at_is_deleted() {
    let api = Api::with(json!({}));
    Operator::start(&api).settle().await;
    api.edit(|spec| spec["disruption"] = json!({ "enabled": false }));
    replaced_meanwhile(&api, PDB).await;

    for path in [CERTIFICATE, ISSUED] {
        let api = server();
        drop(withdrawing(&api).await);
        replaced_meanwhile(&api, path).await;
    }
}
