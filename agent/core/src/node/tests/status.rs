//! What a node says of itself and its cluster: role, readiness, and how far the others are.

use super::*;
use crate::api::Role;

fn leased() -> Node {
    let mut node = bound();
    let append = Append { grant: grant(before(NOW, Span(5)), L), ..heartbeat() };
    tell(&mut node, &peer(0), Body::Append(append));
    node
}

fn unseated() -> Node {
    let mut node = leased();
    let mut configuration = inside(&mut node).latest().expect("configured").as_ref().clone();
    configuration.maps[0].remove(&slot(1));
    inside(&mut node).configurations = [(1, Arc::new(configuration))].into();
    node
}

#[test]
fn a_node_says_what_it_does_and_why_it_is_not_ready() {
    let mut newborn = Node::new(settings(), list(0), [1, 2, 3, 4], NOW);
    step(&mut newborn, before(NOW + L.stretched(), Span(1)), Input::Tick);
    let mut alone = free();
    step(&mut alone, NOW, Input::Tick);
    let mut lonely = Node::new(settings(), HostList::fixed(vec![slot(1)]), [1, 2, 3, 4], Time(0));
    lonely.now = NOW;
    let mut beside = free();
    beside.on_ping(
        peer(0),
        None,
        &crate::message::Ping { free: true, leader_heard: None, epoch: 0, term: 0 },
    );
    let mut learning = unseated();
    inside(&mut learning).install = Some(install(TERM));
    let cases: [(Node, Role, &str); 9] = [
        (newborn, Role::Free, "it has just begun and may take part in nothing for a moment"),
        (alone, Role::Free, "it reaches no other member"),
        (lonely, Role::Free, "it waits for a quorum of the members, or for a leader to take it in"),
        (beside, Role::Free, "it waits for a quorum of the members, or for a leader to take it in"),
        (leased(), Role::Follower, ""),
        (bound(), Role::Follower, "no quorum: no leader has granted it a read lease"),
        (unseated(), Role::Learner, "it has no seat yet: it waits for the leader"),
        (learning, Role::Learner, "it is receiving a snapshot"),
        (serving(), Role::Leader, ""),
    ];
    for (node, role, why) in cases {
        let status = node.status(node.now);
        assert_eq!((status.role, status.not_ready, status.ready), (role, why, why.is_empty()));
        assert_eq!(status.generation.is_some(), role != Role::Free);
    }
    let node = leased();
    let end = node.replica.lease().expect("leased").end;
    assert!(node.status(before(end, Span(1))).ready && !node.status(end).ready);
    assert_eq!(node.status(before(end, Span(9))).lease_left, Span(9));
}

/// (lag, caught up, learned) of a slot.
fn member(node: &Node, n: u8) -> (Option<u64>, bool, bool) {
    let members = node.status(NOW).members;
    let member = members.iter().find(|member| member.slot == slot(n)).expect("it is a member");
    (member.lag, member.caught_up, member.learned)
}

#[test]
fn a_leader_knows_how_far_the_others_are() {
    let mut node = serving();
    let last = inside(&mut node).log.last_index();
    assert_eq!([0, 1, 2].map(|n| member(&node, n)), [(Some(0), true, false); 3]);
    let set = |node: &mut Node, matched, answered_at| {
        let progress = leader(node).progress.get_mut(&peer(0)).expect("known");
        (progress.matched, progress.answered_at) = (matched, answered_at);
    };
    set(&mut node, last - 2, Some(NOW));
    assert_eq!(member(&node, 0), (Some(2), false, false));
    set(&mut node, last, Some(before(NOW, L)));
    assert_eq!(member(&node, 0), (Some(0), false, false), "silent");
    // Another one lives there, and has learned all; who holds the seat has never answered.
    set(&mut node, 0, None);
    let who = Incarnation { slot: slot(0), boot: Boot(1) };
    let mut progress = Progress::new(1);
    (progress.matched, progress.answered_at) = (last - 1, Some(NOW));
    leader(&mut node).progress.insert(who.clone(), progress);
    assert_eq!(member(&node, 0), (Some(1), false, false));
    leader(&mut node).progress.get_mut(&who).expect("known").matched = last;
    assert_eq!(member(&node, 0), (Some(0), false, true));
    // The one with the seat answers, too: that one counts.
    set(&mut node, last - 3, Some(before(NOW, Span(9))));
    assert_eq!(member(&node, 0), (Some(3), false, true));
    assert_eq!(member(&node, 2), (Some(0), true, false), "of its own slot only");
}

#[test]
fn others_know_it_of_themselves_only() {
    assert_eq!([0, 1, 2].map(|n| member(&free(), n)), [(None, false, false); 3]);
    let node = leased();
    assert_eq!(
        [0, 1, 2].map(|n| member(&node, n)),
        [(None, false, false), (None, true, false), (None, false, false)]
    );
    assert_eq!(member(&bound(), 1), (None, false, false), "without a lease");
    let end = node.replica.lease().expect("leased").end;
    assert!(!node.status(end).members[1].caught_up);
    let mut node = serving();
    leader(&mut node).lease_end = NOW;
    node.replica.set_lease(None);
    assert_eq!(member(&node, 1), (Some(0), false, false));
}
