//! What a leader does with writes and with questions for a read index: when it serves, and what it answers.

use super::*;
use crate::log::Op;
use crate::message::{ReadIndex, ReadIndexReply};
use crate::request::{Effect, Limits};

const NOOP: Index = LAST.1 + 1;

#[test]
fn a_leader_serves_under_its_lease_once_its_own_entry_is_committed() {
    type Edit = fn(&mut Node);
    let cases: [(&str, Edit, bool); 6] = [
        ("", |_| (), true),
        ("its lease is about to end", |n| leader(n).lease_end = NOW + Span(1), true),
        ("its lease has ended", |n| leader(n).lease_end = NOW, false),
        ("its first entry is not committed", |n| leader(n).first_index = NOOP + 1, false),
        ("it has seen a higher term", |n| leader(n).higher_term = Some(TERM + 1), false),
        ("it hands over", |n| n.hand_over(), false),
    ];
    for (case, edit, serves) in cases {
        let mut node = serving();
        edit(&mut node);
        assert_eq!(node.serves(), serves, "{case}");
    }
    assert!(!bound().serves() && !free().serves());
}

#[test]
fn what_cannot_wait_for_its_leader_is_refused() {
    let refused = Some(Err(Refusal::NotLeader));
    let leaderly = |node: &mut Node| write(node, put("k"), None, AckLevel::Leader);
    let mut node = leading();
    assert_eq!(leaderly(&mut node), None, "its first entry is about to be committed");
    assert_eq!(leader(&mut node).parked.len(), 1);
    leader(&mut node).higher_term = Some(TERM + 1);
    leader(&mut node).lease_end = NOW + L; // or it would stop at once
    assert_eq!(leaderly(&mut node), refused);
    let mut node = serving();
    leader(&mut node).lease_end = NOW;
    assert_eq!(leaderly(&mut node), refused);
    assert!(leader(&mut node).parked.is_empty());
    let mut node = leading();
    for _ in 0..4096 {
        assert_eq!(leaderly(&mut node), None);
    }
    assert_eq!(leaderly(&mut node), refused, "so many wait, and no more");
    assert_eq!(leader(&mut node).parked.len(), 4096);
}

#[test]
fn a_write_becomes_an_entry_with_an_end_on_the_logs_time() {
    let ttl = Span(5000);
    let declared = Limits { ttl: Some(Span(700)), ..Limits::default() };
    let declare = Payload::Write { tag: None, op: Op::Declare { cache: Arc::from(CACHE), limits: declared } };
    let (cache, key) = (Arc::<str>::from(CACHE), Bytes::from("k"));
    for (asked, from_cache, end) in [
        (None, false, None),
        (Some(ttl), false, Some(ttl)),
        (None, true, declared.ttl),
        (Some(ttl), true, Some(ttl)),
    ] {
        let before = if from_cache { vec![declare.clone()] } else { Vec::new() };
        let mut node = serving_after(settings(), before);
        let now = leader(&mut node).log_now(NOW);
        assert!(now > LogTime(0));
        let ends = end.map(|end| now + end);
        let increment = Request::Increment { cache: cache.clone(), key: key.clone(), by: 3, ttl: asked };
        write(&mut node, increment, None, AckLevel::Leader);
        let put = Request::Put {
            cache: cache.clone(),
            key: key.clone(),
            value: "v".into(),
            ttl: asked,
            condition: Condition::Absent,
        };
        write(&mut node, put, None, AckLevel::Leader);
        let log = &inside(&mut node).log;
        let op = |index| log.get(index).map(|entry| (entry.payload.clone(), entry.time, entry.term));
        let (cache, key) = (cache.clone(), key.clone());
        let condition = Condition::Absent;
        let expected = [
            Op::Increment { cache: cache.clone(), key: key.clone(), by: 3, expires_at: ends },
            Op::Put { cache, key, value: "v".into(), expires_at: ends, condition },
        ];
        let last = log.last_index();
        for (index, op_expected) in (last - 1..).zip(expected) {
            let payload = Payload::Write { tag: None, op: op_expected };
            assert_eq!(op(index), Some((payload, now, TERM)), "{asked:?}, {from_cache}");
        }
    }
}

#[test]
fn a_session_is_answered_with_its_number() {
    let mut node = serving();
    assert_eq!(write(&mut node, Request::OpenSession, None, AckLevel::Quorum), None);
    let number = inside(&mut node).log.last_index();
    tell(&mut node, &peer(2), Body::AppendReply(ack(number)));
    let opened = Ok(Done { version: number, effect: Effect::Opened });
    assert_eq!(answer(sent(&mut node, NOW, Input::Tick)), Some(opened));
}

/// What n0 is told of its question.
fn point(said: Vec<(Slot, Body)>) -> Option<Option<(Index, LogTime)>> {
    said.into_iter().find_map(|(to, body)| match body {
        Body::ReadIndexReply(ReadIndexReply { id: 8, point }) if to == slot(0) => Some(point),
        _ => None,
    })
}

fn asks(node: &mut Node, at: Time) -> Option<Option<(Index, LogTime)>> {
    let message = message(node, &peer(0), Body::ReadIndex(ReadIndex { id: 8 }));
    point(sent(node, at, Input::Message(message)))
}

#[test]
fn a_read_index_is_given_only_by_a_leader_that_knows_what_is_committed() {
    for (case, mut node) in [("follows", bound()), ("has committed nothing yet", leading())] {
        assert_eq!(asks(&mut node, NOW), Some(None), "{case}");
    }
    let mut node = serving();
    node.hand_over();
    assert_eq!(asks(&mut node, NOW), Some(None), "hands over");
    let mut node = leading_with(settings(), fixed(5));
    inside(&mut node).commit = NOOP;
    assert_eq!(asks(&mut node, NOW), None, "it needs no lease");
}

#[test]
fn a_read_index_waits_for_acks_of_what_was_sent_after_the_question() {
    let mut node = serving();
    node.append(Payload::Noop);
    let asked_at = NOW + Span(10);
    assert_eq!(asks(&mut node, asked_at), None);
    let expected = (NOOP + 1, leader(&mut node).log_now(asked_at));
    let acked = |node: &mut Node, sent_at, at| {
        let message = message(node, &peer(2), Body::AppendReply(AppendReply { sent_at, ..ack(NOOP) }));
        step(node, at, Input::Message(message));
        sent(node, at, Input::Tick)
    };
    let appends =
        |said: &[(Slot, Body)]| said.iter().filter(|(_, body)| matches!(body, Body::Append(_))).count();
    // At the same moment nothing can be sent after the question.
    let said = acked(&mut node, asked_at, asked_at);
    assert_eq!((point(said.clone()), node.deadline()), (None, asked_at + Span(1)));
    let later = asked_at + Span(1);
    node.dirty = false;
    let said = sent(&mut node, later, Input::Tick);
    assert_eq!((point(said.clone()), appends(&said)), (None, 2), "a round of its own, at once");
    node.append(Payload::Noop); // what comes later does not matter
    let said = acked(&mut node, asked_at, later);
    assert_eq!(point(said), None, "sent with the question, not after it");
    let said = acked(&mut node, later, NOW + Span(900));
    assert_eq!(
        point(said),
        Some(Some(expected)),
        "all that was appended when it was asked, and the time then"
    );
}

#[test]
fn questions_end_with_the_leadership() {
    let mut node = serving();
    assert_eq!(asks(&mut node, NOW), None);
    let message = message(&node, &peer(2), Body::Append(Append { term: TERM + 1, ..heartbeat() }));
    assert_eq!(point(sent(&mut node, NOW, Input::Message(message))), Some(None));
}
