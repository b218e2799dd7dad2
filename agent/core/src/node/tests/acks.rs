//! Ack levels at the leader: when a write is answered, and what becomes of those that wait when it stops leading.

use super::*;
use crate::request::Effect;

/// The entry of the write.
const WRITE: Index = LAST.1 + 2;

fn five() -> Node {
    serving_with(settings(), fixed(5))
}

fn write(node: &mut Node, level: AckLevel) -> Vec<Result<Done, Refusal>> {
    super::write(node, super::put("k"), None, level).into_iter().collect()
}

/// What n0 is told of its write.
fn answers(said: Vec<(Slot, Body)>) -> Vec<Result<Done, Refusal>> {
    answer(said).into_iter().collect()
}

fn acked(node: &mut Node, by: &[u8]) -> Vec<Result<Done, Refusal>> {
    for n in by {
        tell(node, &peer(*n), Body::AppendReply(ack(WRITE)));
    }
    answers(sent(node, NOW, Input::Tick))
}

fn accepted() -> Result<Done, Refusal> {
    Ok(Done { version: WRITE, effect: Effect::Accepted })
}

fn put() -> Result<Done, Refusal> {
    Ok(Done { version: WRITE, effect: Effect::Put { existed: false } })
}

#[test]
fn a_write_at_level_leader_is_answered_when_it_is_appended() {
    assert_eq!(write(&mut five(), AckLevel::Leader), [accepted()]);
}

#[test]
fn once_is_one_more_voter() {
    let mut node = five();
    learner(&mut node, 7).answered_at = Some(NOW);
    assert!(write(&mut node, AckLevel::Once).is_empty());
    assert!(acked(&mut node, &[]).is_empty(), "its own copy");
    assert!(acked(&mut node, &[7]).is_empty(), "a learner's");
    assert_eq!(acked(&mut node, &[3]), [accepted()]);
    assert_eq!(inside(&mut node).commit, WRITE - 1, "it is not committed");
}

#[test]
fn once_is_a_quorum_while_seats_or_lists_change() {
    type Edit = fn(&mut Configuration);
    let swap: Edit = |c| {
        let mut new = c.maps[0].clone();
        new.insert(slot(4), Incarnation { slot: slot(4), boot: Boot(1) });
        c.maps.push(new);
    };
    let grow: Edit = |c| c.lists.push((0..3).map(slot).collect());
    for edit in [swap, grow] {
        let mut node = five();
        let mut configuration = inside(&mut node).latest().expect("configured").as_ref().clone();
        edit(&mut configuration);
        inside(&mut node).configurations = [(1, Arc::new(configuration))].into();
        assert!(write(&mut node, AckLevel::Once).is_empty());
        assert!(acked(&mut node, &[3]).is_empty());
        assert_eq!(acked(&mut node, &[0, 2]), [put()]);
    }
    // Nor is it more while the entry that leaves two lists or maps is not committed.
    for edit in [swap, grow] {
        let mut node = five();
        let settled = inside(&mut node).latest().expect("configured").clone();
        let mut both = settled.as_ref().clone();
        edit(&mut both);
        inside(&mut node).configurations = [(1, Arc::new(both)), (WRITE - 1, settled)].into();
        assert!(write(&mut node, AckLevel::Once).is_empty());
        assert!(acked(&mut node, &[3]).is_empty(), "the list that is left counts until then");
        assert_eq!(acked(&mut node, &[0, 2]), [put()]);
    }
    // What came before waits for the commit, too.
    let mut node = five();
    assert!(write(&mut node, AckLevel::Once).is_empty());
    let mut configuration = inside(&mut node).latest().expect("configured").as_ref().clone();
    grow(&mut configuration);
    inside(&mut node).configurations = [(1, Arc::new(configuration))].into();
    assert!(acked(&mut node, &[3]).is_empty());
    assert_eq!(acked(&mut node, &[0, 2]), [accepted()]);
}

#[test]
fn quorum_is_a_quorum() {
    let mut node = five();
    assert!(write(&mut node, AckLevel::Quorum).is_empty());
    assert!(acked(&mut node, &[3]).is_empty());
    assert_eq!(acked(&mut node, &[4]), [put()]);
}

#[test]
fn all_waits_for_whoever_was_lent_a_lease_before() {
    let end = NOW + Span(700_000);
    let lent = |holders: &[u8]| {
        let mut node = five();
        leader(&mut node).acks.lent = holders.iter().map(|n| (peer(*n), end)).collect();
        assert!(write(&mut node, AckLevel::All).is_empty());
        node
    };
    assert_eq!(acked(&mut lent(&[]), &[0, 2]), [put()], "nobody reads");

    let applies = |node: &mut Node, n, applied| {
        tell(node, &peer(n), Body::AppendReply(AppendReply { applied, ..ack(WRITE) }));
        answers(sent(node, NOW, Input::Tick))
    };
    let mut node = lent(&[3]);
    assert!(acked(&mut node, &[0, 2]).is_empty(), "n3 may still read");
    assert!(applies(&mut node, 3, WRITE - 1).is_empty());
    assert_eq!(applies(&mut node, 3, WRITE), [put()]);

    let mut node = lent(&[3]);
    assert!(acked(&mut node, &[0, 2]).is_empty());
    step(&mut node, NOW, Input::Tick);
    assert!(node.deadline() <= end, "it wakes when the lease ends");
    assert!(answers(sent(&mut node, before(end, Span(1)), Input::Tick)).is_empty());
    assert_eq!(answers(sent(&mut node, end, Input::Tick)), [put()], "its lease is over");

    // Whoever has lost its seat may read all the same.
    let mut node = lent(&[7]);
    assert!(acked(&mut node, &[0, 2]).is_empty());
}

#[test]
fn of_leases_lent_twice_the_later_end_counts() {
    let mut node = five();
    let acks = &mut leader(&mut node).acks;
    acks.lent.clear();
    for end in [50, 90, 20] {
        acks.lend(&peer(0), Time(end));
    }
    assert_eq!(acks.holders(Time(89)).get(&peer(0)), Some(&Time(90)));
    assert!(acks.holders(Time(90)).is_empty());
}

#[test]
fn whoever_waits_is_told_when_its_leader_stops() {
    for level in [AckLevel::Once, AckLevel::Quorum, AckLevel::All] {
        let mut node = five();
        assert!(write(&mut node, level).is_empty());
        let other = Append { term: TERM + 1, ..heartbeat() };
        let message = message(&node, &peer(2), Body::Append(other));
        assert_eq!(
            answers(sent(&mut node, NOW, Input::Message(message))),
            [Err(Refusal::NotLeader)],
            "{level:?}"
        );
    }
    // Committed, and waiting for a reader.
    let mut node = five();
    leader(&mut node).acks.lent = [(peer(3), NOW + L)].into();
    assert!(write(&mut node, AckLevel::All).is_empty());
    assert!(acked(&mut node, &[0, 2]).is_empty());
    let message = message(&node, &peer(2), Body::Append(Append { term: TERM + 1, ..heartbeat() }));
    assert_eq!(answers(sent(&mut node, NOW, Input::Message(message))), [Err(Refusal::NotLeader)]);
}

#[test]
fn what_comes_before_a_leader_may_serve_waits_and_is_told_when_it_stops() {
    let mut node = leading_with(settings(), fixed(5));
    assert!(write(&mut node, AckLevel::Leader).is_empty());
    for n in [2, 3] {
        tell(&mut node, &peer(n), Body::AppendReply(ack(WRITE - 1)));
    }
    assert_eq!(answers(sent(&mut node, NOW, Input::Tick)), [accepted()]);
    let mut node = leading_with(settings(), fixed(5));
    assert!(write(&mut node, AckLevel::Leader).is_empty());
    let message = message(&node, &peer(2), Body::Append(Append { term: TERM + 1, ..heartbeat() }));
    assert_eq!(answers(sent(&mut node, NOW, Input::Message(message))), [Err(Refusal::NotLeader)]);
}
