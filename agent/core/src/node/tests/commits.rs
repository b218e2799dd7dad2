//! When a leader says what is committed: with the next entries, at once where somebody waits, and else a moment later.

use super::*;
use crate::request::AckLevel;

/// What is told of the commit, and whether entries go with it.
pub(super) fn told(said: Vec<(Slot, Body)>) -> Vec<(Slot, Index, usize)> {
    let append = |(to, body)| match body {
        Body::Append(append) => Some((to, append.commit, append.entries.len())),
        _ => None,
    };
    said.into_iter().filter_map(append).collect()
}

pub(super) fn later(micros: u64) -> Time {
    NOW + Span(micros)
}

/// It serves, its session for its own clients is open, and everybody knows all that is committed.
pub(super) fn settled() -> Node {
    let mut node = serving();
    proposed(&mut node, NOW, AckLevel::Quorum);
    for at in [100, 200] {
        commit_all(&mut node);
        sent(&mut node, later(at), Input::Tick);
    }
    assert_eq!(told(sent(&mut node, later(1500), Input::Tick)).len(), 2);
    commit_all(&mut node);
    node
}

/// A write of a client of this node, in the log and sent.
pub(super) fn proposed(node: &mut Node, at: Time, level: AckLevel) -> Index {
    let propose = Input::Propose {
        ticket: 1,
        stamp: None,
        request: put("k"),
        level,
        deadline: at + Span::from_millis(900),
    };
    step(node, at, propose);
    sent(node, at, Input::Tick);
    inside(node).log.last_index()
}

pub(super) fn acked(node: &mut Node, at: Time, index: Index) -> Vec<(Slot, Index, usize)> {
    let reply = message(node, &peer(2), Body::AppendReply(AppendReply { sent_at: at, ..ack(index) }));
    let mut said = sent(node, at, Input::Message(reply));
    said.extend(sent(node, at, Input::Tick));
    assert_eq!(inside(node).commit, index);
    told(said)
}

#[test]
fn with_nothing_to_go_with_it_is_told_a_moment_later() {
    let mut node = settled();
    let index = proposed(&mut node, later(2000), AckLevel::Quorum);
    assert_eq!(acked(&mut node, later(2300), index), []);
    assert_eq!(node.deadline(), later(3300));
    assert_eq!(told(sent(&mut node, later(3299), Input::Tick)), []);
    let both = [(slot(0), index, 0), (slot(2), index, 0)];
    assert_eq!(told(sent(&mut node, later(3300), Input::Tick)), both);
    assert!(node.deadline() > later(4400), "it is told once");
    assert_eq!(told(sent(&mut node, later(4400), Input::Tick)), []);
}

#[test]
fn entries_take_it_along() {
    let mut node = settled();
    let first = proposed(&mut node, later(2000), AckLevel::Quorum);
    assert_eq!(acked(&mut node, later(2300), first), []);
    let propose = Input::Propose {
        ticket: 2,
        stamp: None,
        request: put("k"),
        level: AckLevel::Quorum,
        deadline: later(900_000),
    };
    step(&mut node, later(2400), propose);
    // With its own, that is: the other has not answered yet.
    assert_eq!(told(sent(&mut node, later(2400), Input::Tick)), [(slot(2), first, 1)]);
    assert_eq!(told(sent(&mut node, later(3300), Input::Tick)), [(slot(0), first, 1)]);
    assert_eq!(told(sent(&mut node, later(4400), Input::Tick)), []);
}

#[test]
fn whoever_was_answered_hears_at_once() {
    let mut node = settled();
    assert_eq!(write(&mut node, put("k"), None, AckLevel::Quorum), None);
    sent(&mut node, later(2000), Input::Tick);
    let index = inside(&mut node).log.last_index();
    assert_eq!(acked(&mut node, later(2300), index), [(slot(0), index, 0)]);
    assert_eq!(told(sent(&mut node, later(3300), Input::Tick)), [(slot(2), index, 0)]);
}

#[test]
fn what_is_only_in_the_log_is_not_waited_for() {
    let mut node = settled();
    assert!(write(&mut node, put("k"), None, AckLevel::Leader).is_some());
    sent(&mut node, later(2000), Input::Tick);
    let index = inside(&mut node).log.last_index();
    assert_eq!(acked(&mut node, later(2300), index), []);
}

#[test]
fn a_write_that_waits_for_all_hurries() {
    let mut node = settled();
    leader(&mut node).acks.lend(&peer(0), later(500_000));
    let index = proposed(&mut node, later(2000), AckLevel::All);
    assert_eq!(acked(&mut node, later(2300), index), [(slot(0), index, 0), (slot(2), index, 0)]);
}

#[test]
fn who_can_be_told_nothing_is_not_waited_for() {
    let mut node = settled();
    leader(&mut node).progress.get_mut(&peer(0)).expect("known").probing = true;
    let index = proposed(&mut node, later(2000), AckLevel::Quorum);
    assert_eq!(acked(&mut node, later(2300), index), []);
    assert_eq!(told(sent(&mut node, later(3300), Input::Tick)), [(slot(2), index, 0)]);
    assert!(node.deadline() > later(5000));
    // It is reached again: then it is told like the others.
    leader(&mut node).progress.get_mut(&peer(0)).expect("known").probing = false;
    sent(&mut node, later(6000), Input::Tick);
}
