//! Pods are replaced against an API server and agents in memory: one at a time, the leader last, and a bad image stops
//! at the first one. The agents fail the test when the operator deletes a pod that it must not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

mod support;

use serde_json::{Value, json};
use support::world::{ROUNDS, World};
use support::{Operator, PODS, STATEFULSET};

/// Rounds and controllers, as many as a roll may take, whatever comes of them.
async fn rounds(world: &World, operator: &Operator) {
    for _ in 0..ROUNDS / 4 {
        operator.round().await.expect("a round");
        world.controllers();
    }
}

fn image(world: &World, image: &str) {
    world.api.edit(|spec| spec["agent"] = json!({ "image": image }));
}

fn replaced(world: &World) -> Vec<String> {
    world.log.lock().unwrap().replaced.iter().map(|(name, _)| name.clone()).collect()
}

fn restarted_at(world: &World, time: &str) {
    let mut set = world.api.get(STATEFULSET).unwrap();
    set["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] = json!(time);
    world.api.put(STATEFULSET, set);
}

#[tokio::test]
async fn every_size_rolls_one_pod_at_a_time_and_the_leader_last() {
    for size in 1..=9 {
        for leader in [0, size / 2, size - 1] {
            let world = World::running(size).await;
            world.log.lock().unwrap().leader = leader;
            image(&world, "agent:2");
            world.roll(&world.operator()).await;
            let log = world.log.lock().unwrap();
            assert_eq!(log.replaced.len(), size, "{:?}", log.replaced);
            if size >= 3 {
                assert_eq!(log.replaced[size - 1].0, format!("rauthy-{leader}"), "the leader is last");
                assert_eq!(
                    (log.transfers, log.generation),
                    (2, 1),
                    "asked until it was done, and nothing is lost"
                );
            }
        }
    }
}

#[tokio::test]
async fn small_clusters_roll_and_an_event_says_what_it_costs() {
    for (size, word) in [(1, "it is the only member"), (2, "2 members are no quorum without it")] {
        let world = World::running(size).await;
        image(&world, "agent:2");
        world.roll(&world.operator()).await;
        let said = |(reason, note): &(String, String)| reason == "RollingLosesCache" && note.contains(word);
        assert!(world.api.events().iter().any(said), "{:?}", world.api.events());
        let generation = world.log.lock().unwrap().generation;
        assert!(generation > 1, "the cache is empty afterwards");
        let status = world.api.cluster().status.unwrap();
        assert_eq!(
            (status.generation, status.generation_number),
            (Some(format!("g{generation}")), Some(generation.into()))
        );
        let lost = |(reason, note): &(String, String)| {
            reason == "CacheLost" && note.contains(&format!("generation {generation} (g"))
        };
        assert!(world.api.events().iter().any(lost), "{:?}", world.api.events());
    }
}

#[tokio::test]
async fn a_bad_image_stops_at_the_first_pod_and_reverting_repairs_it() {
    for bad in [
        json!({ "agent": { "image": "bad:1" } }),
        json!({ "rauthy": { "image": "bad:1" }, "agent": { "image": "agent:1" } }),
    ] {
        let world = World::running(3).await;
        let good = json!({ "rauthy": { "image": "app:1" }, "agent": { "image": "agent:1" } });
        let set = |spec: &mut Value, new: &Value| {
            for key in ["rauthy", "agent"] {
                spec[key] = if new[key].is_null() { good[key].clone() } else { new[key].clone() };
            }
        };
        let operator = world.operator();
        world.api.edit(|spec| set(spec, &good));
        world.roll(&operator).await;
        world.log.lock().unwrap().replaced.clear();

        world.api.edit(|spec| set(spec, &bad));
        rounds(&world, &operator).await;
        assert_eq!(replaced(&world).len(), 1, "{bad}: {:?}", replaced(&world));
        let (status, reason, message) = world.api.condition("Progressing");
        assert_eq!((status.as_str(), reason.as_str()), ("True", "Rolling"));
        assert!(message.contains("2 of 3 pods run an earlier template"), "{message}");
        assert!(message.contains("has the newest template and is not ready"), "{message}");
        assert!(message.contains("ErrImagePull"), "{message}");
        assert_eq!(world.api.condition("Available").0, "True");

        world.api.edit(|spec| set(spec, &good));
        world.roll(&operator).await;
        let first = replaced(&world)[0].clone();
        assert_eq!(replaced(&world), [first.clone(), first], "{bad}: only that pod is replaced again");
        assert_eq!(world.log.lock().unwrap().generation, 1);
    }
}

#[tokio::test]
async fn a_bad_image_from_the_beginning_is_repaired_by_a_good_one() {
    let world = World::running(3).await;
    let operator = world.operator();
    // All three, as in a cluster that never came up.
    image(&world, "bad:1");
    operator.round().await.unwrap();
    for name in world.pods().into_keys() {
        world.lose(&name);
    }
    world.controllers();
    rounds(&world, &operator).await;
    assert_eq!(world.api.condition("Available").0, "False");
    image(&world, "agent:2");
    world.roll(&operator).await;
    assert_eq!(world.api.condition("Available").0, "True");
}

#[tokio::test]
async fn a_member_that_is_away_pauses_a_roll_and_the_status_says_which() {
    let world = World::running(5).await;
    let operator = world.operator();
    // Its node is gone: the kubelet's last word stands, and nobody answers.
    world.log.lock().unwrap().dead.insert("rauthy-1".to_owned());
    let mut pod = world.api.get(&format!("{PODS}/rauthy-1")).unwrap();
    pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
    world.api.put(&format!("{PODS}/rauthy-1"), pod);
    world.controllers();
    image(&world, "agent:2");
    rounds(&world, &operator).await;
    assert_eq!(replaced(&world), Vec::<String>::new());
    let (_, reason, message) = world.api.condition("Progressing");
    assert_eq!(reason, "Rolling");
    assert!(message.contains("waiting for the pod rauthy-1, which is being deleted"), "{message}");
    // Deleted by force, it comes back, and the roll goes on.
    world.lose("rauthy-1");
    world.log.lock().unwrap().dead.clear();
    world.controllers();
    world.roll(&operator).await;
    assert_eq!((replaced(&world).len(), world.log.lock().unwrap().generation), (4, 1));
}

#[tokio::test]
async fn without_a_leader_no_pod_is_replaced() {
    let world = World::running(3).await;
    let operator = world.operator();
    world.log.lock().unwrap().lost = true;
    image(&world, "agent:2");
    rounds(&world, &operator).await;
    assert_eq!(replaced(&world), Vec::<String>::new());
    assert!(world.api.condition("Progressing").2.contains("no member leads"));
    world.log.lock().unwrap().lost = false;
    world.roll(&operator).await;
}

#[tokio::test]
async fn kubectl_rollout_restart_and_the_annotation_roll_once_for_each_new_value() {
    let world = World::running(3).await;
    let operator = world.operator();
    restarted_at(&world, "2026-01-01T00:00:00Z");
    world.roll(&operator).await;
    assert_eq!(replaced(&world).len(), 3);
    let set = world.api.get(STATEFULSET).unwrap();
    let kept = &set["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"];
    assert_eq!(*kept, "2026-01-01T00:00:00Z", "it is no drift");

    for (value, all) in [("one", 6), ("one", 6), ("two", 9)] {
        world.api.annotate("rauthy.dev/restart", value);
        world.roll(&operator).await;
        assert_eq!(replaced(&world).len(), all, "{value}");
    }
    let mut cluster = world.api.get(support::CLUSTER).unwrap();
    cluster["metadata"]["annotations"] = json!({});
    world.api.put(support::CLUSTER, cluster);
    rounds(&world, &operator).await;
    assert_eq!(replaced(&world).len(), 9, "a request that is taken back restarts nothing");
}

#[tokio::test]
async fn a_newer_operators_image_is_reported_and_taken_when_asked_for() {
    let world = World::running(3).await;
    let newer = || Operator::with_all(&world.api, "agent:2", Box::new(world.clone()));
    let before = world.api.get(STATEFULSET);
    rounds(&world, &newer()).await;
    assert_eq!(world.api.get(STATEFULSET), before);
    assert_eq!(replaced(&world), Vec::<String>::new());
    let (status, _, message) = world.api.condition("UpdateAvailable");
    assert!(status == "True" && message.contains("agent:1") && message.contains("agent:2"), "{message}");
    assert!(world.api.events().iter().any(|(reason, _)| reason == "UpdateAvailable"));

    world.api.annotate("rauthy.dev/upgrade", "1");
    world.roll(&newer()).await;
    assert_eq!((replaced(&world).len(), world.log.lock().unwrap().generation), (3, 1));
    assert_eq!(world.api.condition("UpdateAvailable").0, "False");
    let pod = world.api.get(&format!("{PODS}/rauthy-0")).unwrap();
    assert_eq!(pod["spec"]["containers"][0]["image"], "agent:2");
    // An operator of the next version changes nothing by itself.
    rounds(&world, &Operator::with_all(&world.api, "agent:3", Box::new(world.clone()))).await;
    assert_eq!(replaced(&world).len(), 3);
}

#[tokio::test]
async fn agents_that_cannot_be_asked_for_a_transfer_are_replaced_all_the_same() {
    let world = World::running(3).await;
    world.log.lock().unwrap().old = true;
    image(&world, "agent:2");
    world.roll(&world.operator()).await;
    assert_eq!(replaced(&world).len(), 3);
}

#[tokio::test]
async fn a_change_of_the_size_and_a_roll_take_turns() {
    for (from, to) in [(3, 5), (5, 3), (3, 1), (1, 3)] {
        for between in 0..12 {
            let world = World::running(from).await;
            let operator = world.operator();
            image(&world, "agent:2");
            for _ in 0..between {
                operator.round().await.expect("a round");
                world.controllers();
            }
            world.api.edit(|spec| spec["replicas"] = json!(to));
            world.reach(&operator, to).await;
            world.roll(&operator).await;
            assert!(world.at(to));
            if from >= 3 && to >= 3 {
                assert_eq!(world.log.lock().unwrap().generation, 1);
            }
        }
    }
}

#[tokio::test]
async fn new_members_with_a_bad_image_do_not_block_the_way_back() {
    let world = World::running(3).await;
    let operator = world.operator();
    world.api.edit(|spec| spec["replicas"] = json!(5));
    // Both at once: the new members get the bad image, the old ones stay.
    image(&world, "bad:1");
    rounds(&world, &operator).await;
    assert_eq!(world.api.condition("Available").0, "True");
    image(&world, "agent:2");
    world.reach(&operator, 5).await;
    world.roll(&operator).await;
    assert_eq!(world.log.lock().unwrap().generation, 1);
}

#[tokio::test]
async fn an_operator_that_is_killed_after_any_write_leaves_nothing_that_the_next_does_not_finish() {
    for writes in 0..16 {
        let world = World::running(3).await;
        image(&world, "agent:2");
        world.api.fail_after(Some(writes), 500);
        let doomed = world.operator();
        for _ in 0..20 {
            let _ = doomed.round().await;
            world.controllers();
        }
        world.api.fail_after(None, 500);
        world.roll(&world.operator()).await;
        assert_eq!(
            (replaced(&world).len(), world.log.lock().unwrap().generation),
            (3, 1),
            "after {writes} writes"
        );
    }
}

#[tokio::test]
async fn a_paused_cluster_is_not_rolled_and_says_so() {
    let world = World::running(3).await;
    let operator = world.operator();
    image(&world, "agent:2");
    operator.round().await.unwrap();
    world.controllers();
    world.api.edit(|spec| spec["paused"] = json!(true));
    let before = replaced(&world).len();
    rounds(&world, &operator).await;
    assert_eq!(replaced(&world).len(), before);
    let (_, reason, message) = world.api.condition("Progressing");
    assert!(reason == "PodsOutdated" && message.contains("while spec.paused is true"), "{message}");
}
