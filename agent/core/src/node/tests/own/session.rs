//! The session of a node's own writes: when it is opened anew, and what is said where there is no room for one.

use super::*;

#[test]
fn a_session_that_may_be_unknown_is_opened_anew() {
    let forwards = |outputs: Vec<Output>| -> Vec<Option<Index>> {
        let forward = |output| match output {
            Output::Send(Message { body: Body::Forward(forward), .. }) => {
                Some(forward.stamp.map(|s| s.session))
            }
            _ => None,
        };
        outputs.into_iter().filter_map(forward).collect()
    };
    let mut node = following();
    assert_eq!(forwards(outputs(&mut node, NOW, input(7, put("k"), AckLevel::Quorum, FAR))), [Some(90)]);
    assert_eq!(reply(&mut node, 0, 3, Err(Refusal::UnknownOutcome)).len(), 1);
    assert_eq!(forwards(outputs(&mut node, NOW, input(8, put("k"), AckLevel::Quorum, FAR))), [None]);
    // And one that the leader may have ended, because nobody used it.
    let idle = settings().session_idle.0 / 2;
    for (unused, expected) in [(idle - 1, Some(90)), (idle, None)] {
        let mut node = following();
        let at = NOW + Span(unused);
        let bound = inside(&mut node);
        (bound.acked_at, bound.leader_sign_at) = (Some(at), at);
        bound.part = Part::Follower(Follower {
            leader: Some(peer(0)),
            election_at: Some(at + L),
            out_of_reach: false,
        });
        assert_eq!(
            forwards(outputs(&mut node, at, input(7, put("k"), AckLevel::Quorum, at + L))),
            [expected]
        );
    }
}

#[test]
fn no_room_for_a_session_is_said_of_what_waits_for_it() {
    let mut node = bound();
    tell(&mut node, &peer(0), Body::Append(heartbeat()));
    propose(&mut node, 7, put("a"), AckLevel::Quorum);
    propose(&mut node, 8, put("b"), AckLevel::Quorum);
    // One that a client stamped itself waits for the leader's answer, not for the session.
    let stamp = Some(Stamp { generation: GENERATION, session: 50, seq: 1, floor: 1 });
    let stamped =
        Input::Propose { ticket: 9, stamp, request: put("c"), level: AckLevel::Quorum, deadline: FAR };
    assert_eq!(sent_to_leader(outputs(&mut node, NOW, stamped)).len(), 1);
    // And a session of a client's own is another question.
    assert!(propose(&mut node, 10, Request::OpenSession, AckLevel::Quorum).is_empty());
    let full = Err(Refusal::Limit(Limit::Sessions));
    assert_eq!(reply(&mut node, 0, 2, full.clone()), [(7, full.clone()), (8, full)]);
}
