//! Rule 5: whom a leader that stops asks first, how long it waits, whom it makes campaign, and what it holds then.

use super::*;
use crate::message::Revoke;
use crate::node::handover::HandOver;

const NOOP: Index = LAST.1 + 1;

fn hand_over(node: &mut Node) -> Vec<(Slot, Body)> {
    sent(node, NOW, Input::HandOver)
}

/// What it says of it at a moment; heartbeats are left out.
fn tick(node: &mut Node, at: Time) -> Vec<(Slot, Body)> {
    let mut said = sent(node, at, Input::Tick);
    said.retain(|(_, body)| !matches!(body, Body::Append(_)));
    said
}

fn timeout_now(to: u8) -> (Slot, Body) {
    (slot(to), Body::TimeoutNow(Revoke { term: TERM }))
}

fn revoke(to: u8) -> (Slot, Body) {
    (slot(to), Body::Revoke(Revoke { term: TERM }))
}

/// It serves, and has lent these peers leases until then.
fn lending(ends: &[(u8, Time)]) -> Node {
    let mut node = serving();
    let lent = &mut leader(&mut node).acks.lent;
    lent.clear();
    lent.extend(ends.iter().map(|(n, end)| (peer(*n), *end)));
    node
}

fn handed_over(outputs: &[Output]) -> bool {
    outputs.iter().any(|output| matches!(output, Output::Event(Event::HandedOver)))
}

#[test]
fn with_nothing_to_hand_over_it_says_so_at_once() {
    let alone = HostList::fixed(vec![slot(1)]);
    let cases = [
        ("free", free(), true),
        ("follows", bound(), true),
        ("alone", serving_with(settings(), alone), true),
        ("leads others", serving(), false),
    ];
    for (case, mut node, at_once) in cases {
        let leads = node.is_leader();
        assert_eq!(handed_over(&outputs(&mut node, NOW, Input::HandOver)), at_once, "{case}");
        assert_eq!(node.is_leader(), leads, "{case}");
    }
}

#[test]
fn whoever_holds_a_lease_is_asked_to_give_it_back_first() {
    let end = NOW + Span(500);
    let mut node = lending(&[(0, end), (2, NOW)]);
    assert_eq!(hand_over(&mut node), [revoke(0)], "that of n2 has ended");
    assert!(hand_over(&mut node).is_empty(), "once");
    assert!(tick(&mut node, NOW).is_empty(), "it waits for the answer");
    tell(&mut node, &peer(0), Body::RevokeReply(Revoke { term: TERM - 1 }));
    assert!(tick(&mut node, NOW).is_empty(), "an answer of another term");
    tell(&mut node, &peer(2), Body::RevokeReply(Revoke { term: TERM }));
    assert!(tick(&mut node, NOW).is_empty(), "of another peer");
    tell(&mut node, &peer(0), Body::RevokeReply(Revoke { term: TERM }));
    assert_eq!(tick(&mut node, NOW).len(), 1);
}

#[test]
fn a_holder_that_is_silent_is_waited_for_until_its_lease_ends() {
    let end = NOW + Span(500);
    let mut node = lending(&[(0, end)]);
    hand_over(&mut node);
    assert!(tick(&mut node, before(end, Span(1))).is_empty());
    assert_eq!(tick(&mut node, end).len(), 1);
}

#[test]
fn the_heir_is_a_caught_up_voter_and_the_lease_is_dropped_first() {
    let mut node = lending(&[]);
    // n0 has answered last, but lacks one entry; n7 has no seat.
    let later = NOW + Span(5);
    leader(&mut node).progress.get_mut(&peer(0)).expect("known").matched = NOOP - 1;
    leader(&mut node).progress.get_mut(&peer(0)).expect("known").answered_at = Some(later);
    let learner = learner(&mut node, 7);
    (learner.matched, learner.answered_at) = (NOOP, Some(later));
    assert!(node.replica.lease().is_some());
    assert!(inside(&mut node).own_lease_end > NOW);
    hand_over(&mut node);
    assert_eq!(tick(&mut node, NOW), [timeout_now(2)]);
    assert_eq!(node.replica.lease(), None, "nobody reads here any more");
    let (own_lease_end, lease_end) = (inside(&mut node).own_lease_end, leader(&mut node).lease_end);
    assert_eq!((own_lease_end, lease_end), (NOW, Time(0)), "it may vote again");
    assert!(tick(&mut node, NOW + Span(1)).is_empty(), "once");
    // Acks of what it had sent give it nothing back.
    tell(&mut node, &peer(2), Body::AppendReply(AppendReply { sent_at: NOW, ..ack(NOOP) }));
    step(&mut node, NOW + Span(1), Input::Tick);
    assert_eq!((node.replica.lease(), leader(&mut node).lease_end), (None, Time(0)));
    assert!(!node.serves());
}

#[test]
fn of_two_heirs_the_one_that_answered_last_and_only_where_it_should_go() {
    for (to, expected) in [(None, 2), (Some(vec![slot(0), slot(1)]), 0)] {
        let mut node = lending(&[]);
        leader(&mut node).progress.get_mut(&peer(2)).expect("known").answered_at = Some(NOW + Span(1));
        node.hand_over_to(to);
        assert_eq!(tick(&mut node, NOW), [timeout_now(expected)]);
    }
    let mut node = lending(&[]);
    node.hand_over_to(Some(vec![slot(4)]));
    assert!(tick(&mut node, NOW).is_empty());
}

#[test]
fn what_is_appended_is_committed_first() {
    let mut node = lending(&[]);
    node.append(Payload::Noop);
    hand_over(&mut node);
    // n2 holds it; that makes a quorum with the next tick, which hands over.
    leader(&mut node).progress.get_mut(&peer(2)).expect("known").matched = NOOP + 1;
    inside(&mut node).active = false;
    node.hosts = list(1); // nothing is committed like this
    assert!(tick(&mut node, NOW).is_empty());
    inside(&mut node).active = true;
    assert_eq!(tick(&mut node, NOW), [timeout_now(2)]);
}

#[test]
fn it_takes_and_lends_nothing_while_it_hands_over() {
    let mut node = lending(&[(0, NOW + L)]);
    let before = node.replica.lease();
    hand_over(&mut node);
    assert!(!node.serves());
    tell(&mut node, &peer(0), Body::AppendReply(AppendReply { sent_at: NOW, ..ack(NOOP) }));
    leader(&mut node).next_heartbeat = NOW + Span(100);
    let said = sent(&mut node, NOW + Span(100), Input::Tick);
    let grants = said.iter().filter(
        |(_, body)| matches!(body, Body::Append(append) if append.grant.is_some_and(|g| g.rest > Span(0))),
    );
    assert_eq!((said.len(), grants.count()), (2, 0), "heartbeats without a lease");
    assert_eq!(node.replica.lease(), before, "its own is not made longer");
}

#[test]
fn should_nobody_take_over_it_only_stops() {
    // Nobody is caught up: two leases.
    let mut node = lending(&[]);
    node.append(Payload::Noop);
    hand_over(&mut node);
    for n in [0, 2] {
        leader(&mut node).progress.get_mut(&peer(n)).expect("known").acked_sent_at = Some(NOW + L);
    }
    step(&mut node, NOW + L.times(2), Input::Tick);
    assert!(node.is_leader());
    let out = outputs(&mut node, NOW + L.times(2) + Span(1), Input::Tick);
    assert!(!node.is_leader() && handed_over(&out));
    // The heir does nothing: one lease.
    let mut node = lending(&[]);
    hand_over(&mut node);
    assert_eq!(tick(&mut node, NOW).len(), 1);
    assert!(matches!(leader(&mut node).hand_over, Some(HandOver::Released { at: NOW })));
    step(&mut node, NOW + L, Input::Tick);
    assert!(node.is_leader());
    let out = outputs(&mut node, NOW + L + Span(1), Input::Tick);
    assert!(!node.is_leader() && handed_over(&out));
    assert_eq!(inside(&mut node).term, TERM, "it may only campaign in a new one");
}
