//! Rule 3f: a change taken back, another one after it, and changes that finish although pods never start.

#[cfg(test)]
mod common;

use common::{all_hold, breaks};
use rauthy_model::catalogue::Topic;

const TWO: &str = "two generations commit alternately";
const NO_WAY: &str = "the end is out of reach";

/// Also without waiting for the take-back to be seen, and without confirmations of it.
#[test]
fn the_rule_holds() {
    all_hold(Topic::TakenBack);
}

/// After its first `SetSize` a change must be finished.
#[test]
fn taking_back_what_commits() {
    breaks("lists 1>(3): takes-back-what-commits", &["now {0}, next {0 1 2}", "writes list 2: now {0}", TWO]);
}

/// A late `SetSize` of the change taken back meets the second change, which looks alike.
#[test]
fn commands_matched_by_slots_only() {
    breaks("lists 1>(3)>3: slots-only", &["writes list 3", "proposes #3", TWO]);
}

#[test]
fn two_lists_left_by_one_majority() {
    breaks("lists 1>(3)>3: new-majority-alone", &["writes list 2: now {0}", "proposes #", TWO]);
}

/// A leader finishes by itself what only the operator may decide.
#[test]
fn two_lists_of_a_genesis_left_without_set_size() {
    breaks("lists 1>(3)>3: completes-by-itself", &["next {0 1 2}", "is formed", "proposes #2", TWO]);
}

/// A generation that never heard of the change keeps its number, and no later command fits it.
#[test]
fn no_renumbering() {
    breaks("lists 1>(3)>2: no-renumbering, to the end", &["ACTIVE #0 {0}", NO_WAY]);
    breaks("lists 1>(3)>2: no-renumbering + no-wait-after-take-back, to the end", &["ACTIVE #0 {0}", NO_WAY]);
}

/// More than a minority of a list has to run, whatever the rule.
#[test]
fn a_list_without_a_majority() {
    breaks("lists 1>3: the rule, slot 1 never starts, slot 2 never starts, to the end", &[NO_WAY]);
}
