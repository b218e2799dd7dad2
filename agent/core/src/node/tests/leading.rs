//! What a leader makes of answers (Raft §5.3, §5.4.2), when it stops leading, and what it keeps of the log.

use super::*;
use crate::message::Revoke;

fn progress<'a>(node: &'a mut Node, who: &Incarnation) -> &'a mut Progress {
    leader(node).progress.get_mut(who).expect("it is known")
}

/// Its no-op.
const NOOP: Index = LAST.1 + 1;

fn commit(node: &mut Node) -> Index {
    step(node, NOW, Input::Tick);
    inside(node).commit
}

#[test]
fn a_leader_commits_what_a_quorum_holds_of_its_own_term_only() {
    let mut node = leading();
    tell(&mut node, &peer(0), Body::AppendReply(ack(LAST.1)));
    tell(&mut node, &peer(2), Body::AppendReply(ack(LAST.1)));
    assert_eq!(commit(&mut node), COMMIT, "all hold it, but it is of an earlier term");
    tell(&mut node, &peer(2), Body::AppendReply(ack(NOOP)));
    assert_eq!(commit(&mut node), NOOP, "two of three");
    node.append(Payload::Noop);
    assert_eq!(commit(&mut node), NOOP, "its own is one of three");
    tell(&mut node, &peer(7), Body::AppendReply(ack(NOOP + 1)));
    assert_eq!(commit(&mut node), NOOP, "no seat");
}

#[test]
fn a_newer_list_keeps_a_leader_from_committing_the_first_entry_only() {
    for (active, epoch, commits) in [(false, 0, true), (false, 1, false), (true, 1, true)] {
        let mut node = leading_with(settings(), list(epoch));
        (inside(&mut node).active, inside(&mut node).bound_at) = (active, NOW);
        tell(&mut node, &peer(0), Body::AppendReply(ack(NOOP)));
        assert_eq!(commit(&mut node) == NOOP, commits, "{active}, list {epoch}");
    }
}

#[test]
fn an_answer_counts_for_the_leadership_that_asked() {
    let late = Span(1);
    for (case, reply, counts) in [
        ("", ack(NOOP), true),
        ("of an earlier term", AppendReply { term: TERM - 1, ..ack(NOOP) }, false),
        ("sent before it led", AppendReply { sent_at: before(NOW, late), ..ack(NOOP) }, false),
    ] {
        let mut node = leading();
        tell(&mut node, &peer(0), Body::AppendReply(reply));
        let progress = progress(&mut node, &peer(0));
        let expected = if counts { (NOOP, Some(NOW), Some(NOW)) } else { (0, None, None) };
        assert_eq!((progress.matched, progress.acked_sent_at, progress.answered_at), expected, "{case}");
        assert_eq!(commit(&mut node) == NOOP, counts, "{case}");
    }
}

#[test]
fn what_was_acked_never_goes_back() {
    let mut node = leading();
    let late = AppendReply { applied: 5, clock: Time(50), ..ack(NOOP) };
    tell(&mut node, &peer(0), Body::AppendReply(late));
    let early = AppendReply { index: 2, applied: 1, clock: Time(10), ..ack(2) };
    tell(&mut node, &peer(0), Body::AppendReply(early));
    let progress = progress(&mut node, &peer(0));
    assert_eq!(
        (progress.matched, progress.next, progress.applied, progress.clock),
        (NOOP, NOOP + 1, 5, Some(Time(50)))
    );
}

#[test]
fn a_gap_is_sent_again_once() {
    let gap = |index| AppendReply { accepted: false, ..ack(index) };
    let mut node = leading();
    let peer = peer(0);
    progress(&mut node, &peer).sent(NOOP, 100);
    // (could match, continues after)
    tell(&mut node, &peer, Body::AppendReply(gap(4)));
    assert_eq!((progress(&mut node, &peer).next, progress(&mut node, &peer).inflight_bytes()), (5, 0));
    // Two answers about what was sent before: the first one says it all.
    node.now = NOW + Span(9);
    let said = gap(2);
    tell(&mut node, &peer, Body::AppendReply(said));
    assert_eq!(progress(&mut node, &peer).next, 3, "at the same moment it cannot be told from a new one");
    progress(&mut node, &peer).sent(NOOP, 100);
    tell(&mut node, &peer, Body::AppendReply(gap(2)));
    assert_eq!(progress(&mut node, &peer).next, NOOP + 1, "sent before the last gap was heard of");
    // What it acked it has.
    let newer = |reply: AppendReply| AppendReply { sent_at: NOW + Span(9), ..reply };
    tell(&mut node, &peer, Body::AppendReply(newer(ack(5))));
    tell(&mut node, &peer, Body::AppendReply(newer(gap(4))));
    assert_eq!(progress(&mut node, &peer).next, NOOP + 1);
    tell(&mut node, &peer, Body::AppendReply(newer(gap(5))));
    assert_eq!(progress(&mut node, &peer).next, 6);
    tell(&mut node, &peer, Body::AppendReply(newer(gap(5))));
    assert_eq!(progress(&mut node, &peer).next, 6, "nothing was sent since");
}

#[test]
fn what_is_acked_is_no_longer_in_flight() {
    let mut node = leading();
    let progress = progress(&mut node, &peer(0));
    progress.next = 5;
    for (last, bytes) in [(5, 100), (6, 10), (NOOP, 1)] {
        progress.sent(last, bytes);
    }
    assert_eq!((progress.inflight_bytes(), progress.next), (111, NOOP + 1));
    for (index, left) in [(4, 111), (5, 11), (6, 1), (NOOP, 0)] {
        tell(&mut node, &peer(0), Body::AppendReply(ack(index)));
        let progress = leader(&mut node).progress.get(&peer(0)).expect("known");
        assert_eq!((progress.inflight_bytes(), progress.next), (left, NOOP + 1), "{index}");
    }
}

#[test]
fn no_more_is_in_flight_to_a_peer_than_its_window() {
    let one = entry(1, 1).size();
    let mut node = leading_with(Settings { window_bytes: 3 * one, ..settings() }, list(0));
    let entries = |said: Vec<(Slot, Body)>| -> Vec<Index> {
        let to_one = said.into_iter().filter(|(to, _)| *to == slot(0));
        let entries = to_one.filter_map(|(_, body)| match body {
            Body::Append(append) => Some(append.entries),
            _ => None,
        });
        entries.flatten().map(|entry| entry.index).collect()
    };
    tell(&mut node, &peer(0), Body::AppendReply(AppendReply { accepted: false, ..ack(2) }));
    tell(&mut node, &peer(0), Body::AppendReply(ack(2)));
    assert_eq!(entries(sent(&mut node, NOW, Input::Tick)), [3, 4, 5]);
    assert!(entries(sent(&mut node, NOW, Input::Tick)).is_empty(), "the window is full");
    tell(&mut node, &peer(0), Body::AppendReply(ack(3)));
    assert!(entries(sent(&mut node, NOW, Input::Tick)).is_empty(), "what is in one Append leaves it at once");
    tell(&mut node, &peer(0), Body::AppendReply(ack(5)));
    assert_eq!(entries(sent(&mut node, NOW, Input::Tick)), [6, NOOP]);
}

#[test]
fn whoever_lacks_what_the_log_begins_after_learns_anew() {
    let refusal = AppendReply { accepted: false, ..ack(0) };
    for (asked, behind) in
        [(None, false), (Some(NOW + Span(1)), false), (Some(NOW), true), (Some(before(NOW, L)), true)]
    {
        let mut node = leading();
        progress(&mut node, &peer(0)).asked_for_base = asked;
        let said = tell(&mut node, &peer(0), Body::AppendReply(refusal.clone()));
        assert_eq!(
            said,
            if behind { vec![Body::Behind(Revoke { term: TERM })] } else { Vec::new() },
            "{asked:?}"
        );
    }
    // A learner that holds nothing gets a snapshot instead.
    for (matched, behind) in [(0, false), (1, true)] {
        let mut node = leading();
        let learner = learner(&mut node, 7);
        (learner.matched, learner.asked_for_base) = (matched, Some(NOW));
        let said = tell(&mut node, &peer(7), Body::AppendReply(refusal.clone()));
        assert_eq!(!said.is_empty(), behind);
    }
}

#[test]
fn a_higher_term_ends_a_leadership_when_its_lease_is_over() {
    let mut node = serving();
    let end = leader(&mut node).lease_end;
    assert_eq!(end, NOW + L.shrunk());
    tell(&mut node, &peer(2), Body::AppendReply(AppendReply { term: TERM + 3, ..ack(NOOP) }));
    assert_eq!(progress(&mut node, &peer(2)).matched, NOOP);
    node.append(Payload::Noop);
    let later = AppendReply { sent_at: NOW + Span(10), ..ack(NOOP + 1) };
    let message = message(&node, &peer(0), Body::AppendReply(later));
    step(&mut node, NOW + Span(20), Input::Message(message));
    step(&mut node, before(end, Span(1)), Input::Tick);
    assert!(node.is_leader(), "its readers have its word");
    assert_eq!(leader(&mut node).lease_end, end, "it is not made longer");
    let mut out = outputs(&mut node, end, Input::Tick);
    out.retain(|output| matches!(output, Output::Event(Event::SteppedDown { term: TERM, .. })));
    assert_eq!((node.is_leader(), out.len()), (false, 1));
    let bound = inside(&mut node);
    assert_eq!((bound.term, bound.voted_for.clone()), (TERM + 3, None), "it campaigns higher");
    // At once, if it has no lease.
    let mut node = leading();
    tell(&mut node, &peer(2), Body::AppendReply(AppendReply { term: TERM + 3, ..ack(NOOP) }));
    step(&mut node, NOW, Input::Tick);
    assert!(!node.is_leader());
}

#[test]
fn a_leader_without_a_quorum_for_two_leases_stops() {
    let mut node = serving();
    step(&mut node, NOW + L.times(2), Input::Tick);
    assert!(node.is_leader());
    assert_eq!(node.replica.lease(), None, "nobody reads from it meanwhile");
    step(&mut node, NOW + L.times(2) + Span(1), Input::Tick);
    assert!(!node.is_leader());
    let bound = inside(&mut node);
    assert_eq!((bound.term, bound.leader_sign_at), (TERM, NOW), "rule 8 counts from its last quorum");
    assert!(bound.echo.is_some_and(|echo| echo.at == NOW + L.times(2) + Span(1)), "it keeps the log's time");
}

#[test]
fn a_quorum_of_one_is_never_lost() {
    for frozen in [L, Span(L.0 + 1), L.times(3), L.times(100)] {
        let mut node = serving_with(settings(), HostList::fixed(vec![slot(1)]));
        assert_eq!(inside(&mut node).commit, NOOP);
        step(&mut node, NOW + frozen, Input::Tick);
        assert!(node.is_leader(), "{frozen:?}");
    }
}

#[test]
fn a_leader_begins_with_a_no_op_unless_it_founded() {
    // (entries in its log, its term) → entries then
    for (entries, term, then) in [(1, TERM, 2), (1, 1, 1), (6, 4, 7)] {
        let mut node = bound();
        let bound = inside(&mut node);
        bound.commit = 0;
        bound.truncate(entries);
        bound.term = term;
        node.lead(term);
        assert_eq!(terms(&mut node).len(), then, "{entries}, {term}");
        assert_eq!(leader(&mut node).first_index, then as Index);
        assert_eq!(inside(&mut node).log.last_term(), term);
    }
}

#[test]
fn what_waits_for_a_commit_is_counted() {
    let mut node = serving();
    assert_eq!(leader(&mut node).pending_bytes, 0);
    let one = entry(1, 1).size();
    for _ in 0..2 {
        node.append(Payload::Noop);
    }
    assert_eq!(leader(&mut node).pending_bytes, 2 * one);
    tell(&mut node, &peer(0), Body::AppendReply(ack(NOOP + 1)));
    step(&mut node, NOW, Input::Tick);
    assert_eq!(leader(&mut node).pending_bytes, one);
}

#[test]
fn the_log_is_kept_for_a_learner_that_answers() {
    let patience = L.times(5);
    let late = before(NOW, patience);
    let almost = before(NOW, Span(patience.0 - 1));
    // (who, what is kept for it, when it answered) → kept after
    for (who, pinned, answered_at, kept) in [
        (7, Some(2), Some(NOW), 2),
        (7, Some(2), Some(almost), 2),
        (7, Some(2), Some(late), 6), // gone
        (7, Some(2), None, 6),
        (7, None, Some(NOW), 6),
        (7, Some(9), Some(NOW), 6),
        (0, Some(2), Some(NOW), 6), // whoever has a seat learns anew
    ] {
        let mut node = leading();
        let progress = learner(&mut node, who);
        (progress.pinned, progress.answered_at) = (pinned, answered_at);
        let bound = inside(&mut node);
        let configurations = bound.configurations.clone();
        let keep = leader(&mut node).keep_log_after(6, &configurations, NOW, patience);
        assert_eq!(keep, kept, "{who}, {pinned:?}, {answered_at:?}");
    }
}

#[test]
fn the_log_is_kept_until_a_learner_has_caught_up_once() {
    let mut node = serving();
    learner(&mut node, 7).pinned = Some(2);
    for (matched, pinned) in [(4, Some(4)), (NOOP - 1, Some(NOOP - 1)), (NOOP, None), (5, None)] {
        tell(&mut node, &peer(7), Body::AppendReply(ack(matched)));
        assert_eq!(progress(&mut node, &peer(7)).pinned, pinned, "{matched}");
    }
}
