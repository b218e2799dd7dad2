//! Rules 3b, 5 and 6 at whoever is asked for a vote: who gets one, who is refused, and who is not heard at all.

use super::*;
use crate::message::{PreVote, PreVoteReply, Vote, VoteReply};

fn vote() -> Vote {
    Vote { term: TERM + 1, last_index: LAST.1, last_term: LAST.0, founding_epoch: 0, handed_over_by: None }
}

/// The answer's (term, granted).
fn asked(node: &mut Node, vote: Vote) -> Option<(Term, bool)> {
    let said = tell(node, &peer(0), Body::Vote(vote));
    match said.as_slice() {
        [] => None,
        [Body::VoteReply(VoteReply { term, granted })] => Some((*term, *granted)),
        other => panic!("it said {other:?}"),
    }
}

fn pre_vote() -> PreVote {
    PreVote { term: TERM + 1, last_index: LAST.1, last_term: LAST.0, founding_epoch: 0 }
}

/// The answer's (term, granted, leader alive).
fn pre_asked(node: &mut Node, ask: PreVote) -> Option<(Term, bool, bool)> {
    let (term, voted_for) = (inside(node).term, inside(node).voted_for.clone());
    let said = tell(node, &peer(0), Body::PreVote(ask));
    assert_eq!((inside(node).term, inside(node).voted_for.clone()), (term, voted_for), "it changes nothing");
    match said.as_slice() {
        [] => None,
        [Body::PreVoteReply(PreVoteReply { term, granted, leader_alive })] => {
            Some((*term, *granted, *leader_alive))
        }
        other => panic!("it said {other:?}"),
    }
}

#[test]
fn one_vote_in_a_term_for_whoever_holds_as_much() {
    let higher = TERM + 1;
    // (term asked, whom it has voted for in term 5, the candidate's last (term, index)) → (term, granted)
    let cases = [
        (TERM - 1, None, LAST, (TERM, false)),
        (TERM, None, LAST, (TERM, true)),
        (TERM, Some(0), LAST, (TERM, true)),
        (TERM, Some(2), LAST, (TERM, false)),
        (higher, Some(2), LAST, (higher, true)),
        (higher, None, (4, 5), (higher, false)),
        (higher, None, (3, 9), (higher, false)),
        (higher, None, (4, 7), (higher, true)),
        (higher, None, (5, 1), (higher, true)),
        (TERM, None, (4, 5), (TERM, false)),
    ];
    for (term, voted, (last_term, last_index), expected) in cases {
        let mut node = bound();
        inside(&mut node).voted_for = voted.map(peer);
        let answer = asked(&mut node, Vote { term, last_term, last_index, ..vote() });
        let case = format!("{term}, {voted:?}, {last_term}/{last_index}");
        assert_eq!(answer, Some(expected), "{case}");
        let bound = inside(&mut node);
        assert_eq!(bound.term, expected.0, "{case}");
        let kept = if term > TERM { None } else { voted.map(peer) };
        let holds = if expected.1 { Some(peer(0)) } else { kept };
        assert_eq!(bound.voted_for, holds, "{case}");
    }
}

#[test]
fn whoever_has_voted_waits_for_its_candidate() {
    let mut node = bound();
    inside(&mut node).part =
        Part::Follower(Follower { election_at: Some(NOW + Span(1)), ..Follower::default() });
    assert_eq!(asked(&mut node, Vote { term: TERM, ..vote() }), Some((TERM, true)));
    let Part::Follower(follower) = &inside(&mut node).part else { panic!("it follows") };
    let at = follower.election_at.expect("it will ask at some time");
    assert!(at >= NOW + L && at < NOW + L.times(2), "{at:?}");
}

#[test]
fn whoever_acked_a_leader_votes_for_nobody_until_a_lease_later() {
    let almost = before(NOW, Span(L.0 - 1));
    let over = before(NOW, L);
    // (acked at, the term whose leader has handed over) → answer
    let cases = [
        (almost, None, (TERM, false)),
        (over, None, (TERM + 1, true)),
        (NOW, Some(TERM - 1), (TERM, false)),
        (NOW, Some(TERM + 1), (TERM, false)),
        (NOW, Some(TERM), (TERM + 1, true)),
    ];
    for (acked_at, handed_over_by, expected) in cases {
        let mut node = bound();
        inside(&mut node).acked_at = Some(acked_at);
        let answer = asked(&mut node, Vote { handed_over_by, ..vote() });
        assert_eq!(answer, Some(expected), "{acked_at:?}, {handed_over_by:?}");
        assert_eq!(inside(&mut node).term, expected.0);
    }
}

#[test]
fn its_own_lease_makes_it_deaf_to_candidates() {
    let cases = [
        (NOW + Span(1), None, None),
        (NOW + Span(1), Some(TERM - 1), None),
        (NOW + Span(1), Some(TERM), Some((TERM + 1, true))),
        (NOW, None, Some((TERM + 1, true))),
    ];
    for (own_lease_end, handed_over_by, expected) in cases {
        let mut node = bound();
        inside(&mut node).own_lease_end = own_lease_end;
        let answer = asked(&mut node, Vote { handed_over_by, ..vote() });
        assert_eq!(answer, expected, "{own_lease_end:?}, {handed_over_by:?}");
        assert_eq!(inside(&mut node).term, expected.map_or(TERM, |(term, _)| term), "its term included");
        let mut node = bound();
        inside(&mut node).own_lease_end = own_lease_end;
        let heard = own_lease_end <= NOW;
        assert_eq!(pre_asked(&mut node, pre_vote()).is_some(), heard, "{own_lease_end:?}");
    }
}

#[test]
fn a_newer_list_keeps_it_out_until_something_is_committed() {
    // (something is known to be committed, epoch of its list, of the founding) → granted
    for (active, epoch, founding_epoch, granted) in
        [(false, 1, 0, false), (false, 1, 1, true), (false, 0, 1, true), (true, 1, 0, true)]
    {
        let case = format!("{active}, list {epoch}, founded under {founding_epoch}");
        let new = || {
            let mut node = bound_with(settings(), list(epoch));
            let bound = inside(&mut node);
            (bound.active, bound.founding_epoch, bound.bound_at) = (active, founding_epoch, NOW);
            node
        };
        let answer = asked(&mut new(), Vote { founding_epoch, ..vote() });
        assert_eq!(answer, Some(if granted { (TERM + 1, true) } else { (TERM, false) }), "{case}");
        let answer = pre_asked(&mut new(), PreVote { founding_epoch, ..pre_vote() });
        assert_eq!(answer.map(|(_, granted, _)| granted), Some(granted), "{case}");
    }
}

#[test]
fn whoever_has_half_a_snapshot_votes_for_nobody() {
    let mut node = bound();
    inside(&mut node).install = Some(install(TERM));
    assert_eq!(asked(&mut node, vote()), Some((TERM + 1, false)));
    assert_eq!(inside(&mut node).voted_for, None);
}

#[test]
fn a_pre_vote_says_what_a_vote_would_be_and_whether_a_leader_lives() {
    let higher = TERM + 1;
    let never = None;
    let almost = Some(before(NOW, Span(L.0 - 1)));
    let over = Some(before(NOW, L));
    // (term asked, last (term, index), acked at) → (term, granted, leader alive)
    let cases = [
        (higher, LAST, never, (higher, true, false)),
        (higher, LAST, over, (higher, true, false)),
        (higher, LAST, almost, (TERM, false, true)),
        (TERM + 9, LAST, never, (TERM + 9, true, false)),
        (TERM, LAST, never, (TERM, false, false)),
        (TERM - 1, LAST, never, (TERM, false, false)),
        (higher, (4, 5), never, (TERM, false, false)),
        (higher, (3, 9), never, (TERM, false, false)),
        (higher, (5, 1), never, (higher, true, false)),
    ];
    for (term, (last_term, last_index), acked_at, expected) in cases {
        let mut node = bound();
        inside(&mut node).acked_at = acked_at;
        let answer = pre_asked(&mut node, PreVote { term, last_term, last_index, ..pre_vote() });
        assert_eq!(answer, Some(expected), "{term}, {last_term}/{last_index}, {acked_at:?}");
    }
}
