//! Whole changes of the size against an API server and agents in memory: growing, shrinking, a changed mind, members
//! that do not come, and an operator that is killed after any write. The agents keep the rules of the protocol and fail
//! the test when the operator breaks one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

mod support;

use serde_json::json;
use support::HOSTS;
use support::world::World;

#[tokio::test]
async fn every_size_is_reached_from_every_other_and_pods_that_stay_are_not_touched() {
    for from in 1..=9 {
        let world = World::running(from).await;
        let operator = world.operator();
        for to in (1..=9).rev() {
            let before = world.pods();
            world.api.edit(|spec| spec["replicas"] = json!(to));
            world.reach(&operator, to).await;
            for (name, uid) in world.pods() {
                assert!(before.get(&name).is_none_or(|old| *old == uid), "{name} was replaced");
            }
            assert_eq!(world.blocked().0, "False");
        }
        operator.settle().await;
        assert_eq!(world.api.condition("Progressing").1, "Complete");
    }
}

#[tokio::test]
async fn an_operator_that_is_killed_after_any_write_leaves_nothing_that_the_next_does_not_finish() {
    for (from, to) in [(3, 5), (5, 3), (1, 3), (3, 1)] {
        for writes in 0..24 {
            let world = World::running(from).await;
            world.api.edit(|spec| spec["replicas"] = json!(to));
            world.api.fail_after(Some(writes), 500);
            let doomed = world.operator();
            for _ in 0..20 {
                let _ = doomed.round().await;
                world.controllers();
            }
            world.api.fail_after(None, 500);
            world.reach(&world.operator(), to).await;
        }
    }
}

#[tokio::test]
async fn a_changed_mind_is_followed_from_wherever_the_change_has_come_to() {
    for rounds in 0..12 {
        let world = World::running(3).await;
        let operator = world.operator();
        world.api.edit(|spec| spec["replicas"] = json!(5));
        for _ in 0..rounds {
            operator.round().await.expect("a round");
            world.controllers();
        }
        world.api.edit(|spec| spec["replicas"] = json!(3));
        world.reach(&operator, 3).await;
        world.api.edit(|spec| spec["replicas"] = json!(4));
        world.reach(&operator, 4).await;
    }
}

#[tokio::test]
async fn a_cluster_that_nobody_leads_keeps_its_size_and_says_what_it_waits_for() {
    let world = World::running(3).await;
    world.log.lock().unwrap().lost = true;
    world.api.edit(|spec| spec["replicas"] = json!(5));
    let operator = world.operator();
    for _ in 0..3 {
        operator.round().await.expect("a round");
        world.controllers();
    }
    assert_eq!((world.replicas(), world.list()["next"].is_null()), (3, true));
    let (status, reason, message) = world.blocked();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "NoLeader"), "{message}");
    world.log.lock().unwrap().lost = false;
    world.reach(&operator, 5).await;
}

#[tokio::test]
async fn new_members_that_never_come_hold_up_a_change_that_needs_them() {
    let world = World::running(3).await;
    world.log.lock().unwrap().dead.extend((3..9).map(|ordinal| format!("rauthy-{ordinal}")));
    world.api.edit(|spec| spec["replicas"] = json!(7));
    let operator = world.operator();
    for _ in 0..10 {
        operator.round().await.expect("a round");
        world.controllers();
    }
    let message = world.api.condition("Progressing").2;
    assert!(message.contains("waiting for") && message.contains("rauthy-6.rauthy:8000"), "{message}");
    assert!(world.log.lock().unwrap().requests.is_empty(), "nobody is told to change");
    // It can be taken back, and the pods go.
    world.api.edit(|spec| spec["replicas"] = json!(3));
    world.reach(&operator, 3).await;
}

#[tokio::test]
async fn a_host_list_that_is_deleted_or_edited_in_the_middle_comes_back_as_the_log_has_it() {
    for rounds in 1..10 {
        for edit in [false, true] {
            let world = World::running(3).await;
            let operator = world.operator();
            world.api.edit(|spec| spec["replicas"] = json!(5));
            for _ in 0..rounds {
                operator.round().await.expect("a round");
                world.controllers();
            }
            if edit {
                let mut map = world.api.get(HOSTS).unwrap();
                map["data"]["hosts.json"] = json!(r#"{"epoch":0,"now":["https://evil:1"],"next":null}"#);
                world.api.put(HOSTS, map);
            } else {
                world.api.remove(HOSTS);
            }
            world.reach(&operator, 5).await;
        }
    }
}
