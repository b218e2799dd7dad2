//! Rule 9 where a write was taken: what is refused at once, whom it is handed to, and what is said when no answer came.

mod session;

use super::*;
use crate::log::Op;
use crate::request::{Effect, Limit, Limits};

const FAR: Time = Time(NOW.0 + 60_000_000);

/// It follows n0, which it has just heard, and has opened a session (number 90).
fn following() -> Node {
    following_with(settings())
}

fn following_with(settings: Settings) -> Node {
    let mut node = bound_with(settings, list(0));
    tell(&mut node, &peer(0), Body::Append(heartbeat()));
    assert!(propose(&mut node, 1, put("first"), AckLevel::Quorum).is_empty());
    let forwarded = |id, result| Body::ForwardReply(ForwardReply { id, result });
    let opened = forwarded(2, Ok(Done { version: 90, effect: Effect::Opened }));
    let said = sent_to_leader(message_in(&mut node, 0, opened));
    assert_eq!(said.len(), 1, "the write that waited for it");
    message_in(&mut node, 0, forwarded(1, Ok(done())));
    node.outbox.out.clear();
    node
}

fn done() -> Done {
    Done { version: 95, effect: Effect::Put { existed: false } }
}

fn message_in(node: &mut Node, from: u8, body: Body) -> Vec<Output> {
    let message = message(node, &peer(from), body);
    outputs(node, NOW, Input::Message(message))
}

fn reply(
    node: &mut Node,
    from: u8,
    id: u64,
    result: Result<Done, Refusal>,
) -> Vec<(u64, Result<Done, Refusal>)> {
    replies(message_in(node, from, Body::ForwardReply(ForwardReply { id, result })))
}

fn input(ticket: u64, request: Request, level: AckLevel, deadline: Time) -> Input {
    Input::Propose { ticket, stamp: None, request, level, deadline }
}

/// The answers that a client of the node gets at once.
fn propose(
    node: &mut Node,
    ticket: u64,
    request: Request,
    level: AckLevel,
) -> Vec<(u64, Result<Done, Refusal>)> {
    replies(outputs(node, NOW, input(ticket, request, level, FAR)))
}

fn replies(outputs: Vec<Output>) -> Vec<(u64, Result<Done, Refusal>)> {
    let reply = |output| match output {
        Output::Reply { ticket, result } => Some((ticket, result)),
        _ => None,
    };
    outputs.into_iter().filter_map(reply).collect()
}

/// To whom it hands which write.
fn sent_to_leader(outputs: Vec<Output>) -> Vec<(Slot, u64)> {
    let forward = |output| match output {
        Output::Send(Message { to, body: Body::Forward(forward), .. }) => Some((to, forward.id)),
        _ => None,
    };
    outputs.into_iter().filter_map(forward).collect()
}

fn refused(node: &mut Node, request: Request, level: AckLevel) -> Option<Refusal> {
    match propose(node, 7, request, level).as_slice() {
        [] => None,
        [(7, Err(refusal))] => Some(*refusal),
        other => panic!("it answered {other:?}"),
    }
}

#[test]
fn nothing_bigger_than_allowed_is_taken() {
    let request = |key: usize, value: usize| Request::Put {
        cache: Arc::from(CACHE),
        key: vec![0; key].into(),
        value: vec![0; value].into(),
        ttl: None,
        condition: Condition::Always,
    };
    for (key, value, expected) in [
        (4, 8, None),
        (5, 8, Some(Refusal::Limit(Limit::Size))),
        (4, 9, Some(Refusal::Limit(Limit::Size))),
        (5, 9, Some(Refusal::Limit(Limit::Size))),
        (0, 0, None),
    ] {
        let mut node = following();
        node.settings = Settings { key_bytes: 4, value_bytes: 8, ..settings() };
        assert_eq!(refused(&mut node, request(key, value), AckLevel::Quorum), expected, "{key}, {value}");
    }
}

#[test]
fn a_level_must_say_what_is_asked() {
    let take = || Request::Take { cache: Arc::from(CACHE), key: "k".into() };
    let absent = || match put("k") {
        Request::Put { cache, key, value, ttl, .. } => {
            Request::Put { cache, key, value, ttl, condition: Condition::Absent }
        }
        other => other,
    };
    for (request, level, expected) in [
        (put("k"), AckLevel::Leader, None),
        (put("k"), AckLevel::All, None),
        (put("k"), AckLevel::Direct, Some(Refusal::Level)), // not declared so
        (take(), AckLevel::Once, Some(Refusal::Level)),
        (absent(), AckLevel::Leader, Some(Refusal::Level)),
        (take(), AckLevel::Quorum, None),
        (absent(), AckLevel::All, None),
    ] {
        assert_eq!(refused(&mut following(), request.clone(), level), expected, "{request:?}, {level:?}");
    }
    let direct = || {
        let mut node = following();
        let limits = Limits { direct: true, ..Limits::default() };
        let op = Op::Declare { cache: Arc::from(CACHE), limits };
        let payload = Payload::Write { tag: None, op };
        let entry = Entry { term: TERM, index: LAST.1 + 1, time: LogTime(9), payload };
        inside(&mut node).push(Arc::new(entry));
        node.commit_to(LAST.1 + 1);
        node.outbox.out.clear();
        node
    };
    assert_eq!(refused(&mut direct(), put("k"), AckLevel::All), Some(Refusal::Level));
    assert_eq!(refused(&mut direct(), absent(), AckLevel::Direct), Some(Refusal::Level));
    assert_eq!(refused(&mut direct(), take(), AckLevel::Direct), Some(Refusal::Level));
    let mut node = direct();
    let accepted = Ok(Done { version: 0, effect: Effect::Accepted });
    let append = Append { grant: grant(before(NOW, Span(5)), L), ..heartbeat() };
    message_in(&mut node, 0, Body::Append(append));
    assert_eq!(propose(&mut node, 7, put("k"), AckLevel::Direct), [(7, accepted)]);
    let found = node.replica.get(CACHE, b"k", || NOW).expect("leased");
    assert_eq!(found.value.map(|(_, version)| version), Some(0), "and it is seen here at once");
}

#[test]
fn no_quorum_is_said_where_nobody_leads() {
    let mut node = bound();
    assert_eq!(refused(&mut node, put("k"), AckLevel::Quorum), Some(Refusal::NoQuorum));
    assert_eq!(refused(&mut free(), put("k"), AckLevel::Quorum), Some(Refusal::NoQuorum));
    let mut node = following();
    for (heard, expected) in [(Span(L.0 - 1), None), (L, Some(Refusal::NoQuorum))] {
        inside(&mut node).acked_at = Some(before(NOW, heard));
        assert_eq!(refused(&mut node, put("k"), AckLevel::Quorum), expected, "{heard:?}");
    }
    assert_eq!(refused(&mut serving(), put("k"), AckLevel::Quorum), None, "itself");
}

#[test]
fn a_stamp_of_another_generation_has_no_outcome() {
    for (generation, taken) in [(GENERATION, true), (Generation(8), false)] {
        let mut node = following();
        let stamp = Some(Stamp { generation, session: 50, seq: 1, floor: 1 });
        let input =
            Input::Propose { ticket: 7, stamp, request: put("k"), level: AckLevel::Quorum, deadline: FAR };
        let expected = if taken { vec![] } else { vec![(7, Err(Refusal::UnknownOutcome))] };
        assert_eq!(replies(outputs(&mut node, NOW, input)), expected);
    }
}

#[test]
fn so_many_wait_and_no_more() {
    let one = put("k").size();
    let limited = |edit: fn(&mut Settings, usize)| {
        let mut node = following();
        edit(&mut node.settings, one);
        [1, 2, 3].map(|_| refused(&mut node, put("k"), AckLevel::Quorum))
    };
    let waiting = Some(Refusal::Limit(Limit::Waiting));
    assert_eq!(limited(|s, _| s.waiting = 2), [None, None, waiting]);
    assert_eq!(limited(|s, one| s.waiting_bytes = 2 * one), [None, None, waiting]);
    assert_eq!(limited(|s, one| s.waiting_bytes = 3 * one - 1), [None, None, waiting]);
    assert_eq!(limited(|s, one| s.waiting_bytes = 3 * one), [None; 3]);
    let window = Some(Refusal::Limit(Limit::Window));
    assert_eq!(limited(|s, _| s.session_window = 2), [None, None, window]);
}

#[test]
fn what_was_never_handed_on_had_no_quorum_and_what_was_is_unknown() {
    let late = NOW + Span(10);
    let at = |node: &mut Node, at| {
        node.own.check_at = at;
        replies(outputs(node, at, Input::Tick))
    };
    // Handed to n0, which does not answer.
    let mut node = following();
    outputs(&mut node, NOW, input(7, put("k"), AckLevel::Quorum, late));
    assert!(at(&mut node, before(late, Span(1))).is_empty());
    assert_eq!(at(&mut node, late), [(7, Err(Refusal::UnknownOutcome))]);
    // It waits for a session that does not come, so that nobody has it.
    let mut node = bound();
    tell(&mut node, &peer(0), Body::Append(heartbeat()));
    outputs(&mut node, NOW, input(7, put("k"), AckLevel::Quorum, late));
    assert_eq!(at(&mut node, late), [(7, Err(Refusal::NoQuorum))]);
    // However long it would wait.
    let mut node = bound();
    tell(&mut node, &peer(0), Body::Append(heartbeat()));
    outputs(&mut node, NOW, input(7, put("k"), AckLevel::Quorum, FAR));
    assert!(at(&mut node, before(NOW + L, Span(1))).is_empty());
    assert_eq!(at(&mut node, NOW + L), [(7, Err(Refusal::NoQuorum))]);
}

#[test]
fn a_wipe_ends_what_waits() {
    let mut node = following();
    propose(&mut node, 7, put("k"), AckLevel::Quorum);
    node.wipe("a test");
    assert_eq!(replies(std::mem::take(&mut node.outbox.out)), [(7, Err(Refusal::UnknownOutcome))]);
    let mut node = bound();
    tell(&mut node, &peer(0), Body::Append(heartbeat()));
    propose(&mut node, 7, put("k"), AckLevel::Quorum);
    node.outbox.out.clear();
    node.wipe("a test");
    assert_eq!(replies(std::mem::take(&mut node.outbox.out)), [(7, Err(Refusal::NoQuorum))]);
    assert!(node.own.is_empty(), "the session that was being opened, too");
}

#[test]
fn an_answer_is_believed_from_whoever_has_the_write_and_a_result_from_anybody() {
    for (from, result, answered) in [
        (0, Ok(done()), true),
        (2, Ok(done()), true),
        (0, Err(Refusal::UnknownOutcome), true),
        (2, Err(Refusal::UnknownOutcome), false),
        (0, Err(Refusal::Limit(Limit::Store)), true),
        (2, Err(Refusal::Limit(Limit::Store)), false),
    ] {
        let mut node = following();
        propose(&mut node, 7, put("k"), AckLevel::Quorum);
        let expected = if answered { vec![(7, result.clone())] } else { vec![] };
        assert_eq!(reply(&mut node, from, 3, result.clone()), expected, "{from}, {result:?}");
    }
}

#[test]
fn a_write_that_the_wrong_one_got_is_handed_on_again() {
    for refusal in [Refusal::NotLeader, Refusal::NoQuorum] {
        let mut node = following();
        propose(&mut node, 7, put("k"), AckLevel::Quorum);
        assert!(reply(&mut node, 0, 3, Err(refusal)).is_empty(), "it is tried again");
        let soon = NOW + Span(settings().heartbeat.0 / 4);
        assert!(sent_to_leader(outputs(&mut node, before(soon, Span(1)), Input::Tick)).is_empty());
        assert_eq!(sent_to_leader(outputs(&mut node, soon, Input::Tick)), [(slot(0), 3)]);
        // A refusal of the second attempt says nothing of the first one.
        let limit = Err(Refusal::Limit(Limit::Store));
        assert!(reply(&mut node, 0, 3, limit).is_empty(), "{refusal:?}");
    }
}

#[test]
fn a_new_leader_gets_what_the_old_one_had() {
    let mut node = following();
    propose(&mut node, 7, put("k"), AckLevel::Quorum);
    let append = Body::Append(Append { term: TERM + 1, ..heartbeat() });
    message_in(&mut node, 2, append);
    assert_eq!(sent_to_leader(outputs(&mut node, NOW, Input::Tick)), [(slot(2), 3)]);
    assert!(sent_to_leader(outputs(&mut node, NOW, Input::Tick)).is_empty(), "once");
    // And the same one again, should it not answer within L.
    let again = |node: &mut Node, at| {
        inside(node).acked_at = Some(at);
        node.own.check_at = at;
        sent_to_leader(outputs(node, at, Input::Tick))
    };
    assert!(again(&mut node, before(NOW + L, Span(1))).is_empty());
    assert_eq!(again(&mut node, NOW + L), [(slot(2), 3)]);
}

#[test]
fn a_lost_link_takes_back_what_went_over_it() {
    for (lost, again) in [(0, true), (2, false)] {
        let mut node = following();
        propose(&mut node, 7, put("k"), AckLevel::Quorum);
        step(&mut node, NOW, Input::LinkLost(slot(lost)));
        // The leader is heard again.
        message_in(&mut node, 0, Body::Append(heartbeat()));
        let soon = NOW + settings().heartbeat;
        let said = sent_to_leader(outputs(&mut node, soon, Input::Tick));
        assert_eq!(said, if again { vec![(slot(0), 3)] } else { vec![] }, "{lost}");
    }
}

#[test]
fn a_leader_that_stops_hands_its_own_writes_to_the_next() {
    let mut node = serving();
    propose(&mut node, 7, put("k"), AckLevel::Quorum);
    commit_all(&mut node); // the session
    let append = Body::Append(Append { term: TERM + 1, prev_index: LAST.1, ..heartbeat() });
    let mut outputs_now = message_in(&mut node, 2, append);
    outputs_now.extend(outputs(&mut node, NOW + settings().heartbeat, Input::Tick));
    assert_eq!(sent_to_leader(outputs_now), [(slot(2), 1)]);
}

#[test]
fn a_leader_that_leads_again_answers_what_it_was_asked_before() {
    let mut node = serving();
    propose(&mut node, 7, put("k"), AckLevel::Quorum);
    commit_all(&mut node); // the session; the write is in the log
    node.step_down("a test");
    inside(&mut node).term += 1;
    node.lead(TERM + 1);
    node.outbox.out.clear();
    let last = inside(&mut node).log.last_index();
    let ack = AppendReply { term: TERM + 1, ..ack(last) };
    message_in(&mut node, 2, Body::AppendReply(ack));
    let done = Done { version: last - 1, effect: Effect::Put { existed: false } };
    assert_eq!(replies(outputs(&mut node, NOW, Input::Tick)), [(7, Ok(done))]);
}

/// To whom it puts which questions for a read index.
fn questions(outputs: Vec<Output>) -> Vec<(Slot, u64)> {
    let question = |output| match output {
        Output::Send(Message { to, body: Body::ReadIndex(ask), .. }) => Some((to, ask.id)),
        _ => None,
    };
    outputs.into_iter().filter_map(question).collect()
}

fn points(outputs: Vec<Output>) -> Vec<(u64, Option<Index>)> {
    let ready = |output| match output {
        Output::ReadReady { ticket, point } => Some((ticket, point.map(|point| point.index))),
        _ => None,
    };
    outputs.into_iter().filter_map(ready).collect()
}

#[test]
fn a_read_waits_for_its_point_to_be_applied() {
    use crate::message::ReadIndexReply;
    let ask = Input::Read { ticket: 7, deadline: FAR };
    assert_eq!(points(outputs(&mut bound(), NOW, ask.clone())), [(7, None)], "nobody leads");
    let mut node = following();
    assert_eq!(questions(outputs(&mut node, NOW, ask)), [(slot(0), 1)]);
    let point = Body::ReadIndexReply(ReadIndexReply { id: 1, point: Some((5, LogTime(1))) });
    assert!(points(message_in(&mut node, 0, point)).is_empty(), "it has applied 3");
    let append = Body::Append(Append { commit: 4, ..heartbeat() });
    assert!(points(message_in(&mut node, 0, append)).is_empty());
    let append = Body::Append(Append { commit: 5, ..heartbeat() });
    assert_eq!(points(message_in(&mut node, 0, append)), [(7, Some(5))]);
}

#[test]
fn a_question_goes_to_the_new_leader_and_again_to_a_silent_one() {
    use crate::message::ReadIndexReply;
    for answered in [false, true] {
        let mut node = following();
        outputs(&mut node, NOW, Input::Read { ticket: 7, deadline: FAR });
        if answered {
            let point = Body::ReadIndexReply(ReadIndexReply { id: 1, point: Some((9, LogTime(1))) });
            message_in(&mut node, 0, point);
        }
        let tick = |node: &mut Node, at| {
            inside(node).acked_at = Some(at);
            node.own.check_at = at;
            questions(outputs(node, at, Input::Tick))
        };
        assert!(tick(&mut node, before(NOW + L, Span(1))).is_empty());
        let asks = tick(&mut node, NOW + L);
        assert_eq!(asks, if answered { vec![] } else { vec![(slot(0), 1)] }, "it is silent");
        // What another leader had appended may never be applied.
        let append = Append { term: TERM + 1, ..heartbeat() };
        let message = message(&node, &peer(2), Body::Append(append));
        outputs(&mut node, NOW + L, Input::Message(message));
        assert_eq!(tick(&mut node, NOW + L), [(slot(2), 1)]);
    }
}

#[test]
fn a_read_that_is_late_has_no_point() {
    let mut node = following();
    let late = NOW + Span(500);
    outputs(&mut node, NOW, Input::Read { ticket: 7, deadline: late });
    node.own.check_at = NOW;
    assert!(points(outputs(&mut node, before(late, Span(1)), Input::Tick)).is_empty());
    node.own.check_at = NOW;
    assert_eq!(points(outputs(&mut node, late, Input::Tick)), [(7, None)]);
}

/// A write that is shown already, in this generation.
fn shown(node: &mut Node, generation: Generation, at: Time, deadline: Time) -> Vec<Output> {
    outputs(node, at, Input::Shown { ticket: 7, generation, request: put("k"), deadline })
}

#[test]
fn what_is_shown_is_handed_to_the_leader_and_answered_when_it_has_it() {
    let mut node = following();
    let sent = sent_to_leader(shown(&mut node, GENERATION, NOW, FAR));
    let [(to, id)] = sent.as_slice() else { panic!("{sent:?}") };
    assert_eq!(*to, slot(0));
    let accepted = Ok(Done { version: 99, effect: Effect::Accepted });
    assert_eq!(reply(&mut node, 0, *id, accepted.clone()), [(7, accepted)]);
}

#[test]
fn what_is_shown_waits_for_a_leader_until_its_deadline() {
    let mut node = following();
    inside(&mut node).acked_at = Some(before(NOW, L));
    let soon = NOW + L.times(3);
    assert_eq!(replies(shown(&mut node, GENERATION, NOW, soon)), []);
    assert_eq!(refused(&mut node, put("k"), AckLevel::Quorum), Some(Refusal::NoQuorum), "others are refused");
    let late = NOW + L.times(2);
    assert_eq!(replies(outputs(&mut node, late, Input::Tick)), [], "longer than a lease");
    let mut led = following();
    inside(&mut led).acked_at = Some(before(NOW, L));
    shown(&mut led, GENERATION, NOW, soon);
    inside(&mut led).acked_at = Some(NOW);
    let found = sent_to_leader(outputs(&mut led, NOW + Span::from_millis(500), Input::Tick));
    assert_eq!(found.len(), 1, "it has heard of one");
    let over = replies(outputs(&mut node, soon, Input::Tick));
    assert_eq!(over, [(7, Err(Refusal::NoQuorum))]);
}

#[test]
fn what_is_shown_does_not_get_into_another_generation() {
    let mut node = following();
    let refused = replies(shown(&mut node, Generation(8), NOW, FAR));
    assert_eq!(refused, [(7, Err(Refusal::UnknownOutcome))]);
    let refused = replies(shown(&mut free(), GENERATION, NOW, FAR));
    assert_eq!(refused, [(7, Err(Refusal::UnknownOutcome))]);
    node.settings = Settings { waiting: 0, ..settings() };
    let refused = replies(shown(&mut node, GENERATION, NOW, FAR));
    assert_eq!(refused, [(7, Err(Refusal::Limit(Limit::Waiting)))]);
    node.settings = Settings { value_bytes: 0, ..settings() };
    let refused = replies(shown(&mut node, GENERATION, NOW, FAR));
    assert_eq!(refused, [(7, Err(Refusal::Limit(Limit::Size)))]);
}
