//! Rule 3: host lists that change. The rule holds; each variant breaks, and its story is told.

#[cfg(test)]
mod common;

use common::{all_hold, breaks, found_by_walks};
use rauthy_model::catalogue::Topic;

const COMMIT: &str = "COMMITS";
const TWO: &str = "two generations commit alternately";

#[test]
fn the_rule_holds() {
    all_hold(Topic::Lists);
}

/// Under {now A, next B} somebody founds a generation of A alone.
#[test]
fn a_genesis_of_one_list_under_two() {
    breaks(
        "lists 1>3: genesis-of-one-list",
        &["writes list 1", "begins to found G1", COMMIT, "found G2", TWO],
    );
}

#[test]
fn a_first_round_of_one_list_under_two() {
    breaks("lists 1>3: first-round-of-one-list", &["writes list 1", "is formed", TWO]);
}

/// The founder's first attempt is refused by whoever has a newer list, a later term of it is not.
#[test]
fn the_epoch_checked_in_the_founding_term_only() {
    breaks(
        "lists 3>1: founding-term-only",
        &["proposes an entry", "drops its round", "proposes an entry", TWO],
    );
}

#[test]
fn the_epoch_not_checked() {
    breaks("lists 3>1: no-epoch-check", &["writes list 1", "acks", TWO]);
}

/// `SetSize` before a majority of the present slots has confirmed that it reads the list.
#[test]
fn set_size_without_confirmations() {
    breaks("lists 1>3: unconfirmed", &["reads list 1", "proposes #2", "under list 0", COMMIT, TWO]);
}

/// A generation founded under two lists goes on to the second without the operator's word.
#[test]
fn two_lists_of_a_genesis_left_without_set_size() {
    breaks("lists 3>1: completes-by-itself", &["is formed", "proposes #2", TWO]);
}

/// As in plain Raft.
#[test]
fn two_lists_left_by_the_new_majority_alone() {
    breaks("lists 1>3: new-majority-alone", &["proposes #2", COMMIT, TWO]);
}

#[test]
fn the_single_list_written_too_early() {
    breaks("lists 1>3: written-too-early", &["writes list 1", "writes list 2", TWO]);
}

/// A late command of the first change meets a configuration of the second that looks alike.
#[test]
fn set_size_matched_by_slots_only() {
    breaks("lists 1>3>1: slots-only", &["writes list 4", "proposes #1", TWO]);
}

/// At the sizes that are only walked, a variant that breaks is found to break.
#[test]
fn walks_find_what_there_is() {
    found_by_walks("lists 3>5: new-majority-alone");
    found_by_walks("lists 3>5>3: slots-only");
    found_by_walks("lists 3>(5)>5: takes-back-what-commits");
}
