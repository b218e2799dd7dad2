//! Rules 5 and 6 at whoever wants to lead: when it asks, whose answers count, and what ends it.

use super::*;
use crate::message::{PreVoteReply, Revoke, VoteReply};
use crate::node::bound::Candidate;

fn due(node: &mut Node) {
    inside(node).part = Part::Follower(Follower { election_at: Some(NOW), ..Follower::default() });
}

fn asks(said: &[Body]) -> (usize, usize) {
    let pre = said.iter().filter(|body| matches!(body, Body::PreVote(ask) if ask.term == TERM + 1)).count();
    let votes = said.iter().filter(|body| matches!(body, Body::Vote(ask) if ask.term == TERM + 1)).count();
    assert_eq!(pre + votes, said.len(), "{said:?}");
    (pre, votes)
}

fn candidate(node: &mut Node, pre: bool) {
    let votes = [node.me().clone()].into();
    inside(node).part = Part::Candidate(Candidate { pre, votes, retry_at: NOW + L });
}

fn is_candidate(node: &mut Node) -> Option<bool> {
    match &inside(node).part {
        Part::Candidate(candidate) => Some(candidate.pre),
        _ => None,
    }
}

#[test]
fn it_asks_before_it_campaigns_unless_it_must_not_vote_itself() {
    type Edit = fn(&mut Node);
    let nothing: Edit = |_| ();
    let cases: [(&str, Edit, usize); 8] = [
        ("its leader is silent", nothing, 2),
        ("it acked within L", |n| inside(n).acked_at = Some(before(NOW, Span(L.0 - 1))), 0),
        ("it acked a lease ago", |n| inside(n).acked_at = Some(before(NOW, L)), 2),
        ("its own lease stands", |n| inside(n).own_lease_end = NOW + Span(1), 0),
        ("its own lease is over", |n| inside(n).own_lease_end = NOW, 2),
        ("it installs a snapshot", |n| inside(n).install = Some(install(TERM)), 0),
        (
            "its list is newer than a generation without a commit",
            |n| {
                (inside(n).active, inside(n).bound_at) = (false, NOW);
                n.hosts = list(1);
            },
            0,
        ),
        (
            "it has no seat",
            |n| {
                let mut configuration = inside(n).latest().expect("configured").as_ref().clone();
                configuration.maps[0].remove(&slot(1));
                inside(n).configurations = [(1, Arc::new(configuration))].into();
            },
            0,
        ),
    ];
    for (case, edit, expected) in cases {
        for waits_as_candidate in [false, true] {
            let mut node = bound();
            edit(&mut node);
            if waits_as_candidate {
                let part = Candidate { pre: true, votes: [].into(), retry_at: NOW };
                inside(&mut node).part = Part::Candidate(part);
            } else {
                due(&mut node);
            }
            let said = step(&mut node, NOW, Input::Tick);
            assert_eq!(asks(&said), (expected, 0), "{case}");
            assert_eq!(inside(&mut node).term, TERM, "{case}: a question changes nothing");
            assert_eq!(is_candidate(&mut node).is_some(), expected > 0, "{case}");
            let next = node.deadline();
            assert!(next > NOW && next <= NOW + L.times(2), "{case}: it tries again");
        }
    }
}

#[test]
fn a_quorum_of_pre_votes_for_the_next_term_makes_it_campaign() {
    for (from, term, granted, campaigns) in [
        (0, TERM + 1, true, true),
        (0, TERM, true, false),
        (0, TERM + 2, true, false),
        (0, TERM, false, false),
        (7, TERM + 1, true, false), // it has no seat
    ] {
        let mut node = bound();
        candidate(&mut node, true);
        let reply = PreVoteReply { term, granted, leader_alive: false };
        let said = tell(&mut node, &peer(from), Body::PreVoteReply(reply));
        assert_eq!(asks(&said), (0, if campaigns { 2 } else { 0 }), "{from}, {term}, {granted}");
        let bound = inside(&mut node);
        assert_eq!(bound.term, if campaigns { TERM + 1 } else { TERM });
        assert_eq!(bound.voted_for.is_some(), campaigns, "its own vote is for itself");
        assert_eq!(node.status(NOW).elections, u64::from(campaigns));
        assert_eq!(is_candidate(&mut node), Some(!campaigns));
    }
}

#[test]
fn a_pre_vote_that_comes_when_it_has_campaigned_does_not_count() {
    let mut node = bound();
    candidate(&mut node, false);
    let reply = PreVoteReply { term: TERM + 1, granted: true, leader_alive: false };
    assert!(tell(&mut node, &peer(0), Body::PreVoteReply(reply)).is_empty());
    assert_eq!((is_candidate(&mut node), inside(&mut node).term), (Some(false), TERM));
}

#[test]
fn whoever_promised_meanwhile_does_not_campaign() {
    let mut node = bound();
    candidate(&mut node, true);
    inside(&mut node).acked_at = Some(NOW);
    let reply = PreVoteReply { term: TERM + 1, granted: true, leader_alive: false };
    assert!(tell(&mut node, &peer(0), Body::PreVoteReply(reply)).is_empty());
    assert_eq!(inside(&mut node).term, TERM);
}

#[test]
fn a_denied_pre_vote_tells_of_a_leader_and_of_a_higher_term() {
    for (term, leader_alive) in
        [(TERM, false), (TERM, true), (TERM - 1, true), (TERM + 3, false), (TERM + 3, true)]
    {
        let mut node = bound();
        candidate(&mut node, true);
        let long_ago = before(NOW, L.times(3));
        let bound = inside(&mut node);
        (bound.leader_sign_at, bound.voted_for) = (long_ago, Some(peer(2)));
        let reply = PreVoteReply { term, granted: false, leader_alive };
        assert!(tell(&mut node, &peer(0), Body::PreVoteReply(reply)).is_empty());
        let bound = inside(&mut node);
        let sign = if leader_alive { NOW } else { long_ago };
        assert_eq!(bound.leader_sign_at, sign, "rule 8: {term}, {leader_alive}");
        assert_eq!(bound.term, term.max(TERM));
        assert_eq!(bound.voted_for.is_some(), term <= TERM, "a vote is for one term");
        assert_eq!(is_candidate(&mut node).is_some(), term <= TERM);
    }
}

#[test]
fn a_quorum_of_votes_of_its_term_makes_it_lead() {
    for (from, term, granted, leads) in [
        (2, TERM, true, true),
        (2, TERM, false, false),
        (2, TERM - 1, true, false),
        (7, TERM, true, false), // it has no seat
    ] {
        let mut node = bound();
        candidate(&mut node, false);
        tell(&mut node, &peer(from), Body::VoteReply(VoteReply { term, granted }));
        assert_eq!(node.is_leader(), leads, "{from}, {term}, {granted}");
        assert_eq!(inside(&mut node).term, TERM);
        assert_eq!(terms(&mut node).len() as Index, LAST.1 + u64::from(leads), "it begins with a no-op");
    }
    let mut node = bound();
    candidate(&mut node, true);
    tell(&mut node, &peer(2), Body::VoteReply(VoteReply { term: TERM, granted: true }));
    assert!(!node.is_leader(), "it only asks yet");
}

#[test]
fn where_votes_are_split_it_tries_again_soon() {
    let waits = |pre, term, retry_at| {
        let mut node = bound();
        candidate(&mut node, pre);
        let Part::Candidate(candidate) = &mut inside(&mut node).part else { panic!("no candidate") };
        candidate.retry_at = retry_at;
        tell(&mut node, &peer(2), Body::VoteReply(VoteReply { term, granted: false }));
        let Part::Candidate(candidate) = &inside(&mut node).part else { panic!("no candidate any more") };
        candidate.retry_at.since(NOW).0
    };
    assert!((L.0 / 4..=L.0 / 2).contains(&waits(false, TERM, NOW + L)));
    assert_eq!(waits(false, TERM, NOW + Span(7)), 7, "it would have tried anyway");
    assert_eq!(waits(false, TERM - 1, NOW + L), L.0, "about an earlier candidacy");
    assert_eq!(waits(true, TERM, NOW + L), L.0, "it has not campaigned yet");
}

#[test]
fn a_higher_term_in_a_vote_ends_a_candidacy_but_no_leadership() {
    let reply = VoteReply { term: TERM + 2, granted: false };
    let mut node = bound();
    candidate(&mut node, false);
    inside(&mut node).voted_for = Some(node.me().clone());
    tell(&mut node, &peer(2), Body::VoteReply(reply.clone()));
    let bound = inside(&mut node);
    assert_eq!((bound.term, bound.voted_for.clone()), (TERM + 2, None));
    assert_eq!(is_candidate(&mut node), None);
    // A leader hears of higher terms from those who should follow it, and first lets its lease end (rule 6).
    let mut node = leading();
    tell(&mut node, &peer(2), Body::VoteReply(reply));
    assert!(node.is_leader() && inside(&mut node).term == TERM);
    let reply = PreVoteReply { term: TERM + 2, granted: false, leader_alive: false };
    tell(&mut node, &peer(2), Body::PreVoteReply(reply));
    assert!(node.is_leader() && inside(&mut node).term == TERM);
}

#[test]
fn a_leader_whose_lease_is_over_makes_way_for_a_higher_term() {
    use crate::message::Vote;
    let ask = |term| {
        let (last_term, last_index) = (TERM + 1, 99);
        Body::Vote(Vote { term, last_index, last_term, founding_epoch: 0, handed_over_by: None })
    };
    let mut node = leading();
    inside(&mut node).own_lease_end = NOW + Span(1);
    assert!(tell(&mut node, &peer(2), ask(TERM + 1)).is_empty());
    assert!(node.is_leader());
    inside(&mut node).own_lease_end = NOW;
    tell(&mut node, &peer(2), ask(TERM + 1));
    assert!(!node.is_leader());
    let bound = inside(&mut node);
    assert_eq!((bound.term, bound.voted_for.clone()), (TERM + 1, Some(peer(2))));
}

#[test]
fn only_its_own_leader_can_make_a_voter_campaign_at_once() {
    let follow = |node: &mut Node| {
        let bound = inside(node);
        bound.acked_at = Some(NOW);
        let part = Follower { leader: Some(peer(0)), election_at: Some(NOW + L), out_of_reach: false };
        bound.part = Part::Follower(part);
    };
    type Edit = fn(&mut Node);
    let nothing: Edit = |_| ();
    let cases: [(&str, u8, Term, Edit, bool); 6] = [
        ("", 0, TERM, nothing, true),
        ("not its leader", 2, TERM, nothing, false),
        ("an older term", 0, TERM - 1, nothing, false),
        ("a later term", 0, TERM + 1, nothing, false),
        ("it installs a snapshot", 0, TERM, |n| inside(n).install = Some(install(TERM)), false),
        (
            "its list is newer than a generation without a commit",
            0,
            TERM,
            |n| {
                (inside(n).active, inside(n).bound_at) = (false, NOW);
                n.hosts = list(1);
            },
            false,
        ),
    ];
    for (case, from, term, edit, campaigns) in cases {
        let mut node = bound();
        follow(&mut node);
        edit(&mut node);
        let said = tell(&mut node, &peer(from), Body::TimeoutNow(Revoke { term }));
        assert_eq!(asks(&said), (0, if campaigns { 2 } else { 0 }), "{case}");
        assert_eq!(inside(&mut node).term, if campaigns { TERM + 1 } else { TERM }, "{case}");
        for body in said {
            assert!(matches!(body, Body::Vote(ask) if ask.handed_over_by == Some(TERM)), "it names the term");
        }
    }
}

#[test]
fn a_lost_link_to_the_leader_makes_it_ask_sooner_but_not_before_its_promise_ends() {
    let at = |node: &mut Node| match &inside(node).part {
        Part::Follower(f) => (f.election_at.expect("it waits"), f.out_of_reach),
        _ => panic!("it follows"),
    };
    let late = NOW + L.times(2);
    for (lost, acked_at, earliest) in [
        (0, NOW, NOW + L),
        (0, before(NOW, L.times(2)), NOW),
        (2, NOW, late), // nobody follows that one
    ] {
        let mut node = bound();
        let bound = inside(&mut node);
        bound.acked_at = Some(acked_at);
        let part = Follower { leader: Some(peer(0)), election_at: Some(late), out_of_reach: false };
        bound.part = Part::Follower(part);
        step(&mut node, NOW, Input::LinkLost(slot(lost)));
        let (at, out_of_reach) = at(&mut node);
        let spread = Span(L.0 / 8);
        assert!(at >= earliest && (at < earliest + spread || lost == 2), "{lost}: {at:?}, {earliest:?}");
        assert_eq!(out_of_reach, lost == 0);
    }
}
