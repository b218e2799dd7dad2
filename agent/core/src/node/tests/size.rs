//! Rules 3 and 4: when a change of size may begin, what it waits for, who completes it, and when it is done.

use super::*;
use crate::api::{SizeChange, SizeProgress, SizeRefusal};
use crate::message::Ping;

type Progress = Result<SizeProgress, SizeRefusal>;

fn slots(n: u8) -> Vec<Slot> {
    (0..n).map(slot).collect()
}

/// From three to five, announced by list 1.
fn grow() -> SizeChange {
    SizeChange { epoch: 1, now: slots(3), next: Some(slots(5)) }
}

fn asked(node: &mut Node, change: SizeChange) -> Progress {
    let mut progress = outputs(node, NOW, Input::SetSize { ticket: 3, change }).into_iter();
    let progress = progress.find_map(|output| match output {
        Output::Size { ticket: 3, progress } => Some(progress),
        _ => None,
    });
    progress.expect("it answers at once")
}

fn reads(node: &mut Node, at: Time, n: u8, epoch: Epoch) {
    node.on_ping(peer(n), Some(GENERATION), &Ping { free: false, leader_heard: None, epoch, term: TERM });
    node.peers.get_mut(&slot(n)).expect("heard").heard_at = at;
}

/// It serves under list 1, which n0 and n2 read as well.
fn announced() -> Node {
    let mut node = serving();
    node.hosts = HostList { epoch: 1, next: Some(slots(5)), ..fixed(3) };
    for n in [0, 2] {
        reads(&mut node, NOW, n, 1);
    }
    node
}

/// Somebody lives in a new slot, and holds all that is committed or nothing.
fn new_node(node: &mut Node, n: u8, learned: bool) {
    reads(node, NOW, n, 1);
    let commit = inside(node).commit;
    let progress = learner(node, n);
    (progress.answered_at, progress.matched) = (Some(NOW), if learned { commit } else { 0 });
}

/// The configurations that count, with their lists' sizes.
fn configured(node: &mut Node) -> Vec<(Epoch, bool, Vec<usize>)> {
    let all = inside(node).configurations.iter();
    all.map(|(_, c)| (c.epoch, c.resizing, c.lists.iter().map(Vec::len).collect())).collect()
}

#[test]
fn a_change_must_be_well_formed_and_asked_of_a_leader_that_serves() {
    let twice = [slots(2), slots(2)].concat();
    for change in [
        SizeChange { epoch: 0, ..grow() },
        SizeChange { now: Vec::new(), ..grow() },
        SizeChange { next: Some(twice), ..grow() },
        SizeChange { next: Some(slots(10)), ..grow() },
        SizeChange { next: Some(vec![slot(7)]), ..grow() }, // nobody stays
    ] {
        assert_eq!(asked(&mut announced(), change.clone()), Err(SizeRefusal::Malformed), "{change:?}");
    }
    for mut node in [free(), bound(), leading()] {
        assert_eq!(asked(&mut node, grow()), Err(SizeRefusal::NotLeader));
    }
}

#[test]
fn a_change_begins_when_a_majority_of_the_present_slots_reads_its_list() {
    // (its own list, what others read) → confirmed, of the two needed
    type Case = (Epoch, &'static [(u8, Epoch)], usize);
    let cases: [Case; 8] = [
        (1, &[], 1),
        (0, &[], 0),
        (1, &[(0, 0), (2, 0)], 1),
        (1, &[(0, 1)], 2),
        (0, &[(0, 1), (2, 1)], 2),
        (0, &[(0, 1), (2, 0)], 1),
        (1, &[(3, 1), (4, 1)], 1), // of the slots to come
        (9, &[(2, 7)], 2),         // a later list is as good
    ];
    for (own, others, confirmed) in cases {
        let mut node = serving();
        node.hosts.epoch = own;
        for (n, epoch) in others {
            reads(&mut node, NOW, *n, *epoch);
        }
        let answer = asked(&mut node, grow());
        let refused = Err(SizeRefusal::Unconfirmed { confirmed, needed: 2 });
        assert_eq!(answer == refused, confirmed < 2, "list {own}, {others:?}: {answer:?}");
    }
    let mut node = announced();
    for n in [0, 2] {
        reads(&mut node, before(NOW, L), n, 1); // out of reach
    }
    assert_eq!(asked(&mut node, grow()), Err(SizeRefusal::Unconfirmed { confirmed: 1, needed: 2 }));
}

#[test]
fn most_of_the_new_slots_and_all_in_reach_have_learned_first() {
    let caught_up = |caught_up, needed| Err(SizeRefusal::NotCaughtUp { caught_up, needed });
    type Edit = fn(&mut Node);
    let cases: [(&str, Edit, Progress); 8] = [
        ("the new ones are out of reach", |_| (), Ok(SizeProgress::Preparing)),
        ("one has learned", |n| new_node(n, 3, true), Ok(SizeProgress::Preparing)),
        ("one still learns", |n| new_node(n, 3, false), caught_up(3, 4)),
        (
            "one has learned, one still learns",
            |n| {
                new_node(n, 3, true);
                new_node(n, 4, false);
            },
            caught_up(4, 5),
        ),
        (
            "a member is behind",
            |n| {
                let progress = leader(n).progress.get_mut(&peer(0)).expect("known");
                progress.matched = 1;
                n.peers.get_mut(&slot(0)).expect("heard").epoch = 1;
            },
            caught_up(2, 3),
        ),
        (
            "a member is behind and out of reach",
            |n| {
                leader(n).progress.get_mut(&peer(0)).expect("known").matched = 1;
                n.peers.remove(&slot(0));
            },
            caught_up(2, 3),
        ),
        (
            "a member is behind, and a new one has learned",
            |n| {
                leader(n).progress.get_mut(&peer(0)).expect("known").matched = 1;
                new_node(n, 3, true);
            },
            caught_up(3, 4),
        ),
        (
            "a member's slot has somebody without its seat",
            |n| {
                leader(n).progress.get_mut(&peer(0)).expect("known").matched = 1;
                let who = Incarnation { slot: slot(0), boot: Boot(1) };
                let commit = inside(n).commit;
                let mut progress = super::Progress::new(1);
                (progress.answered_at, progress.matched) = (Some(NOW), commit);
                leader(n).progress.insert(who, progress);
            },
            caught_up(2, 3),
        ),
    ];
    for (case, edit, expected) in cases {
        let mut node = announced();
        edit(&mut node);
        assert_eq!(asked(&mut node, grow()), expected, "{case}");
    }
}

#[test]
fn it_goes_over_both_lists_and_is_done_when_a_quorum_has_applied_the_last() {
    let mut node = announced();
    new_node(&mut node, 3, true);
    new_node(&mut node, 4, true);
    assert_eq!(asked(&mut node, grow()), Ok(SizeProgress::Preparing));
    assert_eq!(configured(&mut node), [(0, false, vec![3])]);
    step(&mut node, NOW, Input::Tick);
    assert_eq!(configured(&mut node), [(0, false, vec![3]), (1, true, vec![3, 5])]);
    assert_eq!(inside(&mut node).latest().map(|c| c.seated().len()), Some(5), "the new ones have seats");
    assert_eq!(asked(&mut node, grow()), Ok(SizeProgress::UnderWay));
    let later = SizeChange { epoch: 2, now: slots(3), next: None };
    assert_eq!(
        asked(&mut node, later),
        Err(SizeRefusal::OtherConfiguration { epoch: 1 }),
        "it is finished first"
    );

    let acks = |node: &mut Node, by: &[u8], index, applied| {
        for n in by {
            tell(node, &peer(*n), Body::AppendReply(AppendReply { applied, ..ack(index) }));
        }
        step(node, NOW, Input::Tick);
    };
    let both = inside(&mut node).log.last_index();
    acks(&mut node, &[3, 4], both, 0);
    assert_eq!(inside(&mut node).commit, both - 1, "a majority of the new one, and only one of the present");
    acks(&mut node, &[0], both, 0);
    assert_eq!(inside(&mut node).commit, both);
    assert_eq!(configured(&mut node), [(1, true, vec![3, 5]), (2, false, vec![5])]);
    assert_eq!(asked(&mut node, grow()), Ok(SizeProgress::UnderWay));
    acks(&mut node, &[3, 4], both + 1, 0);
    assert_eq!(inside(&mut node).commit, both, "3d: left by both majorities");
    acks(&mut node, &[2], both + 1, 0);
    assert_eq!(configured(&mut node), [(2, false, vec![5])]);
    assert_eq!(asked(&mut node, grow()), Ok(SizeProgress::UnderWay), "without this leader nobody would know");
    acks(&mut node, &[3], both + 1, both + 1);
    assert_eq!(asked(&mut node, grow()), Ok(SizeProgress::UnderWay), "two of five");
    acks(&mut node, &[4], both + 1, both + 1);
    assert_eq!(asked(&mut node, grow()), Ok(SizeProgress::Done));
    // One that comes late changes nothing: it is known by its number.
    let shrink = SizeChange { epoch: 1, now: slots(5), next: Some(slots(3)) };
    assert_eq!(asked(&mut node, shrink), Err(SizeRefusal::OtherConfiguration { epoch: 2 }));
    assert_eq!(asked(&mut node, SizeChange { epoch: 0, ..grow() }), Err(SizeRefusal::Malformed));
}

/// Both lists are in force, committed.
fn with_both(resizing: bool) -> Node {
    let mut node = serving();
    let mut configuration = inside(&mut node).latest().expect("configured").as_ref().clone();
    (configuration.epoch, configuration.resizing) = (1, resizing);
    configuration.lists.push(slots(5));
    inside(&mut node).configurations = [(COMMIT, Arc::new(configuration))].into();
    node.hosts.epoch = 2;
    for n in [0, 2] {
        reads(&mut node, NOW, n, 2);
    }
    node
}

#[test]
fn two_lists_of_a_change_are_left_by_any_leader_and_those_of_a_genesis_wait_for_a_word() {
    let next = |node: &mut Node| {
        step(node, NOW, Input::Tick);
        configured(node)[1..].to_vec()
    };
    assert_eq!(next(&mut with_both(true)), [(2, false, vec![5])]);
    let mut node = with_both(false);
    assert_eq!(next(&mut node), [], "made by a genesis");
    assert_eq!(asked(&mut node, grow()), Ok(SizeProgress::Preparing));
    assert_eq!(next(&mut node), [(2, false, vec![5])]);
    // 3f: taken back.
    let mut node = with_both(false);
    let back = SizeChange { epoch: 2, now: slots(3), next: None };
    assert_eq!(asked(&mut node, back.clone()), Ok(SizeProgress::Preparing));
    assert_eq!(next(&mut node), [(2, false, vec![3])]);
    let mut node = with_both(true);
    assert_eq!(
        asked(&mut node, back),
        Err(SizeRefusal::OtherConfiguration { epoch: 1 }),
        "it is finished first"
    );
    // One list, whatever made it, stays.
    let mut node = serving();
    let mut configuration = inside(&mut node).latest().expect("configured").as_ref().clone();
    configuration.resizing = true;
    inside(&mut node).configurations = [(COMMIT, Arc::new(configuration))].into();
    assert_eq!(next(&mut node), []);
}

#[test]
fn the_leadership_moves_off_the_leaving_slots_first() {
    // The leader is n1, which the new list does not have.
    let stay: Vec<Slot> = vec![slot(0), slot(2)];
    let mut node = announced();
    node.hosts.next = Some(stay.clone());
    let change = SizeChange { epoch: 1, now: slots(3), next: Some(stay.clone()) };
    assert_eq!(asked(&mut node, change), Ok(SizeProgress::Preparing));
    step(&mut node, NOW, Input::Tick);
    assert!(leader(&mut node).hands_over());
    assert_eq!(configured(&mut node), [(0, false, vec![3])], "nothing is begun");
    // Also where it completes what another began.
    let mut node = serving();
    let mut configuration = inside(&mut node).latest().expect("configured").as_ref().clone();
    configuration.resizing = true;
    configuration.lists.push(stay);
    inside(&mut node).configurations = [(COMMIT, Arc::new(configuration))].into();
    step(&mut node, NOW, Input::Tick);
    assert!(leader(&mut node).hands_over());
    assert_eq!(configured(&mut node).len(), 1);
}

#[test]
fn the_same_slots_are_the_same_in_any_order() {
    let mut node = announced();
    let mut turned = slots(3);
    turned.reverse();
    assert_eq!(asked(&mut node, SizeChange { now: turned, ..grow() }), Ok(SizeProgress::Preparing));
    for now in [slots(2), slots(4), vec![slot(0), slot(1), slot(7)]] {
        let answer = asked(&mut announced(), SizeChange { now, ..grow() });
        assert_eq!(answer, Err(SizeRefusal::OtherConfiguration { epoch: 0 }));
    }
}

#[test]
fn both_lists_stand_only_where_they_could_commit_and_a_seat_is_for_whoever_has_learned() {
    let begins = |node: &mut Node, next: Vec<Slot>| {
        node.hosts.next = Some(next.clone());
        let change = SizeChange { epoch: 1, now: slots(3), next: Some(next) };
        assert_eq!(asked(node, change), Ok(SizeProgress::Preparing));
        step(node, NOW, Input::Tick);
        inside(node).configurations.get(1).map(|(_, c)| c.clone())
    };
    // Most of the next list has learned, most of the present one is behind.
    let next = vec![slot(1), slot(3), slot(4)];
    for (behind, stands) in [(true, false), (false, true)] {
        let mut node = announced();
        for n in [3, 4] {
            new_node(&mut node, n, true);
        }
        for n in [0, 2] {
            let progress = leader(&mut node).progress.get_mut(&peer(n)).expect("known");
            progress.matched = if behind { 1 } else { progress.matched };
        }
        assert_eq!(begins(&mut node, next.clone()).is_some(), stands, "{behind}");
    }
    // n3 has learned; n4 has not, and is out of reach; somebody new lives in n0 beside its seat.
    let mut node = announced();
    new_node(&mut node, 3, true);
    new_node(&mut node, 4, false);
    node.peers.remove(&slot(4));
    let beside = Incarnation { slot: slot(0), boot: Boot(u128::MAX) };
    let commit = inside(&mut node).commit;
    let mut progress = super::Progress::new(1);
    (progress.answered_at, progress.matched) = (Some(NOW), commit);
    leader(&mut node).progress.insert(beside.clone(), progress);
    let both = begins(&mut node, slots(5)).expect("it begins");
    let seats: Vec<bool> = [peer(0), beside, peer(3), peer(4)].iter().map(|who| both.seats(who)).collect();
    assert_eq!(seats, [true, false, true, false], "a seat changes hands by a joint configuration only");
}
