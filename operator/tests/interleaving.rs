//! Two operators at once, the one frozen in the middle of what it decided while the other goes on, and an operator whose
//! watch lags behind. The Lease keeps this rare; here nothing but compare-and-swap stands between the two. The agents fail
//! the test when something is done twice, or by what is not so any more.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

#[path = "rotation/world.rs"]
mod rotation;
mod support;

use std::pin::pin;

use rotation::Uses;
use serde_json::{Value, json};
use support::faults::Gate;
use support::world::World;
use support::{Api, CA, CLUSTER, HOSTS, Operator, PODS, STATEFULSET, TOKEN};

/// An operator whose requests pass this gate begins a round; where it is frozen, `meanwhile` happens before it goes on.
/// Whether it was frozen at all.
async fn frozen(operator: Operator, gate: Gate, meanwhile: impl AsyncFnOnce()) -> bool {
    let mut round = pin!(operator.round());
    tokio::select! {
        biased;
        () = gate.frozen() => {}
        _ = &mut round => return false,
    }
    meanwhile().await;
    gate.thaw();
    // What it is told is its own affair: a conflict is as good as a success.
    let _ = round.await;
    true
}

/// Freezes an operator at each of its writes, in each of the first rounds of a change; `rounds` of another one follow, and
/// then the first goes on. How often that happened.
async fn each(size: usize, change: impl Fn(&World), rounds: usize, end: impl AsyncFn(&World)) -> usize {
    let mut times = 0;
    for begun in 0..14 {
        for writes in 0.. {
            let world = World::running(size).await;
            change(&world);
            for _ in 0..begun {
                let _ = world.operator().round().await;
                world.controllers();
            }
            let gate = Gate::after(writes);
            let slow = Operator::through(&world.api, gate.clone(), "agent:1", Box::new(world.clone()));
            let held = frozen(slow, gate, async || {
                let other = world.operator();
                for _ in 0..rounds {
                    let _ = other.round().await;
                    world.controllers();
                }
            });
            if !held.await {
                break;
            }
            times += 1;
            world.controllers();
            end(&world).await;
        }
    }
    times
}

#[tokio::test]
async fn a_size_is_changed_once_whoever_is_frozen_where() {
    for (from, to, rounds) in [(3, 5, 1), (5, 3, 20)] {
        let change = |world: &World| world.api.edit(|spec| spec["replicas"] = json!(to));
        let end = async |world: &World| {
            world.reach(&world.operator(), to).await;
            assert_eq!(world.log.lock().unwrap().generation, 1, "nothing is lost");
        };
        let times = each(from, change, rounds, end).await;
        assert!(times > 12, "frozen {times} times only");
    }
}

#[tokio::test]
async fn each_pod_is_replaced_once_whoever_is_frozen_where() {
    for rounds in [1, 30] {
        let change = |world: &World| world.api.edit(|spec| spec["agent"] = json!({ "image": "agent:2" }));
        let end = async |world: &World| {
            world.roll(&world.operator()).await;
            let log = world.log.lock().unwrap();
            assert_eq!((log.replaced.len(), log.generation), (3, 1), "{:?}", log.replaced);
        };
        let times = each(3, change, rounds, end).await;
        assert!(times > 12, "frozen {times} times only");
    }
}

#[tokio::test]
async fn what_secures_the_links_is_renewed_once_whoever_is_frozen_where() {
    for what in ["ca", "certificates", "token"] {
        let mut times = 0;
        for begun in 0..5 {
            for writes in 0.. {
                let world = rotation::World::running(json!({})).await;
                world.renew(what);
                for _ in 0..begun {
                    let _ = world.operator().round().await;
                    world.volumes();
                }
                let gate = Gate::after(writes);
                let slow = Operator::through(&world.api, gate.clone(), "agent:1", Box::new(world.clone()));
                let mut done = None;
                let held = frozen(slow, gate, async || done = Some(world.rest(&world.operator()).await));
                if !held.await {
                    break;
                }
                times += 1;
                world.volumes();
                let (after, done) = (world.rest(&world.operator()).await, done.unwrap());
                assert_eq!(
                    after.chain, done.chain,
                    "{what}: once more, after {begun} rounds and {writes} writes"
                );
                assert_eq!(after.tokens, done.tokens, "{what}: once more, after {begun} rounds");
            }
        }
        assert!(times > 4, "{what}: frozen {times} times only");
    }
}

#[tokio::test]
async fn a_cluster_is_made_once_whoever_is_frozen_where() {
    for writes in 0.. {
        let api = Api::with(json!({}));
        let gate = Gate::after(writes);
        let slow =
            Operator::through(&api, gate.clone(), "agent:1", Box::new(rauthy_operator::agents::ByPodAddress));
        let mut made = None;
        let held = frozen(slow, gate, async || {
            Operator::start(&api).settle().await;
            made = Some(api.owned());
        });
        if !held.await {
            assert!(writes > 9, "frozen at {writes} writes only");
            break;
        }
        Operator::start(&api).settle().await;
        let (made, now) = (made.unwrap(), api.owned());
        for (path, object) in &made {
            for part in ["data", "spec"] {
                assert_eq!(now[path][part], object[part], "{path} was made twice, frozen at write {writes}");
            }
        }
        assert_eq!(made.len(), now.len());
    }
}

fn annotate(api: &Api, annotations: Value) {
    let mut cluster = api.get(CLUSTER).unwrap();
    cluster["metadata"]["annotations"] = annotations;
    api.put(CLUSTER, cluster);
}

#[tokio::test]
async fn a_watch_that_lags_behind_repeats_nothing_that_was_done() {
    type Change = fn(&Api);
    let changes: [(&str, Change, Change); 4] = [
        ("a size", |api| api.edit(|spec| spec["replicas"] = json!(5)), |_| {}),
        ("an image", |api| api.edit(|spec| spec["agent"] = json!({ "image": "agent:2" })), |_| {}),
        (
            "a restart that was taken back",
            |api| annotate(api, json!({ "rauthy.dev/restart": "1" })),
            |api| annotate(api, json!({})),
        ),
        ("a policy", |api| api.edit(|spec| spec["networkPolicy"] = json!({ "enabled": false })), |_| {}),
    ];
    for (what, change, undo) in changes {
        let world = World::running(3).await;
        let mut seen = vec![world.api.cluster()];
        change(&world.api);
        seen.push(world.api.cluster());
        let operator = world.operator();
        for _ in 0..40 {
            operator.round().await.expect("a round");
            world.controllers();
            seen.push(world.api.cluster());
        }
        undo(&world.api);
        for _ in 0..3 {
            operator.round().await.expect("a round");
            world.controllers();
        }
        world.api.writes();
        let (events, pods) = (world.api.events(), world.pods());
        for old in seen {
            operator.round_seeing(old.clone()).await.expect("a round");
            world.operator().round_seeing(old).await.expect("a round of one that has just started");
            world.controllers();
        }
        assert_eq!(world.api.writes(), Vec::<String>::new(), "{what}");
        assert_eq!((world.api.events(), world.pods()), (events, pods), "{what}");
    }
}

#[tokio::test]
async fn a_watch_that_lags_behind_renews_nothing_again() {
    for what in ["ca", "certificates", "token"] {
        let world = rotation::World::running(json!({})).await;
        world.renew(what);
        let asked = world.api.cluster();
        let operator = world.operator();
        let after = world.rest(&operator).await;
        world.tell(json!({}));
        world.rest(&operator).await;
        for operator in [&operator, &world.operator()] {
            operator.round_seeing(asked.clone()).await.expect("a round");
            world.volumes();
        }
        let now = Uses::of(&world.api);
        assert_eq!((now.chain, now.tokens), (after.chain, after.tokens), "{what}");
    }
}

#[tokio::test]
async fn a_cluster_that_was_deleted_gets_nothing_and_its_successor_everything() {
    let api = Api::with(json!({}));
    let (old, operator) = (api.cluster(), Operator::start(&api));
    operator.settle().await;
    for path in api.owned().into_keys() {
        api.remove(&path);
    }
    let cluster = api.remove(CLUSTER).unwrap();
    api.writes();
    operator.round_seeing(old.clone()).await.expect("a round");
    assert_eq!((api.writes(), api.owned().len()), (Vec::new(), 0), "objects of a cluster that is gone");

    api.put(CLUSTER, cluster);
    api.create_again("uid-2", json!({ "replicas": 1 }));
    operator.round_seeing(old).await.expect("a round");
    for (path, object) in api.owned() {
        assert_eq!(object["metadata"]["ownerReferences"][0]["uid"], "uid-2", "{path}");
    }
    let (set, hosts) = (api.get(STATEFULSET).unwrap(), api.get(HOSTS).unwrap());
    assert_eq!(
        (&set["spec"]["replicas"], hosts["data"]["HA_HOSTS"].as_str().unwrap().matches(',').count()),
        (&json!(1), 0)
    );
    assert!(
        api.get(TOKEN).is_some()
            && api.get(CA).is_some()
            && !api.owned().keys().any(|path| path.starts_with(PODS))
    );
}
