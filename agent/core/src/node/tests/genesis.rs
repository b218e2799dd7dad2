//! Rules 2 and 3a: who promises what to whom, who founds, and with which seats.

use super::*;
use crate::message::{Ballot, Found, Ping, Promise};

fn ballot(round: u64, founder: u8) -> Ballot {
    Ballot { round, founder: peer(founder) }
}

fn found(ballot: Ballot) -> Found {
    Found { ballot, generation: GENERATION, epoch: 0 }
}

/// The answer's (granted, highest round).
fn asked(node: &mut Node, from: &Incarnation, found: Found) -> (bool, u64) {
    let ballot = found.ballot.clone();
    let said = tell(node, from, Body::Found(found));
    match said.as_slice() {
        [Body::Promise(promise)] => {
            assert_eq!(promise.ballot, ballot);
            (promise.granted, promise.highest_round)
        }
        other => panic!("it said {other:?}"),
    }
}

fn ping(free: bool, leader_heard: Option<Span>, epoch: Epoch) -> Ping {
    Ping { free, leader_heard, epoch, term: 0 }
}

fn hears(node: &mut Node, at: Time, from: u8, ping: Ping) -> Vec<Body> {
    let message = Message { generation: None, ..message(node, &peer(from), Body::Ping(ping)) };
    step(node, at, Input::Message(message))
}

/// What it says by itself from now on, and when.
fn run_until(node: &mut Node, until: Time) -> Vec<(Time, Body)> {
    let (mut said, mut at) = (Vec::new(), node.now);
    while at <= until {
        said.extend(step(node, at, Input::Tick).into_iter().map(|body| (at, body)));
        at = node.deadline();
    }
    said
}

/// What it says by itself in the next four seconds, while this peer is free and says so.
fn run_beside(node: &mut Node, free: u8) -> Vec<(Time, Body)> {
    let mut said = Vec::new();
    for i in 0..40 {
        let at = NOW + Span(1000 + 100_000 * i);
        said.extend(hears(node, at, free, ping(true, None, 0)).into_iter().map(|body| (at, body)));
        said.extend(run_until(node, at + Span(99_999)));
    }
    said
}

fn founds(said: &[(Time, Body)]) -> Option<(Time, &Found)> {
    said.iter().find_map(|(at, body)| match body {
        Body::Found(found) => Some((*at, found)),
        _ => None,
    })
}

#[test]
fn a_promise_moves_to_a_higher_ballot_only() {
    let mut node = free();
    for (ballot, granted, highest) in [
        (ballot(3, 0), true, 3),
        (ballot(3, 0), true, 3), // the same again
        (ballot(2, 2), false, 3),
        (ballot(3, 2), true, 3), // of one round the higher founder's
        (ballot(3, 0), false, 3),
        (ballot(4, 0), true, 4),
    ] {
        let from = ballot.founder.clone();
        assert_eq!(asked(&mut node, &from, found(ballot.clone())), (granted, highest), "{ballot:?}");
    }
}

#[test]
fn a_promise_is_only_for_a_founder_that_asks_for_itself_under_the_same_list() {
    let mut node = free();
    assert!(!asked(&mut node, &peer(2), found(ballot(9, 0))).0, "another's ballot");
    assert!(!asked(&mut node, &peer(7), found(ballot(9, 7))).0, "not in the list");
    for (own, founders, granted) in [(4, 4, true), (4, 3, false), (4, 5, false)] {
        let mut node = free_with(settings(), list(own));
        assert_eq!(asked(&mut node, &peer(0), Found { epoch: founders, ..found(ballot(1, 0)) }).0, granted);
    }
    let others = HostList::fixed(vec![slot(0), slot(2)]);
    let mut node = free_with(settings(), others);
    assert!(!asked(&mut node, &peer(0), found(ballot(1, 0))).0, "its own slot is not in the list");
}

#[test]
fn nobody_promises_in_quarantine() {
    let end = L.stretched();
    for (age, granted) in [(Span(end.0 - 1), false), (end, true)] {
        let mut node = free();
        node.born = before(NOW, age);
        assert_eq!(asked(&mut node, &peer(0), found(ballot(1, 0))).0, granted, "{age:?}");
    }
}

#[test]
fn nobody_promises_while_a_peer_within_reach_hears_a_leader() {
    let almost = Span(L.0 - 1);
    // (when the peer spoke, how long before that it had heard a leader) → promised
    for (spoke, leader_heard, granted) in [
        (Span(0), None, true),
        (Span(0), Some(Span(0)), false),
        (Span(0), Some(almost), false),
        (Span(0), Some(L), true),
        (almost, Some(Span(0)), false),
        (Span(5), Some(Span(L.0 - 5)), true), // heard a lease ago, in all
        (Span(5), Some(Span(L.0 - 6)), false),
        (L, Some(Span(0)), true), // out of reach
    ] {
        let mut node = free();
        node.now = before(NOW, spoke); // as if nothing had happened since
        hears(&mut node, before(NOW, spoke), 2, ping(false, leader_heard, 0));
        assert_eq!(asked(&mut node, &peer(0), found(ballot(1, 0))).0, granted, "{spoke:?}, {leader_heard:?}");
    }
}

#[test]
fn nobody_promises_with_a_list_that_is_behind() {
    // (its list, its pod's floor, what a peer reads) → promised
    for (own, min_epoch, met, granted) in [
        (3, 0, 3, true),
        (3, 0, 4, false),
        (3, 0, 2, true),
        (3, 3, 0, true),
        (3, 4, 0, false),
        (3, 4, 4, false),
    ] {
        let mut node = free_with(Settings { min_epoch, ..settings() }, list(own));
        hears(&mut node, NOW, 2, ping(true, None, met));
        // The peer restarts with an older list: what was met is met.
        hears(&mut node, NOW, 2, ping(true, None, 0));
        let question = Found { epoch: own, ..found(ballot(1, 0)) };
        assert_eq!(asked(&mut node, &peer(0), question).0, granted, "{own}, {min_epoch}, {met}");
    }
}

/// Free peers have spoken; it is `NOW`.
fn with_free_peers(peers: &[u8]) -> Node {
    let mut node = free();
    for n in peers {
        hears(&mut node, NOW, *n, ping(true, None, 0));
    }
    node
}

#[test]
fn it_founds_at_once_only_as_the_lowest_of_a_majority() {
    // n1 with n2: n0 has not spoken, and may be about to.
    let mut node = with_free_peers(&[2]);
    let said = run_beside(&mut node, 2);
    let (at, first) = founds(&said).expect("it does not wait for ever");
    let waits = settings().heartbeat.times(3);
    assert_eq!(at, NOW + Span(1000) + waits, "three heartbeats since it could");
    assert_eq!((first.ballot.round, &first.ballot.founder), (1, node.me()));

    // n0 has spoken, but is not free: nobody who is free is lower.
    let mut node = with_free_peers(&[2]);
    hears(&mut node, NOW, 0, ping(false, None, 0));
    assert!(founds(&run_until(&mut node, NOW + Span(1000))).is_some());

    // n0 is free: it goes first.
    let mut node = with_free_peers(&[0, 2]);
    assert!(founds(&run_until(&mut node, NOW + Span(L.0 - 1))).is_none());

    // Alone it is no majority of three.
    let mut node = with_free_peers(&[]);
    assert!(founds(&run_until(&mut node, NOW + L.times(9))).is_none());
}

#[test]
fn should_the_lowest_not_manage_the_others_try() {
    let mut node = with_free_peers(&[0, 2]);
    let said = run_beside(&mut node, 0);
    let (at, _) = founds(&said).expect("it tries");
    // A lease for the lowest, and then L..2L at random.
    assert!(at >= NOW + L.times(2) && at < NOW + L.times(3) + Span(100_000), "{at:?}");
}

#[test]
fn nobody_founds_who_may_not_promise() {
    type Edit = fn(&mut Node);
    let cases: [(&str, Edit); 4] = [
        ("in quarantine", |n| n.born = before(NOW, L)),
        ("a list that is behind", |n| n.met_epoch = 1),
        ("a leader is heard", |n| {
            hears(n, NOW, 0, ping(false, Some(Span(0)), 0));
        }),
        ("not in the list", |n| n.hosts = HostList::fixed(vec![slot(0), slot(2)])),
    ];
    for (case, edit) in cases {
        let mut node = with_free_peers(&[2]);
        hears(&mut node, NOW, 0, ping(false, None, 0));
        edit(&mut node);
        assert!(founds(&run_until(&mut node, NOW + Span(1000))).is_none(), "{case}");
    }
}

/// It founds, and has asked; with its first ballot.
fn founding() -> (Node, Found) {
    founding_with(settings(), list(0))
}

fn founding_with(settings: Settings, hosts: HostList) -> (Node, Found) {
    let epoch = hosts.epoch;
    let mut node = free_with(settings, hosts);
    hears(&mut node, NOW, 0, ping(false, None, epoch));
    hears(&mut node, NOW, 2, ping(true, None, epoch));
    let said = run_until(&mut node, NOW + Span(1000));
    let (_, found) = founds(&said).expect("it founds");
    (node, found.clone())
}

fn promise(found: &Found, granted: bool, highest_round: u64) -> Body {
    Body::Promise(Promise { ballot: found.ballot.clone(), granted, highest_round })
}

#[test]
fn with_a_majorities_promises_the_seats_are_fixed_once() {
    let (mut node, found) = founding();
    assert!(node.inside().is_none(), "its own promise is not enough");
    tell(&mut node, &peer(2), promise(&found, true, 1));
    let inside = node.inside().expect("it founds");
    assert_eq!((inside.generation, inside.term, inside.commit, inside.leads), (found.generation, 1, 0, true));
    assert_eq!((inside.log.last_index(), inside.log.last_time()), (1, LogTime(0)));
    let seats = inside.configurations[0].clone();
    assert_eq!(seats.seated(), [node.me().clone(), peer(2)]);
    assert_eq!((seats.epoch, seats.resizing, seats.lists.clone()), (0, false, list(0).lists()));
    tell(&mut node, &peer(0), promise(&found, true, 1));
    assert_eq!(node.inside().expect("still").configurations[0], seats, "a late promise changes nothing");
}

#[test]
fn a_promise_for_another_ballot_or_denied_does_not_count() {
    let (mut node, found) = founding();
    for (round, founder) in [(2, node.me().clone()), (1, peer(2))] {
        let other = Found { ballot: Ballot { round, founder }, ..found.clone() };
        tell(&mut node, &peer(2), promise(&other, true, 1));
    }
    tell(&mut node, &peer(2), promise(&found, false, 1));
    assert!(node.inside().is_none());
    tell(&mut node, &peer(2), promise(&found, true, 1));
    assert!(node.inside().is_some(), "a refusal that knows no higher round ends nothing");
}

#[test]
fn a_refused_ballot_waits_and_comes_back_with_a_higher_one() {
    let (mut node, first) = founding();
    tell(&mut node, &peer(2), promise(&first, false, 5));
    tell(&mut node, &peer(2), promise(&first, true, 5));
    assert!(node.inside().is_none(), "that attempt is over");
    let said = run_beside(&mut node, 2);
    let (at, second) = founds(&said).expect("it tries again");
    assert!(at >= NOW + L && at < NOW + L.times(2) + Span(110_000), "{at:?}");
    assert_eq!(second.ballot.round, 6);
    assert_ne!(second.generation, first.generation, "a generation of its own");
}

#[test]
fn a_founder_that_promises_to_a_higher_ballot_gives_up_its_own() {
    let (mut node, first) = founding();
    let higher = ballot(9, 2);
    assert!(asked(&mut node, &peer(2), found(higher)).0);
    tell(&mut node, &peer(0), promise(&first, true, 9));
    assert!(node.inside().is_none());
    // A lower one it refuses, and goes on.
    let (mut node, first) = founding();
    assert!(!asked(&mut node, &peer(0), found(ballot(1, 0))).0);
    tell(&mut node, &peer(2), promise(&first, true, 1));
    assert!(node.inside().is_some());
}

#[test]
fn under_two_lists_a_majority_of_each_must_promise() {
    let hosts =
        HostList { epoch: 4, now: vec![slot(0), slot(1), slot(2)], next: Some((0..5).map(slot).collect()) };
    let mut node = free_with(settings(), hosts);
    for n in [0, 2, 3] {
        hears(&mut node, NOW, n, ping(n > 0, None, 4));
    }
    let said = run_until(&mut node, NOW + Span(1000));
    let found = founds(&said).expect("it founds").1.clone();
    tell(&mut node, &peer(2), promise(&found, true, 1));
    run_until(&mut node, NOW + Span(300_000));
    assert!(node.inside().is_none(), "two of three, but two of five");
    tell(&mut node, &peer(3), promise(&found, true, 1));
    let inside = node.inside().expect("it founds");
    assert_eq!(inside.configurations[0].lists.len(), 2, "both lists are in force");
    assert_eq!((inside.configurations[0].epoch, inside.configurations[0].resizing), (4, false));
}

#[test]
fn another_list_voids_what_was_begun_under_the_old_one() {
    for (epoch, goes_on) in [(0, true), (1, false)] {
        let (mut node, found) = founding();
        step(&mut node, NOW, Input::Hosts(list(epoch)));
        tell(&mut node, &peer(2), promise(&found, true, 1));
        assert_eq!(node.inside().is_some(), goes_on, "list {epoch}");
    }
    let mut node = free_with(settings(), list(3));
    step(&mut node, NOW, Input::Hosts(list(2)));
    assert_eq!(node.hosts.epoch, 3, "S2: never back");
}

#[test]
fn a_founder_under_a_newer_list_does_not_commit() {
    // Rule 3b binds the founder, too: its own ack is one of the quorum.
    for (epoch, commits) in [(0, true), (1, false)] {
        let (mut node, found) = founding();
        tell(&mut node, &peer(2), promise(&found, true, 1));
        step(&mut node, NOW, Input::Hosts(list(epoch)));
        let clock = Time(1);
        let reply = AppendReply { term: 1, accepted: true, index: 1, sent_at: NOW, clock, applied: 0 };
        let message = Message {
            generation: Some(found.generation),
            ..message(&node, &peer(2), Body::AppendReply(reply))
        };
        step(&mut node, NOW, Input::Message(message));
        step(&mut node, NOW, Input::Tick);
        assert_eq!(node.inside().map(|i| i.commit), Some(u64::from(commits)), "list {epoch}");
    }
}
