//! Rule 1: who may learn, and when a learner gets the seat of its slot.

use super::*;
use crate::message::Ping;

fn newcomer(n: u8) -> Incarnation {
    Incarnation { slot: slot(n), boot: Boot(1) }
}

fn hears(node: &mut Node, who: &Incarnation, generation: Option<Generation>) {
    let ping = Ping { free: generation.is_none(), leader_heard: None, epoch: 0, term: 0 };
    let message = Message { generation, ..message(node, who, Body::Ping(ping)) };
    step(node, NOW, Input::Message(message));
}

fn learns(node: &mut Node, who: &Incarnation) -> bool {
    step(node, NOW, Input::Tick);
    leader(node).progress.contains_key(who)
}

#[test]
fn whoever_lives_in_a_slot_whose_seat_another_holds_learns() {
    let new = newcomer(0);
    for (case, who, generation, leased, expected) in [
        ("free", &new, None, true, true),
        ("free, and the leader may be the last of its generation", &new, None, false, false),
        ("bound to this generation", &new, Some(GENERATION), true, true),
        ("bound to this generation already", &new, Some(GENERATION), false, true),
        ("bound to another generation", &new, Some(Generation(8)), true, false),
        ("bound to another generation", &new, Some(Generation(8)), false, false),
        ("in no slot of the list", &newcomer(7), None, true, false),
    ] {
        let mut node = serving();
        hears(&mut node, who, generation);
        if !leased {
            leader(&mut node).lease_end = NOW;
        }
        assert_eq!(learns(&mut node, who), expected, "{case}, leased: {leased}");
    }
}

#[test]
fn a_slot_that_is_announced_may_learn_already() {
    let next = |epoch| HostList { epoch, next: Some((0..5).map(slot).collect()), ..fixed(3) };
    for (epoch, expected) in [(1, true), (0, false)] {
        let mut node = serving();
        node.hosts = next(epoch);
        hears(&mut node, &newcomer(4), None);
        assert_eq!(learns(&mut node, &newcomer(4)), expected, "list {epoch}");
        hears(&mut node, &newcomer(7), None);
        assert!(!learns(&mut node, &newcomer(7)), "in no list");
    }
}

#[test]
fn a_learner_that_is_gone_is_forgotten_and_a_member_is_not() {
    let almost = before(NOW, Span(L.0 - 1));
    for (answered_at, known) in [(Some(almost), true), (Some(before(NOW, L)), false), (None, false)] {
        let mut node = serving();
        learner(&mut node, 7).answered_at = answered_at;
        assert_eq!(learns(&mut node, &peer(7)), known, "{answered_at:?}");
        leader(&mut node).progress.get_mut(&peer(0)).expect("known").answered_at = answered_at;
        assert!(learns(&mut node, &peer(0)), "it has a seat");
    }
    let mut node = serving();
    hears(&mut node, &newcomer(0), None);
    assert!(learns(&mut node, &newcomer(0)));
    assert!(learns(&mut node, &newcomer(0)), "it has not answered yet, but it lives");
}

#[test]
fn a_seat_is_given_by_a_joint_configuration_once_its_holder_is_silent() {
    let almost = before(NOW, Span(L.0 - 1));
    let over = before(NOW, L);
    // (the leader leads since, the old one answered at, the new one answered at, and holds) → given
    for (since, old, new, missing, given) in [
        (over, over, NOW, 0, true),
        (almost, over, NOW, 0, false), // it has not listened for long enough
        (over, almost, NOW, 0, false),
        (over, over, almost, 0, true),
        (over, over, over, 0, false),
        (over, over, NOW, 1, false),
    ] {
        let mut node = serving();
        let commit = inside(&mut node).commit;
        let lead = leader(&mut node);
        lead.since = since;
        lead.progress.get_mut(&peer(0)).expect("known").answered_at = Some(old);
        let who = newcomer(0);
        lead.progress.insert(who.clone(), Progress::new(1));
        let progress = lead.progress.get_mut(&who).expect("known");
        (progress.answered_at, progress.matched) = (Some(new), commit - missing);
        hears(&mut node, &who, Some(GENERATION));
        step(&mut node, NOW, Input::Tick);
        let configurations = &inside(&mut node).configurations;
        let case = format!("{since:?}, {old:?}, {new:?}, {missing}");
        assert_eq!(configurations.len() == 2, given, "{case}");
        if given {
            let joint = &configurations[1].1;
            assert_eq!((joint.maps.len(), joint.lists.len()), (2, 1));
            assert!(joint.seats(&peer(0)) && joint.seats(&who), "both count for a moment");
        }
    }
}

#[test]
fn a_seat_is_ready_when_nothing_is_being_changed() {
    // (maps, committed) → ready
    for (maps, committed, ready) in [(1, true, true), (2, true, false), (1, false, false), (2, false, false)]
    {
        let mut node = bound();
        tell(
            &mut node,
            &peer(0),
            Body::Append(Append { grant: grant(before(NOW, Span(5)), L), ..heartbeat() }),
        );
        assert!(node.status(NOW).ready);
        let bound = inside(&mut node);
        let mut configuration = bound.latest().expect("configured").as_ref().clone();
        if maps == 2 {
            configuration.maps.push(configuration.maps[0].clone());
        }
        let at = if committed { COMMIT } else { COMMIT + 1 };
        if committed {
            bound.configurations.clear();
        }
        bound.configurations.push_back((at, Arc::new(configuration)));
        let status = node.status(NOW);
        assert_eq!((status.ready, status.not_ready.is_empty()), (ready, ready), "{maps}, {committed}");
    }
    // Without a seat, and without a lease.
    let mut node = bound();
    assert!(!node.status(NOW).ready);
    tell(&mut node, &peer(0), Body::Append(Append { grant: grant(before(NOW, Span(5)), L), ..heartbeat() }));
    let mut configuration = inside(&mut node).latest().expect("configured").as_ref().clone();
    configuration.maps[0].remove(&slot(1));
    inside(&mut node).configurations = [(1, Arc::new(configuration))].into();
    assert!(!node.status(NOW).ready);
}
