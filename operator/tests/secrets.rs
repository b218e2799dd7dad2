//! Somebody deletes or edits the Secrets that pods use. The members go on to accept each other all the while: they judge
//! after each round.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

#[path = "rotation/world.rs"]
mod rotation;
mod support;

use rotation::{Uses, World, authority, base64, secret};
use serde_json::{Value, json};
use support::{Api, CA, Operator, TLS, TOKEN};

fn event(api: &Api, wanted: &str) -> Option<String> {
    api.events().into_iter().find(|(reason, _)| reason == wanted).map(|(_, note)| note)
}

fn with(api: &Api, path: &str, key: &str, value: Value) {
    let mut object = api.get(path).unwrap();
    if value.is_null() {
        object["data"].as_object_mut().unwrap().remove(key);
    } else {
        object["data"][key] = value;
    }
    api.put(path, object);
}

#[tokio::test]
async fn the_token_that_members_use_is_put_back() {
    let damages = [
        None,
        Some(Value::Null),
        Some(base64(&json!("short"))),
        Some(base64(&json!("another-token-of-somebody-else"))),
        Some(base64(&json!("one-token-of-two-tokens\nanother-token-of-somebody-else"))),
    ];
    for damage in damages {
        let world = World::running(json!({})).await;
        let operator = world.operator();
        let before = world.rest(&operator).await.tokens;
        match &damage {
            None => drop(world.api.remove(TOKEN)),
            Some(value) => with(&world.api, TOKEN, "token", value.clone()),
        }
        operator.round().await.expect("a round");
        assert_eq!(Uses::of(&world.api).tokens, before, "{damage:?}: at once");
        world.volumes();
        assert_eq!(world.rest(&operator).await.tokens, before, "{damage:?}");
        let told = event(&world.api, "TokenRestored").expect("an event");
        assert!(told.contains("`rauthy-cache-auth`") && !told.contains(&before[0]), "{told}");
        assert_eq!(world.api.condition("Available").0, "True");
        assert_eq!(world.api.condition("Degraded").0, "False");
    }
}

#[tokio::test]
async fn a_token_that_is_lost_in_the_middle_of_its_rotation_is_put_back_and_the_rotation_ends() {
    let world = World::running(json!({})).await;
    let operator = world.operator();
    let before = world.rest(&operator).await.tokens;
    world.renew("token");
    operator.round().await.expect("a round");
    operator.round().await.expect("a round");
    let both = Uses::of(&world.api).tokens;
    assert_eq!((both.len(), &both[1]), (2, &before[0]));
    world.api.remove(TOKEN);
    operator.round().await.expect("a round");
    assert_eq!(Uses::of(&world.api).tokens, both);
    world.volumes();
    assert_eq!(world.rest(&operator).await.tokens, both[..1]);
}

#[tokio::test]
async fn a_token_that_nobody_knows_any_more_is_made_anew_and_that_is_said() {
    let world = World::running(json!({})).await;
    let before = Uses::of(&world.api).tokens;
    world.api.remove(TOKEN);
    world.silent.lock().unwrap().extend(0..3);
    // One that has just started has not seen it.
    world.operator().round().await.expect("a round");
    let after = Uses::of(&world.api).tokens;
    assert!(after.len() == 1 && after != before);
    let told = event(&world.api, "TokenLost").expect("an event");
    assert!(told.contains("rauthy-0, rauthy-1, rauthy-2") && !told.contains(&after[0]), "{told}");

    // Where no pod uses it there is nothing to say.
    let api = Api::with(json!({}));
    let operator = Operator::start(&api);
    operator.settle().await;
    api.remove(TOKEN);
    operator.settle().await;
    assert!(api.get(TOKEN).is_some() && event(&api, "TokenLost").is_none());
}

#[tokio::test]
async fn a_certificate_that_is_edited_is_made_anew() {
    let other = secret(TLS, &authority());
    for key in ["tls.crt", "tls.key", "ca.crt"] {
        let values =
            [Value::Null, base64(&json!("")), base64(&json!("no certificate")), other["data"][key].clone()];
        for value in values {
            let world = World::running(json!({})).await;
            let operator = world.operator();
            let before = world.rest(&operator).await;
            with(&world.api, TLS, key, value.clone());
            operator.round().await.expect("a round");
            world.volumes();
            let after = world.rest(&operator).await;
            assert_ne!(after.chain, before.chain, "{key} {value}: whoever edited it may have the key");
            assert_eq!(after.bundle, before.bundle, "{key} {value}: of the same authority, and no other");
            assert_eq!(world.tls().1, "Valid", "{key} {value}");
            assert_eq!(world.api.condition("Available").0, "True");
        }
    }
}

#[tokio::test]
async fn an_authority_that_is_deleted_is_replaced_in_three_phases_and_a_damaged_one_is_named() {
    let world = World::running(json!({})).await;
    let operator = world.operator();
    let before = world.rest(&operator).await;
    world.api.remove(CA);
    let after = world.rest(&operator).await;
    assert!(after.bundle != before.bundle && after.bundle.len() == 1);

    let good = world.api.get(CA).unwrap();
    for (key, value) in
        [("tls.crt", Value::Null), ("tls.key", Value::Null), ("tls.key", base64(&json!("no key")))]
    {
        with(&world.api, CA, key, value);
        let error = operator.round().await.expect_err("a damaged authority").to_string();
        assert!(error.contains("`rauthy-ca`") && error.contains("restore"), "{error}");
        assert_eq!(world.api.condition("Degraded").1, "ReconcileFailed");
        assert_eq!(world.api.condition("Available").0, "True", "what runs goes on to run");
        assert_eq!(Uses::of(&world.api).chain, after.chain);
        world.api.put(CA, good.clone());
        assert_eq!(world.rest(&operator).await.bundle, after.bundle);
    }
}
