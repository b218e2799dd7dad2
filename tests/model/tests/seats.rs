//! Rules 1 and 4 inside one generation: seat swaps and changes of size. The rule holds; each variant breaks.

#[cfg(test)]
mod common;

use common::{all_hold, breaks};
use rauthy_model::catalogue::Topic;

const LOST: &str = "a committed entry is missing at the leader of a later term";
const TWO_LEADERS: &str = "there are two leaders in one term";

#[test]
fn the_rule_holds() {
    all_hold(Topic::Seats);
}

/// {A1,B1,C1} → {A1,B2,C1}: a vote of B1 made a leader, and B2 makes another in the same term.
#[test]
fn a_swap_in_one_step() {
    breaks(
        "seats 3, 1 restarts, 3 terms, 5 entries: one-step-swap",
        &[
            "LEADS term 2 by B1,C1",
            "B1 dies, B2 is born",
            "appends {A1,B2,C1}",
            "LEADS term 2 by A1,B2",
            TWO_LEADERS,
        ],
    );
}

/// Both maps are left before it is known that they were ever entered.
#[test]
fn a_swap_completed_before_its_beginning_is_committed() {
    breaks(
        "seats 3, 1 restarts, 3 terms, 5 entries: before-committed",
        &["appends {A1,B1,C1}+{A1,B2,C1}", "appends {A1,B2,C1}", TWO_LEADERS],
    );
}

/// A leader goes on with the change that it found in its log, before anything of its own term is committed. (For seat
/// swaps alone the same is harmless, see the catalogue; so it is for lists that are left by both majorities.)
#[test]
fn a_change_before_an_entry_of_the_own_term() {
    breaks(
        "seats 3>1, 0 restarts, 4 terms, 5 entries: before-own-term + new-majority-alone",
        &["appends {A1,B1,C1}+{A1}", "LEADS term 2", "appends {A1}", "COMMITS", "LEADS term 3", LOST],
    );
}

#[test]
fn a_change_of_lists_in_one_step() {
    breaks(
        "seats 3>1, 0 restarts, 3 terms, 5 entries: one-step-lists + new-majority-alone",
        &["appends {A1}", "COMMITS up to 2 by A1", "LEADS term 2 by B1,C1", LOST],
    );
}

/// Figure 3.7 of the Raft thesis: an entry of an older term on a majority is not yet committed.
#[test]
fn entries_of_older_terms_counted() {
    breaks(
        "seats 3, 0 restarts, 4 terms, 4 entries, writes: counts-old-terms",
        &["COMMITS", "LEADS term 4", LOST],
    );
}
