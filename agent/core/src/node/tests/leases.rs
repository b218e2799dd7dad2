//! Rules 6, 7 and 8: when a leader has a lease and for how long, what it says of it, and when a node forgets all.

use super::*;
use crate::message::Ping;

const NOOP: Index = LAST.1 + 1;

fn lease_end(node: &mut Node) -> Time {
    node.recompute_leader_lease();
    leader(node).lease_end
}

#[test]
fn a_leaders_lease_counts_from_the_send_time_that_a_quorum_acked() {
    let mut node = serving_with(settings(), fixed(5));
    let sent = |node: &mut Node, n, at| {
        leader(node).progress.get_mut(&peer(n)).expect("known").acked_sent_at = Some(before(NOW, Span(at)));
    };
    // Its own is now; the third newest of five counts.
    for (n, ago) in [(0, 10), (2, 20), (3, 30), (4, 40)] {
        sent(&mut node, n, ago);
    }
    assert_eq!(lease_end(&mut node), before(NOW, Span(20)) + L.shrunk());
    sent(&mut node, 2, 35);
    assert_eq!(
        lease_end(&mut node),
        before(NOW, Span(30)) + L.shrunk(),
        "it may end earlier than was thought"
    );
    assert_eq!(inside(&mut node).own_lease_end, NOW + L.shrunk(), "the longest that it ever was binds");
    assert_eq!(leader(&mut node).quorum_acked_at, NOW);
}

#[test]
fn no_lease_before_an_entry_of_its_own_term_is_committed() {
    let mut node = leading();
    for n in [0, 2] {
        tell(&mut node, &peer(n), Body::AppendReply(ack(LAST.1)));
    }
    step(&mut node, NOW, Input::Tick);
    assert_eq!((lease_end(&mut node), node.replica.lease()), (Time(0), None));
    assert_eq!(inside(&mut node).own_lease_end, Time(0));
    tell(&mut node, &peer(2), Body::AppendReply(ack(NOOP)));
    step(&mut node, NOW, Input::Tick);
    assert_eq!(lease_end(&mut node), NOW + L.shrunk());
    assert_eq!(
        node.replica.lease().map(|lease| (lease.term, lease.commit, lease.end)),
        Some((TERM, NOOP, NOW + L.shrunk()))
    );
}

#[test]
fn a_leader_lends_what_it_has_to_voters_once_it_serves() {
    let rests = |node: &mut Node, at: Time| -> Vec<(Slot, Option<Span>)> {
        leader(node).next_heartbeat = at;
        let said = sent(node, at, Input::Tick);
        let rest = |(to, body)| match body {
            Body::Append(append) => Some((to, append.grant.map(|grant| grant.rest))),
            _ => None,
        };
        said.into_iter().filter_map(rest).collect()
    };
    let mut node = serving();
    learner(&mut node, 7).clock = Some(Time(1));
    leader(&mut node).acks.lent.clear();
    let at = NOW + Span(1000);
    let left = Span(L.shrunk().0 - 1000);
    let expected = [(slot(0), Some(left)), (slot(2), Some(left)), (slot(7), Some(Span(0)))];
    assert_eq!(rests(&mut node, at), expected, "a learner may read nothing");
    let lent: Vec<_> = leader(&mut node).acks.lent.clone().into_iter().collect();
    assert_eq!(lent, [(peer(0), NOW + L.shrunk()), (peer(2), NOW + L.shrunk())]);
    // Before it serves, and when it has seen a higher term.
    let mut node = leading();
    for n in [0, 2] {
        tell(&mut node, &peer(n), Body::AppendReply(ack(LAST.1)));
    }
    let nothing = [(slot(0), Some(Span(0))), (slot(2), Some(Span(0)))];
    assert_eq!(rests(&mut node, at), nothing);
    let mut node = serving();
    leader(&mut node).acks.lent.clear();
    leader(&mut node).higher_term = Some(TERM + 1);
    assert_eq!(rests(&mut node, at), nothing);
    assert!(leader(&mut node).acks.lent.is_empty());
    // Whoever has never answered has no clock to count from.
    let mut node = leading();
    assert_eq!(rests(&mut node, at), [(slot(0), None), (slot(2), None)]);
}

#[test]
fn what_was_measured_with_a_clock_that_jumped_counts_no_more() {
    let mut node = serving();
    step(&mut node, NOW, Input::ClockJumped);
    assert_eq!((node.replica.lease(), leader(&mut node).lease_end), (None, Time(0)));
    step(&mut node, NOW, Input::Tick);
    assert_eq!(node.replica.lease(), None, "acks of what was sent up to then");
    let at = NOW + Span(10);
    for n in [0, 2] {
        let reply = AppendReply { sent_at: at, ..ack(NOOP) };
        let message = message(&node, &peer(n), Body::AppendReply(reply));
        step(&mut node, at, Input::Message(message));
    }
    step(&mut node, at, Input::Tick);
    assert_eq!(node.replica.lease().map(|lease| lease.end), Some(at + L.shrunk()));
    // A follower's, and the one that waits.
    let mut node = bound();
    let append = Append { grant: grant(before(NOW, Span(5)), L), ..heartbeat() };
    tell(&mut node, &peer(0), Body::Append(append.clone()));
    assert!(node.replica.lease().is_some());
    tell(&mut node, &peer(0), Body::Append(Append { prev_index: 4, prev_term: 2, commit: 6, ..append }));
    assert!(inside(&mut node).lease_to_come.is_some());
    step(&mut node, NOW, Input::ClockJumped);
    assert!(node.replica.lease().is_none() && inside(&mut node).lease_to_come.is_none());
}

/// What it tells the others of its leader.
fn leader_heard(node: &mut Node) -> Option<Span> {
    node.next_ping = NOW;
    let pings = outputs(node, NOW, Input::Tick).into_iter().filter_map(|output| match output {
        Output::Send(Message { body: Body::Ping(ping), .. }) => Some(ping),
        _ => None,
    });
    let pings: Vec<Ping> = pings.collect();
    assert_eq!(pings.len(), 2, "to every other slot");
    assert!(pings.iter().all(|ping| *ping == pings[0]));
    assert_eq!((pings[0].free, pings[0].epoch), (node.inside().is_none(), node.hosts.epoch));
    pings[0].leader_heard
}

#[test]
fn a_node_tells_when_it_heard_a_leader_and_a_leader_only_under_its_lease() {
    assert_eq!(leader_heard(&mut free()), None);
    let mut node = bound();
    assert_eq!(leader_heard(&mut node), None);
    inside(&mut node).acked_at = Some(before(NOW, Span(7)));
    assert_eq!(leader_heard(&mut node), Some(Span(7)));
    let mut node = serving();
    inside(&mut node).acked_at = Some(before(NOW, Span(7))); // as a follower, before it led
    assert_eq!(leader_heard(&mut node), Some(Span(0)));
    for (left, heard) in [(1, Some(Span(0))), (0, None)] {
        let mut node = leading();
        inside(&mut node).acked_at = Some(before(NOW, Span(7)));
        leader(&mut node).lease_end = NOW + Span(left);
        assert_eq!(leader_heard(&mut node), heard, "{left}");
    }
}

#[test]
fn a_node_forgets_all_when_it_had_no_sign_of_a_quorum_for_long() {
    let long = settings().invalidate_after;
    type Edit = fn(&mut Node);
    let cases: [(&str, Edit); 3] = [
        ("a follower's last sign of a leader", |n| {
            let bound = inside(n);
            (bound.leader_sign_at, bound.bound_at) = (NOW, before(NOW, Span(50)));
            bound.part = Part::Follower(Follower::default());
        }),
        ("a generation that never became active", |n| {
            let bound = inside(n);
            (bound.leader_sign_at, bound.bound_at, bound.active) = (NOW + Span(50), NOW, false);
        }),
        ("a leader's last quorum", |n| {
            n.lead(TERM);
            let bound = inside(n);
            (bound.leader_sign_at, bound.bound_at) = (NOW + Span(50), before(NOW, Span(50)));
        }),
    ];
    for (case, edit) in cases {
        let mut node = bound();
        edit(&mut node);
        let me = node.me().clone();
        let at = NOW + long;
        let bound = inside(&mut node);
        assert!(bound.leader_ref().is_none_or(|l| l.quorum_acked_at == NOW));
        let invalidation = node.bound_ref().map(|bound| node.invalidation(bound));
        assert_eq!(invalidation, Some(at), "{case}");
        node.now = before(at, Span(1));
        node.check_quorum_loss();
        assert!(node.inside().is_some(), "{case}");
        node.now = at;
        node.check_quorum_loss();
        assert!(node.inside().is_none(), "{case}");
        assert!(*node.me() != me && node.born == at, "{case}: a new incarnation, with a new quarantine");
        assert_eq!((node.replica.lease(), node.replica.store().applied()), (None, 0), "{case}");
        assert_eq!(node.status(at).wipes, 1, "{case}");
    }
}

#[test]
fn a_thawed_node_wipes_before_an_append_can_save_it() {
    // Rule 12: the deadline is judged before the input is looked at.
    let mut node = bound();
    let late = NOW + settings().invalidate_after;
    let message = message(&node, &peer(0), Body::Append(heartbeat()));
    assert!(step(&mut node, late, Input::Message(message)).is_empty());
    assert!(node.inside().is_none());
}
