//! An API server that fails, that has too much to do, and that holds what nobody can read.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

#[path = "support/front.rs"]
mod front;
#[path = "rotation/world.rs"]
mod rotation;
mod support;

use std::time::Duration;

use front::Front;
use rauthy_operator::agents::ByPodAddress;
use rauthy_operator::controller;
use serde_json::{Value, json};
use support::faults::Fault;
use support::world::World;
use support::{Api, CLUSTER, Operator, STATEFULSET};

/// What passes by itself.
const CODES: [u16; 5] = [409, 429, 500, 503, 504];

fn fault(after: usize, code: u16) -> Fault {
    Fault { after, code, retry_after: None }
}

#[tokio::test]
async fn a_creation_survives_a_failure_of_any_request() {
    let whole = Api::with(json!({}));
    Operator::start(&whole).settle().await;
    let paths = |api: &Api| api.owned().keys().cloned().collect::<Vec<_>>();
    let mut requests = 0;
    for code in CODES {
        for after in 0.. {
            let api = Api::with(json!({}));
            let operator = Operator::start(&api);
            api.fail_once(fault(after, code));
            for _ in 0..3 {
                // One that has just started, and the same.
                let _ = operator.round().await;
            }
            if !api.has_failed() {
                break;
            }
            requests += 1;
            operator.settle().await;
            assert_eq!(paths(&api), paths(&whole), "{code} at request {after}");
            let (status, reason, message) = api.condition("Degraded");
            assert_eq!(status, "False", "{code} at request {after}: {reason} {message}");
        }
    }
    assert!(requests > 5 * 40, "{requests} requests");
}

/// Rounds of a change, one of whose requests fails: every twelfth, beginning elsewhere for each code. A round takes about
/// twice as many.
async fn fails_once<W>(
    start: impl AsyncFn() -> (W, Api),
    go: impl AsyncFn(&W),
    end: impl AsyncFn(&W),
) -> usize {
    let mut times = 0;
    for (shift, code) in CODES.into_iter().enumerate() {
        for after in (2 * shift..).step_by(12) {
            let (world, api) = start().await;
            api.fail_once(fault(after, code));
            for _ in 0..12 {
                go(&world).await;
                if api.has_failed() {
                    break;
                }
            }
            let failed = api.has_failed();
            api.heal();
            if !failed {
                break;
            }
            times += 1;
            end(&world).await;
            let (status, reason, message) = api.condition("Degraded");
            assert_eq!(status, "False", "{code} at request {after}: {reason} {message}");
        }
    }
    times
}

async fn go(world: &World) {
    let _ = world.operator().round().await;
    world.controllers();
}

#[tokio::test]
async fn a_change_of_the_size_survives_a_failure_of_any_request() {
    let start = async || {
        let world = World::running(3).await;
        world.api.edit(|spec| spec["replicas"] = json!(5));
        let api = world.api.clone();
        (world, api)
    };
    let end = async |world: &World| {
        world.reach(&world.operator(), 5).await;
        world.operator().settle().await;
        assert_eq!(world.log.lock().unwrap().generation, 1);
    };
    let times = fails_once(start, go, end).await;
    assert!(times > 30, "{times}");
}

#[tokio::test]
async fn a_roll_survives_a_failure_of_any_request() {
    let start = async || {
        let world = World::running(3).await;
        world.api.edit(|spec| spec["agent"] = json!({ "image": "agent:2" }));
        let api = world.api.clone();
        (world, api)
    };
    let end = async |world: &World| {
        world.roll(&world.operator()).await;
        let log = world.log.lock().unwrap();
        assert_eq!((log.replaced.len(), log.generation), (3, 1));
    };
    let times = fails_once(start, go, end).await;
    assert!(times > 30, "{times}");
}

#[tokio::test]
async fn a_rotation_survives_a_failure_of_any_request() {
    for what in ["ca", "token"] {
        let start = async || {
            let world = rotation::World::running(json!({})).await;
            world.renew(what);
            let api = world.api.clone();
            (world, api)
        };
        let go = async |world: &rotation::World| {
            let _ = world.operator().round().await;
            world.volumes();
        };
        let end = async |world: &rotation::World| {
            let after = world.rest(&world.operator()).await;
            assert_eq!((after.bundle.len(), after.tokens.len()), (1, 1), "{what}");
        };
        let times = fails_once(start, go, end).await;
        assert!(times > 30, "{what}: {times}");
    }
}

#[tokio::test]
async fn an_api_server_that_asks_to_be_left_alone_is() {
    for (code, seconds) in [(429, 17), (503, 40)] {
        let api = Api::with(json!({}));
        let operator = Operator::start(&api);
        api.fail_once(fault(3, code));
        operator.round().await.expect_err("a request fails");
        assert!(operator.delay() <= Duration::from_secs(1), "{code} without a word about time");
        api.fail_once(Fault { retry_after: Some(seconds), ..fault(3, code) });
        operator.round().await.expect_err("a request fails");
        let (delay, wait) = (operator.delay(), Duration::from_secs(seconds));
        assert!(
            delay <= wait && delay > wait - Duration::from_secs(10),
            "{code}: {delay:?}, asked for {wait:?}"
        );
        // Nobody else is held up by it for longer: it is the server's word, and it passes.
        operator.settle().await;
        assert!(Operator::start(&api).delay() <= Duration::from_secs(1));
    }
}

const BAD: &str = "/apis/rauthy.dev/v1alpha1/namespaces/idm/rauthyclusters/bad";

fn bad(spec: &Value) -> Value {
    json!({
        "apiVersion": "rauthy.dev/v1alpha1", "kind": "RauthyCluster", "spec": spec,
        "metadata": { "name": "bad", "namespace": "idm", "uid": "uid-bad", "generation": 4 },
        // As it was last known.
        "status": { "leader": "bad-1", "generation": "g7", "conditions": [{
            "type": "Available", "status": "True", "reason": "QuorumServing", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }] },
    })
}

fn degraded(api: &Api) -> Value {
    let conditions = api.get(BAD).unwrap()["status"]["conditions"].clone();
    conditions.as_array().unwrap().iter().find(|one| one["type"] == "Degraded").cloned().unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_cannot_be_read_says_so_and_the_others_go_on() {
    let api = Api::with(json!({}));
    api.put(BAD, bad(&json!({ "replicas": "many" })));
    let front = Front::of(api.clone(), None);
    let context = Operator::context(front.client(), Box::new(ByPodAddress));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(async move {
        controller::run(context, &[], async move { drop(stopped.await) }).await;
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    let condition = degraded(&api);
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("True"), &json!("Unreadable")));
    assert_eq!(condition["observedGeneration"], 4);
    let message = condition["message"].as_str().unwrap();
    assert!(message.contains("many") && message.contains("what runs goes on"), "{message}");
    let status = api.get(BAD).unwrap()["status"].clone();
    assert_eq!((&status["leader"], &status["generation"]), (&json!("bad-1"), &json!("g7")), "the rest stays");
    let said = api.events().into_iter().filter(|(reason, _)| reason == "Unreadable").count();
    assert_eq!(said, 1, "once, not with each look");
    assert!(!api.owned().keys().any(|path| path.contains("/bad") && path != BAD), "nothing is made for it");
    assert!(api.get(STATEFULSET).is_some(), "the other one is made");

    // While nothing changes, nothing is written.
    api.writes();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!api.writes().iter().any(|write| write.contains("/bad")));

    // Put right, it is run like any other.
    let mut good = api.get(BAD).unwrap();
    good["spec"] = json!({ "replicas": 3 });
    good["metadata"]["generation"] = json!(5);
    let before = api.get(BAD);
    api.put(BAD, good);
    front.tell(BAD, before);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(api.get("/apis/apps/v1/namespaces/idm/statefulsets/bad").is_some());
    assert_eq!(degraded(&api)["status"], "False");
    let _ = stop.send(());
    running.await.unwrap();
}

#[tokio::test]
async fn objects_that_the_operator_may_not_read_are_no_silence() {
    let api = Api::with(json!({}));
    let operator = Operator::start(&api);
    operator.settle().await;
    api.fail_once(fault(5, 403));
    let error = operator.round().await.expect_err("forbidden").to_string();
    assert!(error.contains("cannot be read"), "{error}");
    let (status, reason, message) = api.condition("Degraded");
    assert_eq!((status.as_str(), reason.as_str()), ("True", "Unreadable"));
    assert!(message.contains("does the operator have the rights"), "{message}");
    assert!(api.events().iter().any(|(reason, _)| reason == "Unreadable"));
    assert!(api.get(CLUSTER).is_some());
    operator.settle().await;
    assert_eq!(api.condition("Degraded").0, "False");
}
