//! What an Append does to whoever gets it: the log (Raft §5.3), rules 3b, 6, 7, 10 and 11.

use super::*;
use crate::message::Revoke;
use crate::node::bound::{Candidate, Echo};
use crate::replica::Lease;

/// The answer's (term, accepted, index).
fn appended(node: &mut Node, append: Append) -> Option<(Term, bool, Index)> {
    let sent_at = append.sent_at;
    let said = tell(node, &peer(0), Body::Append(append));
    match said.as_slice() {
        [] => None,
        [Body::AppendReply(reply)] => {
            let AppendReply { term, accepted, index, .. } = *reply;
            assert_eq!((reply.sent_at, reply.clock), (sent_at, NOW));
            assert_eq!(reply.applied, node.replica.store().applied(), "what it has applied now");
            Some((term, accepted, index))
        }
        other => panic!("it said {other:?}"),
    }
}

fn follows(node: &mut Node) -> Option<Incarnation> {
    match &inside(node).part {
        Part::Follower(follower) => follower.leader.clone(),
        _ => None,
    }
}

#[test]
fn only_a_leader_of_its_term_or_a_higher_one_is_obeyed() {
    for (term, expected) in
        [(TERM - 1, (TERM, false, 0)), (TERM, (TERM, true, 6)), (TERM + 2, (TERM + 2, true, 6))]
    {
        let mut node = bound();
        let part = Candidate { pre: false, votes: [].into(), retry_at: NOW + L };
        let bound = inside(&mut node);
        (bound.part, bound.voted_for) = (Part::Candidate(part), Some(peer(2)));
        assert_eq!(appended(&mut node, Append { term, ..heartbeat() }), Some(expected));
        let obeys = term >= TERM;
        assert_eq!(follows(&mut node), obeys.then(|| peer(0)));
        let bound = inside(&mut node);
        assert_eq!(bound.term, expected.0);
        assert_eq!(bound.acked_at, obeys.then_some(NOW), "rule 6: what it acked, and when");
        assert_eq!(bound.voted_for.is_some(), term <= TERM, "in its term it has voted, whoever leads");
    }
}

#[test]
fn whoever_is_told_by_its_leader_waits_for_it_again() {
    let mut node = bound();
    for _ in 0..2 {
        let part = Follower { leader: Some(peer(0)), election_at: Some(NOW + Span(1)), out_of_reach: true };
        inside(&mut node).part = Part::Follower(part);
        appended(&mut node, heartbeat());
        let Part::Follower(follower) = &inside(&mut node).part else { panic!("it follows") };
        let at = follower.election_at.expect("it will ask at some time");
        assert!(at >= NOW + L && at < NOW + L.times(2), "{at:?}");
        assert!(!follower.out_of_reach);
    }
}

#[test]
fn a_leader_obeys_a_higher_term_though_its_lease_stands() {
    let mut node = leading();
    let bound = inside(&mut node);
    bound.own_lease_end = NOW + L;
    let Some(leader) = bound.leader() else { panic!("it leads") };
    leader.lease_end = NOW + L;
    // Its own no-op is at 7; another leader's heartbeat matches what was before.
    assert_eq!(appended(&mut node, Append { term: TERM + 1, ..heartbeat() }), Some((TERM + 1, true, 6)));
    assert!(!node.is_leader());
    assert_eq!(inside(&mut node).own_lease_end, NOW + L, "and is bound by it all the same");
}

#[test]
fn a_newer_list_than_the_founding_is_silent_until_something_is_committed() {
    // (known to be committed, list, founded under, the leader's commit) → (answered, known then)
    for (active, epoch, founding_epoch, commit, answered, known) in [
        (false, 1, 0, 0, false, false),
        (false, 1, 0, 1, true, true),
        (false, 1, 1, 0, true, false),
        (false, 0, 1, 0, true, false),
        (false, 0, 0, 3, true, true),
        (true, 1, 0, 0, true, true),
        (true, 0, 0, 3, true, true),
    ] {
        // In the founder's term as in any later one.
        for term in [1, 2, TERM] {
            let case = format!("{active}, list {epoch}, founded under {founding_epoch}, {commit}, {term}");
            let mut node = bound_with(settings(), list(epoch));
            let bound = inside(&mut node);
            (bound.active, bound.bound_at, bound.term) = (active, NOW, 1);
            let append = Append { term, founding_epoch, commit, ..heartbeat() };
            assert_eq!(appended(&mut node, append).is_some(), answered, "{case}");
            let bound = inside(&mut node);
            assert_eq!(bound.active, known, "{case}");
            assert_eq!(bound.term, if answered { term } else { 1 }, "{case}");
            assert_eq!(bound.acked_at.is_some(), answered, "{case}");
        }
    }
}

#[test]
fn the_log_becomes_the_leaders() {
    type Case = (&'static str, (Index, Term), &'static [Term], (bool, Index), &'static [Term]);
    let cases: [Case; 13] = [
        ("heartbeat", (6, 4), &[], (true, 6), &[1, 1, 2, 2, 4, 4]),
        ("heartbeat in the middle", (4, 2), &[], (true, 4), &[1, 1, 2, 2, 4, 4]),
        ("next ones", (6, 4), &[5, 5], (true, 8), &[1, 1, 2, 2, 4, 4, 5, 5]),
        ("a gap", (7, 5), &[5], (false, 6), &[1, 1, 2, 2, 4, 4]),
        ("a wide gap", (90, 5), &[], (false, 6), &[1, 1, 2, 2, 4, 4]),
        ("doubles", (3, 2), &[2, 4], (true, 5), &[1, 1, 2, 2, 4, 4]),
        ("doubles and new ones", (5, 4), &[4, 5], (true, 7), &[1, 1, 2, 2, 4, 4, 5]),
        ("another end", (4, 2), &[5], (true, 5), &[1, 1, 2, 2, 5]),
        ("another end, later", (5, 4), &[5, 5], (true, 7), &[1, 1, 2, 2, 4, 5, 5]),
        ("another end after doubles", (3, 2), &[2, 5, 5], (true, 6), &[1, 1, 2, 2, 5, 5]),
        ("another one before: its whole term is skipped", (6, 5), &[], (false, 4), &[1, 1, 2, 2, 4, 4]),
        ("another one before, of a term of one", (5, 3), &[5], (false, 4), &[1, 1, 2, 2, 4, 4]),
        ("but not what is committed", (4, 3), &[5], (false, 3), &[1, 1, 2, 2, 4, 4]),
    ];
    for (case, (prev_index, prev_term), new, (accepted, index), expected) in cases {
        let mut node = bound();
        let entries = (prev_index + 1..).zip(new).map(|(index, term)| entry(index, *term)).collect();
        let answer = appended(&mut node, Append { prev_index, prev_term, entries, ..heartbeat() });
        assert_eq!(answer, Some((TERM, accepted, index)), "{case}");
        assert_eq!(terms(&mut node), expected, "{case}");
        assert_eq!(inside(&mut node).commit, COMMIT, "{case}");
    }
}

#[test]
fn what_is_compacted_is_taken_as_equal() {
    let compacted = || {
        let mut node = bound_with(Settings { ring_bytes: 0, ..settings() }, list(0));
        node.compact();
        assert_eq!(inside(&mut node).log.base_index(), COMMIT);
        node
    };
    type Case = (&'static str, (Index, Term), &'static [Term], (bool, Index), &'static [Term]);
    let cases: [Case; 5] = [
        ("all of it is forgotten", (0, 0), &[1, 1], (true, 2), &[2, 4, 4]),
        ("some of it is", (1, 1), &[1, 2, 2, 4], (true, 5), &[2, 4, 4]),
        ("some of it is, and the rest is another", (1, 1), &[1, 2, 5], (true, 4), &[5]),
        ("it begins where the log does", (3, 2), &[2], (true, 4), &[2, 4, 4]),
        ("nothing comes after it", (2, 1), &[], (true, 2), &[2, 4, 4]),
    ];
    for (case, (prev_index, prev_term), new, (accepted, index), expected) in cases {
        let mut node = compacted();
        let entries = (prev_index + 1..).zip(new).map(|(index, term)| entry(index, *term)).collect();
        let answer = appended(&mut node, Append { prev_index, prev_term, entries, ..heartbeat() });
        assert_eq!(answer, Some((TERM, accepted, index)), "{case}");
        assert_eq!(terms(&mut node), expected, "{case}");
    }
}

#[test]
fn a_configuration_that_is_replaced_in_the_log_counts_no_more() {
    let mut node = bound();
    let configuration = inside(&mut node).latest().expect("configured").clone();
    let payload = Payload::Configuration(configuration);
    let configure = |index| Arc::new(Entry { term: TERM, index, time: LogTime(9), payload: payload.clone() });
    let append =
        Append { prev_index: 6, prev_term: 4, entries: vec![configure(7), configure(8)], ..heartbeat() };
    appended(&mut node, append);
    let at = |node: &mut Node| inside(node).configurations.iter().map(|(at, _)| *at).collect::<Vec<_>>();
    assert_eq!(at(&mut node), [1, 7, 8]);
    let append = Append { term: TERM + 1, prev_index: 7, prev_term: TERM, ..heartbeat() };
    appended(&mut node, Append { entries: vec![entry(8, TERM + 1)], ..append });
    assert_eq!(at(&mut node), [1, 7], "the one that is kept counts");
    inside(&mut node).truncate(0);
    assert_eq!((at(&mut node), terms(&mut node).len()), (vec![1], 3), "never anything committed");
}

#[test]
fn no_more_is_committed_than_is_known_to_match() {
    for (prev_index, prev_term, commit, expected) in
        [(6, 4, 5, 5), (6, 4, 9, 6), (4, 2, 6, 4), (6, 4, 1, 3), (7, 4, 6, 3), (6, 3, 6, 3)]
    {
        let mut node = bound();
        appended(&mut node, Append { prev_index, prev_term, commit, ..heartbeat() });
        assert_eq!(inside(&mut node).commit, expected, "{prev_index}, {commit}");
        assert_eq!(node.replica.store().applied(), expected);
    }
}

#[test]
fn an_append_of_a_later_leader_ends_a_snapshot_and_one_of_the_same_does_not() {
    for (term, installing) in [(TERM, true), (TERM + 1, false)] {
        let mut node = free();
        node.bind(GENERATION, TERM, 0);
        let chunk = chunk(&mut bound(), TERM);
        tell(&mut node, &peer(0), Body::SnapshotChunk(chunk));
        let append = Append { term, prev_index: 0, prev_term: 0, entries: vec![entry(1, 1)], ..heartbeat() };
        let answer = appended(&mut node, append);
        assert_eq!(inside(&mut node).install.is_some(), installing);
        assert_eq!(answer, Some(if installing { (TERM, false, 0) } else { (TERM + 1, true, 1) }));
    }
}

fn lease(node: &Node) -> Option<(Term, Index, Time)> {
    node.replica.lease().map(|lease| (lease.term, lease.commit, lease.end))
}

#[test]
fn a_read_lease_is_for_voters_and_counts_from_when_it_was_asked_for() {
    let echo = before(NOW, Span(100_000));
    let rest = Span(500_000);
    // rest·(1−ρ)/(1+ρ), rounded down, on this node's clock.
    let end = echo + Span(500_000 * 99 / 101);
    type Edit = fn(&mut Node);
    let nothing: Edit = |_| ();
    let cases: [(&str, Edit, Option<Grant>, bool); 8] = [
        ("", nothing, grant(echo, rest), true),
        ("none is granted", nothing, None, false),
        ("the leader had none", nothing, grant(echo, Span(0)), false),
        ("it gave them back", |n| inside(n).revoked_in = Some(TERM), grant(echo, rest), false),
        (
            "it gave an earlier leader's back",
            |n| inside(n).revoked_in = Some(TERM - 1),
            grant(echo, rest),
            true,
        ),
        (
            "the clock jumped since",
            |n| inside(n).leases_after = before(NOW, Span(100_000)),
            grant(echo, rest),
            false,
        ),
        (
            "the clock jumped before",
            |n| inside(n).leases_after = before(NOW, Span(100_001)),
            grant(echo, rest),
            true,
        ),
        (
            "it has no seat",
            |n| {
                let mut configuration = inside(n).latest().expect("configured").as_ref().clone();
                configuration.maps[0].remove(&slot(1));
                inside(n).was_seated = false;
                inside(n).configurations = [(1, Arc::new(configuration))].into();
            },
            grant(echo, rest),
            false,
        ),
    ];
    for (case, edit, grant, leased) in cases {
        let mut node = bound();
        edit(&mut node);
        appended(&mut node, Append { grant, ..heartbeat() });
        assert_eq!(lease(&node), leased.then_some((TERM, COMMIT, end)), "{case}");
        assert!(inside(&mut node).lease_to_come.is_none(), "{case}");
    }
}

#[test]
fn a_lease_waits_for_what_it_requires() {
    let mut node = bound();
    let echo = before(NOW, Span(100_000));
    appended(
        &mut node,
        Append { prev_index: 4, prev_term: 2, commit: 6, grant: grant(echo, L), ..heartbeat() },
    );
    assert_eq!((lease(&node), inside(&mut node).commit), (None, 4));
    assert!(inside(&mut node).lease_to_come.is_some());
    appended(&mut node, Append { commit: 6, ..heartbeat() });
    assert_eq!(lease(&node), Some((TERM, 6, echo + L.shrunk())));
}

#[test]
fn of_one_leaders_leases_the_later_end_holds_and_of_two_leaders_the_later_leaders() {
    let echo = before(NOW, Span(100_000));
    let earlier = before(NOW, Span(200_000));
    for (term, end) in [(TERM, echo + L.shrunk()), (TERM + 1, earlier + L.shrunk())] {
        let mut node = bound();
        appended(&mut node, Append { grant: grant(echo, L), ..heartbeat() });
        appended(&mut node, Append { term, grant: grant(earlier, L), ..heartbeat() });
        assert_eq!(lease(&node), Some((term, COMMIT, end)));
    }
}

#[test]
fn a_lease_is_given_back_when_its_own_leader_asks() {
    for (term, gives) in [(TERM - 1, false), (TERM, true), (TERM + 1, false)] {
        let mut node = bound();
        appended(&mut node, Append { grant: grant(before(NOW, Span(1)), L), ..heartbeat() });
        let said = tell(&mut node, &peer(0), Body::Revoke(Revoke { term }));
        let expected = if gives { vec![Body::RevokeReply(Revoke { term })] } else { Vec::new() };
        assert_eq!(said, expected);
        assert_eq!(lease(&node).is_none(), gives);
        appended(&mut node, Append { grant: grant(before(NOW, Span(1)), L), ..heartbeat() });
        assert_eq!(lease(&node).is_none(), gives, "nor does a late one count");
    }
    let mut node = leading();
    assert!(
        tell(&mut node, &peer(0), Body::Revoke(Revoke { term: TERM })).is_empty(),
        "a leader holds its own"
    );
}

/// (term, log time, at) of what is known of the log's time after an echo of each kind.
fn hears(old: Option<Echo>, leases_after: Time, new: (Term, LogTime, Time)) -> (Term, LogTime, Time) {
    let mut node = bound();
    let bound = inside(&mut node);
    (bound.echo, bound.leases_after) = (old, leases_after);
    let (term, log_time, at) = new;
    appended(&mut node, Append { term, log_time, grant: grant(at, Span(0)), ..heartbeat() });
    let echo = inside(&mut node).echo.expect("it has heard");
    (echo.term, echo.log_time, echo.at)
}

#[test]
fn the_nearest_word_on_the_logs_time_holds_within_a_term() {
    let at = before(NOW, Span(1000));
    let old = Echo { term: TERM, log_time: LogTime(5000), at };
    let kept = (TERM, LogTime(5000), at);
    let never = Time(0);
    // What it says of this moment: 5000 + 1000·101/99, rounded up = 6021.
    for (new, expected) in [
        ((TERM, LogTime(6020), NOW), true),  // less
        ((TERM, LogTime(6021), NOW), false), // the same
        ((TERM, LogTime(6022), NOW), false), // more
        ((TERM, LogTime(3000), before(NOW, Span(2000))), true),
        ((TERM, LogTime(4900), before(NOW, Span(2000))), false), // said earlier, and says more of now
        ((TERM + 1, LogTime(9000), NOW), true),                  // another leader
    ] {
        assert_eq!(hears(Some(old), never, new), if expected { new } else { kept }, "{new:?}");
    }
    assert_eq!(hears(None, never, (TERM, LogTime(9), NOW)), (TERM, LogTime(9), NOW));
}

#[test]
fn a_clock_that_jumped_says_nothing_of_the_logs_time() {
    let old = Echo { term: TERM, log_time: LogTime(5000), at: before(NOW, Span(10)) };
    let kept = (TERM, LogTime(5000), before(NOW, Span(10)));
    // It jumped when the clock showed what the old one was told with, or before.
    for (jumped, holds) in [(before(NOW, Span(10)), false), (before(NOW, Span(11)), true)] {
        let new = (TERM, LogTime(9000), NOW);
        assert_eq!(hears(Some(old), jumped, new), if holds { kept } else { new });
    }
    // The new one was told with a clock from before the jump.
    for (at, taken) in [(before(NOW, Span(20)), false), (before(NOW, Span(19)), true)] {
        let new = (TERM, LogTime(0), at);
        assert_eq!(hears(Some(old), before(NOW, Span(20)), new), if taken { new } else { kept });
    }
}

#[test]
fn a_reader_judges_expiry_by_the_nearest_word_on_the_logs_time() {
    let at = |node: &Node| node.replica.lease().map(|l: Lease| (l.log_time, l.log_time_at));
    let mut node = bound();
    let echo = before(NOW, Span(1000));
    appended(&mut node, Append { log_time: LogTime(5000), grant: grant(echo, L), ..heartbeat() });
    appended(&mut node, Append { log_time: LogTime(7000), grant: grant(NOW, L), ..heartbeat() });
    assert_eq!(at(&node), Some((LogTime(5000), echo)));
    appended(&mut node, Append { log_time: LogTime(6000), grant: grant(NOW, L), ..heartbeat() });
    assert_eq!(at(&node), Some((LogTime(6000), NOW)));
}

#[test]
fn whoever_fell_behind_is_told_so_by_its_leader_only() {
    for (from, term, wiped) in [(0, TERM, true), (2, TERM, false), (0, TERM - 1, false), (0, TERM + 1, false)]
    {
        let mut node = bound();
        appended(&mut node, heartbeat());
        let me = node.me().clone();
        tell(&mut node, &peer(from), Body::Behind(Revoke { term }));
        assert_eq!(node.inside().is_none(), wiped, "{from}, {term}");
        assert_eq!(*node.me() != me, wiped, "a new incarnation");
    }
}
