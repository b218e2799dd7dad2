//! An operator is ended at each of its failpoints, and the next one finishes what was begun. The list of the places is
//! compared with the code, so that a new one fails here until its story is told.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

#[path = "rotation/world.rs"]
mod rotation;
mod support;

use std::collections::BTreeSet;
use std::path::Path;

use rauthy_operator::failpoint::{ALL, stopping_at};
use rotation::Uses;
use serde_json::{Value, json};
use support::world::World;
use support::{Api, CA, Operator, TLS, TOKEN};

/// Rounds until one passes a place.
const ROUNDS: usize = 60;

fn places(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            places(&path, found);
        } else if path.file_name().is_some_and(|name| name != "failpoint.rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let names = text.split("failpoint::pass(\"").skip(1);
            found.extend(names.map(|rest| rest.split('"').next().unwrap().to_owned()));
        }
    }
}

#[test]
fn the_list_has_every_place_of_the_code_and_no_other() {
    let mut found = Vec::new();
    places(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    let unique: BTreeSet<_> = found.iter().map(String::as_str).collect();
    assert_eq!(unique, BTreeSet::from(ALL), "failpoint.rs and the code");
    assert_eq!(unique.len(), found.len(), "a place is passed in one line only: {found:?}");
}

#[tokio::test]
async fn whatever_the_place_the_next_operator_finishes_what_was_begun() {
    for place in ALL {
        match place {
            "token-made" | "ca-made" | "certificate-made" | "hosts-written" => creation(place).await,
            "scale-announced" | "scale-committing" | "scale-asked" | "scale-committed" => {
                scaling(place).await
            }
            "roll-transferred" | "roll-before-delete" | "roll-deleted" => roll(place).await,
            "token-added" | "token-dropped" => rotation(place, "token").await,
            "ca-renewed" | "ca-added" | "ca-dropped" => rotation(place, "ca").await,
            "certificate-replaced" => {
                rotation(place, "ca").await;
                rotation(place, "certificates").await;
            }
            other => panic!("nobody has written what shall come of an operator that ends at {other}"),
        }
    }
}

/// A round of an operator that ends at the place; whether it did.
async fn ends(place: &'static str, operator: &Operator) -> bool {
    match stopping_at(place, operator.round()).await {
        Some(result) => {
            result.expect("a round");
            false
        }
        None => true,
    }
}

async fn creation(place: &'static str) {
    let whole = Api::with(json!({}));
    Operator::start(&whole).settle().await;
    let api = Api::with(json!({}));
    assert!(ends(place, &Operator::start(&api)).await, "{place} was not passed");
    let kept: Vec<(&str, Value)> = [TOKEN, CA, TLS]
        .into_iter()
        .filter_map(|path| Some((path, api.get(path)?["data"].clone())))
        .collect();
    assert!(!kept.is_empty() && api.owned().len() < whole.owned().len(), "{place}: {:?}", api.owned().keys());
    Operator::start(&api).settle().await;
    assert_eq!(api.owned().keys().collect::<Vec<_>>(), whole.owned().keys().collect::<Vec<_>>(), "{place}");
    for (path, data) in kept {
        assert_eq!(api.get(path).unwrap()["data"], data, "{place}: {path} was made twice");
    }
}

async fn scaling(place: &'static str) {
    // Also one that ends there again and again: it gets no further, and nothing breaks.
    for times in [1, 3] {
        for (from, to) in [(3, 5), (3, 1)] {
            let world = World::running(from).await;
            let before = world.pods();
            world.api.edit(|spec| spec["replicas"] = json!(to));
            let mut left = times;
            for _ in 0..ROUNDS {
                if left > 0 && ends(place, &world.operator()).await {
                    left -= 1;
                }
                world.controllers();
                if left == 0 || world.at(to) {
                    break;
                }
            }
            assert!(left < times, "{place} was not passed from {from} to {to}");
            world.reach(&world.operator(), to).await;
            for (name, uid) in world.pods() {
                assert!(before.get(&name).is_none_or(|old| *old == uid), "{place}: {name} was replaced");
            }
            assert_eq!(world.log.lock().unwrap().generation, 1, "{place}: from {from} to {to}");
        }
    }
}

async fn roll(place: &'static str) {
    // A transfer is asked for twice.
    for times in [1, 2] {
        let world = World::running(3).await;
        world.api.edit(|spec| spec["agent"] = json!({ "image": "agent:2" }));
        let mut left = times;
        for _ in 0..ROUNDS {
            if left > 0 && ends(place, &world.operator()).await {
                left -= 1;
            }
            world.controllers();
            if left == 0 {
                break;
            }
        }
        assert_eq!(left, 0, "{place} was not passed {times} times");
        world.roll(&world.operator()).await;
        let log = world.log.lock().unwrap();
        assert_eq!((log.replaced.len(), log.generation), (3, 1), "{place}: {:?}", log.replaced);
    }
}

async fn rotation(place: &'static str, what: &str) {
    let world = rotation::World::running(json!({})).await;
    let before = Uses::of(&world.api);
    world.renew(what);
    let mut ended = false;
    for _ in 0..ROUNDS {
        // Its volumes, and every pair of agents, are judged after each round.
        ended = ended || ends(place, &world.operator()).await;
        world.volumes();
        if ended {
            break;
        }
    }
    assert!(ended, "{place} was not passed while {what} was renewed");
    let after = world.rest(&world.operator()).await;
    assert_eq!((after.bundle.len(), after.tokens.len()), (1, 1), "{place}: the old is dropped");
    let changed = (before.tokens != after.tokens, before.bundle != after.bundle, before.chain != after.chain);
    assert_eq!(changed, (what == "token", what == "ca", what != "token"), "{place}: {what}");
    // It is done once: another operator has nothing to do.
    let again = world.rest(&world.operator()).await;
    assert_eq!((again.chain, again.tokens), (after.chain, after.tokens), "{place}: {what} was renewed twice");
}
