//! What is heard at all: messages for this incarnation, and of its generation; and what may bind one that is free.

use super::*;
use crate::message::{Ballot, Found, PreVote, Promise, Revoke, SnapshotReply};

fn pre_vote() -> Body {
    let (last_term, last_index) = LAST;
    Body::PreVote(PreVote { term: TERM + 1, last_index, last_term, founding_epoch: 0 })
}

#[test]
fn a_message_is_for_one_incarnation_and_never_from_its_own_slot() {
    type Edit = fn(&mut Message);
    let nothing: Edit = |_| ();
    let cases: [(&str, Edit, bool); 6] = [
        ("", nothing, true),
        ("for whoever lives there", |m| m.to_boot = None, true),
        ("for one that lived there before", |m| m.to_boot = Some(Boot(1)), false),
        ("for another slot", |m| m.to = slot(2), false),
        ("for another slot, whoever lives there", |m| (m.to, m.to_boot) = (slot(2), None), false),
        ("from its own slot", |m| m.from.slot = slot(1), false),
    ];
    for (case, edit, heard) in cases {
        let mut node = bound();
        let mut message = message(&node, &peer(0), pre_vote());
        edit(&mut message);
        assert_eq!(step(&mut node, NOW, Input::Message(message)).len(), usize::from(heard), "{case}");
    }
}

#[test]
fn another_generation_is_not_heard() {
    for (generation, heard) in [(Some(GENERATION), true), (Some(Generation(8)), false), (None, false)] {
        let mut node = bound();
        let message = Message { generation, ..message(&node, &peer(0), pre_vote()) };
        assert_eq!(step(&mut node, NOW, Input::Message(message)).len(), usize::from(heard), "{generation:?}");
    }
}

#[test]
fn a_write_that_comes_to_the_wrong_one_is_refused_at_once() {
    let forward = || Forward { id: 9, stamp: None, request: Request::OpenSession, level: AckLevel::Quorum };
    let refused = [Body::ForwardReply(ForwardReply { id: 9, result: Err(Refusal::NotLeader) })];
    let mut node = free();
    assert_eq!(tell(&mut node, &peer(0), Body::Forward(forward())), refused, "it is free");
    let mut node = bound();
    assert_eq!(tell(&mut node, &peer(0), Body::Forward(forward())), refused, "it follows");
    let other =
        Message { generation: Some(Generation(8)), ..message(&node, &peer(0), Body::Forward(forward())) };
    assert_eq!(step(&mut node, NOW, Input::Message(other)), refused, "it is in another generation");
}

#[test]
fn whoever_is_bound_is_deaf_to_founders() {
    let ballot = Ballot { round: 99, founder: peer(0) };
    let found = Found { ballot: ballot.clone(), generation: Generation(8), epoch: 0 };
    for active in [false, true] {
        let mut node = bound();
        (inside(&mut node).active, inside(&mut node).bound_at) = (active, NOW);
        for generation in [None, Some(GENERATION), Some(Generation(8))] {
            let promise = Promise { ballot: ballot.clone(), granted: true, highest_round: 1 };
            for body in [Body::Found(found.clone()), Body::Promise(promise)] {
                let message = Message { generation, ..message(&node, &peer(0), body) };
                assert!(step(&mut node, NOW, Input::Message(message)).is_empty());
                assert_eq!(inside(&mut node).generation, GENERATION);
            }
        }
    }
}

fn promised(node: &mut Node, generation: Generation) {
    let found = Found { ballot: Ballot { round: 1, founder: peer(0) }, generation, epoch: node.hosts.epoch };
    let said = tell(node, &peer(0), Body::Found(found));
    assert!(matches!(said.as_slice(), [Body::Promise(Promise { granted: true, .. })]), "{said:?}");
}

#[test]
fn what_is_committed_binds_whoever_is_free_and_a_first_round_only_whoever_promised_it() {
    // (promised, commit, list, founded under, generation of the append) → bound
    for (promise, commit, epoch, founding_epoch, generation, binds) in [
        (None, 1, 0, 0, Some(GENERATION), true),
        (None, 1, 0, 0, None, false),
        (None, 0, 0, 0, Some(GENERATION), false),
        (Some(GENERATION), 0, 0, 0, Some(GENERATION), true),
        (Some(Generation(8)), 0, 0, 0, Some(GENERATION), false),
        (Some(Generation(8)), 1, 0, 0, Some(GENERATION), true),
        (Some(GENERATION), 0, 1, 0, Some(GENERATION), false), // rule 3b
        (Some(GENERATION), 0, 1, 1, Some(GENERATION), true),
        (Some(GENERATION), 1, 1, 0, Some(GENERATION), true),
    ] {
        for term in [1, TERM] {
            let case =
                format!("{promise:?}, {commit}, list {epoch}, {founding_epoch}, {generation:?}, {term}");
            let mut node = free_with(settings(), list(epoch));
            if let Some(promise) = promise {
                promised(&mut node, promise);
            }
            let append = Append { term, commit, founding_epoch, prev_index: 0, prev_term: 0, ..heartbeat() };
            let message = Message { generation, ..message(&node, &peer(0), Body::Append(append)) };
            let said = step(&mut node, NOW, Input::Message(message));
            assert_eq!(
                node.inside().map(|i| (i.generation, i.term)),
                binds.then_some((GENERATION, term)),
                "{case}"
            );
            assert_eq!(said.len(), usize::from(binds), "{case}: an ack binds, and what binds is acked");
        }
    }
}

#[test]
fn no_first_round_binds_before_the_quarantine_is_over() {
    let born = |at| {
        let mut node = Node::new(settings(), list(0), [1, 2, 3, 4], at);
        step(&mut node, NOW, Input::Tick);
        node
    };
    let end = L.stretched();
    let mut node = born(before(NOW, end));
    promised(&mut node, GENERATION);
    assert!(node.may_bind(GENERATION, 1, false, 0));
    node.born = before(NOW, Span(end.0 - 1));
    assert!(!node.may_bind(GENERATION, 1, false, 0));
    assert!(node.may_bind(GENERATION, 1, true, 0), "what is committed does not wait");
}

#[test]
fn a_snapshot_binds_whoever_is_free() {
    let chunk = chunk(&mut bound(), TERM);
    let mut node = free();
    let said = tell(&mut node, &peer(0), Body::SnapshotChunk(chunk.clone()));
    let [Body::SnapshotReply(SnapshotReply { part: 1, installed: false, restart: false, .. })] =
        said.as_slice()
    else {
        panic!("it said {said:?}");
    };
    assert_eq!(node.inside().map(|i| (i.generation, i.term, i.installing)), Some((GENERATION, TERM, true)));
    let mut node = free();
    let message = Message { generation: None, ..message(&node, &peer(0), Body::SnapshotChunk(chunk)) };
    assert!(step(&mut node, NOW, Input::Message(message)).is_empty());
    assert!(node.inside().is_none());
}

#[test]
fn nothing_else_binds_whoever_is_free() {
    let mut node = free();
    for body in [pre_vote(), Body::TimeoutNow(Revoke { term: 1 }), Body::Behind(Revoke { term: 1 })] {
        assert!(tell(&mut node, &peer(0), body).is_empty());
        assert!(node.inside().is_none());
    }
}
