//! Certificates and tokens are replaced, against an API server and agents in memory. The agents judge: at every moment each
//! two of them, and the operator with each, must be able to open a stream, whatever their volumes show by then.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

#[path = "../support/mod.rs"]
mod support;
mod world;

use k8s_openapi::api::core::v1::Secret;
use rauthy_operator::reconcile::credentials::x509::{authorities, field};
use serde_json::{Value, json};
use support::{CA, PODS, STATEFULSET, TLS, TOKEN};
use world::{Uses, World, authority, base64, secret};

const MINE: &str = "/api/v1/namespaces/idm/secrets/mine";
const ISSUED: &str = "/api/v1/namespaces/idm/secrets/rauthy-issued";
const CERTIFICATE: &str = "/apis/cert-manager.io/v1/namespaces/idm/certificates/rauthy-tls";

#[tokio::test]
async fn each_kind_is_renewed_by_request_and_only_once() {
    for (what, leaf_changes, ca_changes, token_changes) in
        [("certificates", true, false, false), ("ca", true, true, false), ("token", false, false, true)]
    {
        let world = World::running(json!({})).await;
        let (before, operator) = (Uses::of(&world.api), world.operator());
        world.renew(what);
        let after = world.rest(&operator).await;
        assert_eq!(before.chain != after.chain, leaf_changes, "{what}");
        assert_eq!(before.bundle != after.bundle, ca_changes, "{what}");
        assert_eq!(before.tokens != after.tokens, token_changes, "{what}");
        assert_eq!((after.bundle.len(), after.tokens.len()), (1, 1), "{what}: the old is dropped");
        // It stands there for ever, and another operator knows that it is done.
        let again = world.rest(&world.operator()).await;
        assert_eq!((&again.chain, &again.tokens), (&after.chain, &after.tokens), "{what}");
        // Once more, by another text; and by taking it away and putting it there again.
        world.renew(&format!("{what}:2"));
        let second = world.rest(&operator).await;
        world.tell(json!({}));
        world.rest(&operator).await;
        world.renew(&format!("{what}:2"));
        let third = world.rest(&operator).await;
        for (a, b) in [(&after, &second), (&second, &third)] {
            assert!(a.chain != b.chain || a.tokens != b.tokens, "{what}");
        }
        operator.settle().await;
    }
}

#[tokio::test]
async fn an_operator_that_is_killed_after_any_write_leaves_nothing_that_the_next_does_not_finish() {
    for what in ["ca", "certificates", "token"] {
        for writes in 0..16 {
            let world = World::running(json!({})).await;
            let before = Uses::of(&world.api);
            world.renew(what);
            world.api.fail_after(Some(writes), 500);
            let doomed = world.operator();
            for _ in 0..8 {
                let _ = doomed.round().await;
                world.volumes();
            }
            world.api.fail_after(None, 500);
            let after = world.rest(&world.operator()).await;
            assert!(before.chain != after.chain || before.tokens != after.tokens, "{what}, {writes} writes");
            assert_eq!((after.bundle.len(), after.tokens.len()), (1, 1), "{what}, {writes} writes");
            let ca: Secret = serde_json::from_value(world.api.get(CA).unwrap()).unwrap();
            assert_eq!(field(&ca, "tls.crt"), Some(after.bundle[0].pem.as_str()), "{what}, {writes} writes");
        }
    }
}

#[tokio::test]
async fn a_living_member_that_does_not_confirm_is_waited_for_by_name_and_one_that_is_gone_is_not() {
    for (what, word) in [("ca", "to accept the new authority"), ("token", "to accept the new token")] {
        for silent in [false, true] {
            let world = World::running(json!({})).await;
            let operator = world.operator();
            world.stuck.lock().unwrap().insert(1);
            if silent {
                world.silent.lock().unwrap().insert(1);
            }
            world.renew(what);
            for _ in 0..10 {
                operator.round().await.expect("a round");
                world.volumes();
            }
            let (_, reason, message) = world.api.condition("Progressing");
            assert_eq!(reason, "Rotating", "{message}");
            assert!(message.contains("waiting for rauthy-1") && message.contains(word), "{message}");
            if what == "ca" {
                assert!(world.tls().2.contains("waiting for rauthy-1"), "{:?}", world.tls());
            }
            // Both ends of the matter: it confirms, or it goes.
            if silent {
                world.api.remove(&format!("{PODS}/rauthy-1"));
                world.agents.lock().unwrap().remove(&1);
            } else {
                world.stuck.lock().unwrap().clear();
            }
            let after = world.rest(&operator).await;
            assert_eq!((after.bundle.len(), after.tokens.len()), (1, 1));
        }
    }
}

/// Its Secret was deleted while no operator was there that could put it back: the members have the old token, and the new
/// operator cannot ask them.
#[tokio::test]
async fn a_token_that_had_to_be_made_anew_is_announced_to_pods_that_were_never_touched() {
    let touched = |world: &World| {
        let count = |ordinal: &i32| {
            let pod = world.api.get(&format!("{PODS}/rauthy-{ordinal}")).unwrap();
            pod["metadata"]["annotations"]["rauthy.dev/credentials"].is_string()
        };
        (0..3).filter(count).count()
    };
    for (made, expected) in [("2026-01-01T11:00:00Z", 3), ("2026-01-01T13:00:00Z", 0)] {
        let world = World::running(json!({})).await;
        world.silent.lock().unwrap().extend(0..3);
        let stamp = |path: &str, at: &str| {
            let mut object = world.api.get(path).unwrap();
            object["metadata"]["creationTimestamp"] = json!(at);
            world.api.put(path, object);
        };
        (0..3).for_each(|ordinal| stamp(&format!("{PODS}/rauthy-{ordinal}"), made));
        let old = Uses::of(&world.api).tokens;
        world.api.remove(TOKEN);
        let operator = world.operator();
        operator.round().await.expect("a round");
        stamp(TOKEN, "2026-01-01T12:00:00Z");
        operator.round().await.expect("a round");
        assert_ne!(Uses::of(&world.api).tokens, old, "{made}");
        assert_eq!(touched(&world), expected, "pods made at {made}");
    }
}

#[tokio::test]
async fn certificates_move_between_all_sources_and_back() {
    let (user, manager) = (authority(), authority());
    let modes = [
        json!({ "mode": "Managed" }),
        json!({ "mode": "Secret", "secret": { "name": "mine" } }),
        json!({ "mode": "CertManager", "certManager": { "issuerRef": { "name": "company" } } }),
    ];
    for from in &modes {
        for to in &modes {
            let world = World::asked(json!({ "tls": from }));
            world.api.put(MINE, secret(MINE, &user));
            let operator = world.operator();
            // cert-manager takes a while.
            operator.round().await.expect("a round");
            world.api.put(ISSUED, secret(ISSUED, &manager));
            operator.settle().await;
            world.start();
            operator.settle().await;
            world.api.edit(|spec| spec["tls"] = to.clone());
            let after = world.rest(&operator).await;
            let expected = match to["mode"].as_str().unwrap() {
                "Secret" => user.authority.name.clone(),
                "CertManager" => manager.authority.name.clone(),
                _ => {
                    let ca: Secret = serde_json::from_value(world.api.get(CA).unwrap()).unwrap();
                    authorities(field(&ca, "tls.crt").unwrap()).unwrap()[0].name.clone()
                }
            };
            let names: Vec<_> = after.bundle.iter().map(|one| one.name.clone()).collect();
            assert_eq!(names, [expected], "{from} to {to}");
            assert_eq!(world.api.get(CA).is_some(), to["mode"] == "Managed", "{from} to {to}: the CA's key");
            let asked = to["mode"] == "CertManager";
            assert_eq!(world.api.get(CERTIFICATE).is_some(), asked, "{from} to {to}");
            if from["mode"] == "CertManager" {
                assert_eq!(world.api.get(ISSUED).is_some(), asked, "{from} to {to}: what it made");
            }
            assert!(world.api.get(MINE).is_some(), "the user's own stays");
            assert_eq!(world.tls().1, "Valid");
        }
    }
}

#[tokio::test]
async fn a_users_secret_is_followed_and_a_bad_one_is_named_while_the_old_one_stays() {
    let first = authority();
    let world = World::asked(json!({ "tls": { "mode": "Secret", "secret": { "name": "mine" } } }));
    let operator = world.operator();
    operator.settle().await;
    let (status, reason, message) = world.tls();
    assert_eq!((status.as_str(), reason.as_str()), ("False", "SourceUnusable"));
    assert!(message.contains("`mine`: it does not exist"), "{message}");
    assert!(world.api.get(STATEFULSET).is_none(), "pods could not mount what is not there");
    world.api.put(MINE, secret(MINE, &first));
    operator.settle().await;
    world.start();
    operator.settle().await;
    let good = Uses::of(&world.api);

    let other = secret(MINE, &authority());
    let names = rcgen::CertificateParams::new(vec!["rauthy-0.rauthy".to_owned()]).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let few = names.self_signed(&key).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut wrong = secret(MINE, &first);
        change(&mut wrong["data"]);
        wrong
    };
    let table: [(Value, &str); 6] = [
        (with(&|data| drop(data.as_object_mut().unwrap().remove("ca.crt"))), "ca.crt is missing"),
        (with(&|data| data["tls.crt"] = base64(&json!("nonsense"))), "tls.crt holds no certificate"),
        (with(&|data| data["tls.key"] = base64(&json!("nonsense"))), "tls.key holds no private key"),
        (with(&|data| data["tls.key"] = other["data"]["tls.key"].clone()), "do not belong together"),
        (with(&|data| data["ca.crt"] = other["data"]["ca.crt"].clone()), "agents would refuse"),
        (
            with(&|data| {
                data["tls.crt"] = base64(&json!(few.pem()));
                data["tls.key"] = base64(&json!(key.serialize_pem()));
            }),
            "does not name rauthy-1.rauthy",
        ),
    ];
    for (wrong, word) in table {
        world.api.put(MINE, wrong);
        for _ in 0..3 {
            operator.round().await.expect("a round");
            world.volumes();
        }
        let (status, reason, message) = world.tls();
        assert_eq!((status.as_str(), reason.as_str()), ("False", "SourceUnusable"), "{word}");
        assert!(message.contains(word) && message.contains("`mine`"), "{word}: {message}");
        assert_eq!(Uses::of(&world.api).chain, good.chain, "{word}: the old one stays");
        assert_eq!(world.api.condition("Available").0, "True", "{word}");
    }
    world.api.put(MINE, other.clone());
    let after = world.rest(&operator).await;
    assert_ne!(after.chain, good.chain);
    assert_eq!(after.bundle.len(), 1, "the first authority is dropped");
    assert_eq!(world.tls().1, "Valid");
    assert!(world.api.events().iter().any(|(reason, _)| reason == "SourceUnusable"));
}

#[tokio::test]
async fn a_users_token_is_followed_also_from_and_to_one_that_is_generated() {
    let path = "/api/v1/namespaces/idm/secrets/ours";
    let given = |token: &str| {
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "ours", "namespace": "idm" },
            "data": { "token": base64(&json!(token)) } })
    };
    let world = World::running(json!({})).await;
    let operator = world.operator();
    let made = Uses::of(&world.api).tokens;
    world.api.put(path, given("the-first-token-of-ours"));
    world.api.edit(|spec| spec["auth"] = json!({ "tokenSecretName": "ours" }));
    assert_eq!(world.rest(&operator).await.tokens, ["the-first-token-of-ours"]);
    world.api.put(path, given("the-second-token-of-ours"));
    assert_eq!(world.rest(&operator).await.tokens, ["the-second-token-of-ours"]);
    // What cannot be used is said, and changes nothing.
    for wrong in [Some(given("short")), Some(given("two tokens with blanks")), None] {
        match wrong {
            Some(wrong) => world.api.put(path, wrong),
            None => drop(world.api.remove(path)),
        }
        assert_eq!(world.rest(&operator).await.tokens, ["the-second-token-of-ours"]);
        let (status, reason, message) = world.api.condition("Degraded");
        assert_eq!((status.as_str(), reason.as_str()), ("True", "TokenUnusable"));
        assert!(message.contains("`ours`") && message.contains("stays"), "{message}");
        assert_eq!(world.api.condition("Available").0, "True");
    }
    world.renew("token");
    world.rest(&operator).await;
    assert!(
        world.api.condition("Degraded").2.contains("the token is yours"),
        "{:?}",
        world.api.condition("Degraded")
    );
    world.api.edit(|spec| drop(spec.as_object_mut().unwrap().remove("auth")));
    let generated = world.rest(&operator).await.tokens;
    assert!(generated.len() == 1 && generated[0].len() == 48 && generated != made, "made anew, as asked for");
    assert_eq!(world.api.condition("Degraded").0, "False");
}

#[tokio::test]
async fn a_wrong_request_says_what_is_allowed() {
    let world = World::running(json!({})).await;
    let (before, operator) = (world.api.get(TLS), world.operator());
    world.renew("everything");
    world.rest(&operator).await;
    let (status, reason, message) = world.api.condition("Degraded");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "InvalidRequest"));
    assert!(message.contains("`everything`") && message.contains("certificates, ca and token"), "{message}");
    assert!(world.api.events().iter().any(|(reason, note)| reason == "InvalidRequest" && *note == message));
    assert_eq!(world.api.get(TLS), before);
    world.tell(json!({}));
    world.rest(&operator).await;
    assert_eq!(world.api.condition("Degraded").0, "False");
}

#[tokio::test]
async fn without_cert_manager_it_says_so_and_what_runs_goes_on() {
    let world = World::running(json!({})).await;
    let operator = world.operator();
    world.api.refuse(Some(("cert-manager.io", 404)));
    world.api.edit(|spec| {
        spec["tls"] = json!({ "mode": "CertManager", "certManager": { "issuerRef": { "name": "company" } } });
    });
    let error = operator.round().await.expect_err("no such kind").to_string();
    assert!(error.contains("cert-manager is not installed"), "{error}");
    assert_eq!(world.api.condition("Degraded").1, "ReconcileFailed");
    assert!(world.tls().2.contains("cert-manager has not said anything"), "{:?}", world.tls());
    assert_eq!(world.api.condition("Available").0, "True");
    // Installed, it takes its time, and says why.
    world.api.refuse(None);
    operator.settle().await;
    let mut certificate = world.api.get(CERTIFICATE).expect("a Certificate");
    assert_eq!(certificate["spec"]["dnsNames"].as_array().unwrap().len(), 36);
    certificate["status"] = json!({ "conditions": [{ "type": "Ready", "status": "False", "message": "Issuer company not found" }] });
    world.api.put(CERTIFICATE, certificate);
    operator.settle().await;
    assert!(world.tls().2.contains("cert-manager says: Issuer company not found"), "{:?}", world.tls());
}
