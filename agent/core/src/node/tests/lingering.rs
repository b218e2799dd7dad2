//! Entries wait for those that come after them while earlier ones are on their way.

use super::commits::{acked, later, proposed, settled, told};
use super::*;
use crate::node::replication::{ENTRIES_LINGER, LINGERING};
use crate::request::AckLevel;

fn more(node: &mut Node, at: Time, count: u64) -> Vec<(Slot, Index, usize)> {
    for ticket in 0..count {
        let (request, level) = (put("k"), AckLevel::Quorum);
        let deadline = at + Span::from_millis(900);
        step(node, at, Input::Propose { ticket, stamp: None, request, level, deadline });
    }
    told(sent(node, at, Input::Tick))
}

#[test]
fn what_came_meanwhile_goes_together_when_an_answer_is_there() {
    let mut node = settled();
    let first = proposed(&mut node, later(2000), AckLevel::Quorum);
    assert_eq!(more(&mut node, later(2100), 1), []);
    assert_eq!(more(&mut node, later(2200), 2), []);
    assert_eq!(acked(&mut node, later(2300), first), [(slot(2), first, 3)]);
}

#[test]
fn they_wait_for_a_moment_only() {
    let mut node = settled();
    let first = proposed(&mut node, later(2000), AckLevel::Quorum);
    assert_eq!(more(&mut node, later(2100), 1), []);
    let over = later(2100) + ENTRIES_LINGER;
    assert_eq!(node.deadline(), over);
    assert_eq!(told(sent(&mut node, Time(over.0 - 1), Input::Tick)), []);
    let both = [(slot(0), first - 1, 1), (slot(2), first - 1, 1)];
    assert_eq!(told(sent(&mut node, over, Input::Tick)), both);
    assert!(node.deadline() > over + ENTRIES_LINGER, "nothing lingers any more");
}

#[test]
fn what_can_be_sent_no_more_is_not_waited_for() {
    let mut node = settled();
    proposed(&mut node, later(2000), AckLevel::Quorum);
    assert_eq!(more(&mut node, later(2100), 1), []);
    leader(&mut node).progress.values_mut().for_each(|progress| progress.probing = true);
    assert_eq!(more(&mut node, later(2200), 1), []);
    assert!(node.deadline() > later(4000));
}

#[test]
fn a_full_window_takes_no_more_however_long_they_lingered() {
    let mut node = settled();
    node.settings.window_bytes = 1; // of one entry, whatever its size
    proposed(&mut node, later(2000), AckLevel::Quorum);
    assert_eq!(more(&mut node, later(2100), 1), []);
    assert_eq!(told(sent(&mut node, later(2100) + ENTRIES_LINGER, Input::Tick)), []);
}

#[test]
fn many_do_not_wait() {
    let mut node = settled();
    let first = proposed(&mut node, later(2000), AckLevel::Quorum);
    assert_eq!(more(&mut node, later(2100), LINGERING - 1), []);
    let all = usize::try_from(LINGERING).unwrap();
    assert_eq!(more(&mut node, later(2100), 1), [(slot(0), first - 1, all), (slot(2), first - 1, all)]);
}

#[test]
fn a_heartbeat_takes_them_along() {
    let mut node = settled();
    proposed(&mut node, later(2000), AckLevel::Quorum);
    assert_eq!(more(&mut node, later(2100), 1), []);
    leader(&mut node).next_heartbeat = later(2200);
    let entries = told(sent(&mut node, later(2200), Input::Tick)).into_iter().map(|(_, _, entries)| entries);
    assert_eq!(entries.collect::<Vec<_>>(), [1, 1]);
}
