//! Rules 1 and 2: who may found, promise and ack, and when. The rule holds; each variant breaks, and its story is told.

#[cfg(test)]
mod common;

use common::{all_hold, breaks};
use rauthy_model::catalogue::Topic;

const ALTERNATE: &str = "two generations commit alternately";
const OLD_LEASE: &str = "a generation commits while one before it still holds a lease";

#[test]
fn the_rule_holds() {
    all_hold(Topic::Genesis);
}

/// A process that comes back as the one before has forgotten to whom it was bound.
#[test]
fn the_same_id_after_a_restart() {
    breaks(
        "genesis of 3, L of 1: same-identity",
        &["dies, 0.1 is born", "0.1 acks G2", "dies, 0.2 is born", "0.2 acks G1", ALTERNATE],
    );
}

#[test]
fn a_quorum_of_the_present_seats() {
    breaks("genesis of 4, L of 1: quorum-of-present-seats", &["is formed", "is formed", ALTERNATE]);
}

/// The process before had given a lease that still stands.
#[test]
fn no_quarantine() {
    breaks(
        "genesis of 3, L of 1: no-quarantine",
        &["dies, 0.1 is born", "LEASE", "0.1 promises G2", "0.1 acks G2", OLD_LEASE],
    );
}

#[test]
fn a_quarantine_that_binds_the_founder_only() {
    breaks(
        "genesis of 3, L of 1: quarantine-of-founder-only",
        &["time passes", "dies, 0.1 is born", "0.1 promises G2", "in quarantine {0}", OLD_LEASE],
    );
}

#[test]
fn a_promise_that_moves_after_its_giver_is_bound() {
    breaks(
        "genesis of 3, L of 1: promise-moves-when-bound",
        &["LEASE", "is bound and promises G2", OLD_LEASE],
    );
}
