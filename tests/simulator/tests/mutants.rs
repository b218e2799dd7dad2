//! Each rule of the protocol is left out once, and the simulator must notice within a bounded run. A mutant that only the
//! models catch stands in `tests/model`; `docs/proof.md` lists who catches what.

#![allow(clippy::panic, reason = "a test fails by panicking")]

use rauthy_core::testing::Mutant;
use rauthy_simulator::{Mix, Options, run};

/// Histories that a mutant may survive.
const SEEDS: u64 = 400;

/// Looks for a history that shows the fault; says which invariant it breaks.
fn caught(mutant: Mutant, mix: Mix, sizes: &[usize]) {
    for seed in 0..SEEDS {
        let nodes = sizes[seed as usize % sizes.len()];
        let options = Options { mutant: Some(mutant), ..Options::new(seed, nodes, 25, mix) };
        if let Err(failure) = run(&options) {
            // It is the missing rule that was noticed, not something else in that history.
            let whole = run(&Options { mutant: None, ..options });
            assert!(
                whole.is_ok(),
                "with all rules, too: {}",
                whole.err().map(|f| f.to_string()).unwrap_or_default()
            );
            println!("{mutant:?}: seed {seed}, {nodes} nodes: {}", failure.message);
            return;
        }
    }
    panic!("{SEEDS} histories without the rule of {mutant:?} broke nothing");
}

macro_rules! mutants {
    ($($name:ident: $mutant:ident in $mix:ident of $sizes:expr;)+) => {
        $(#[test]
        fn $name() {
            caught(Mutant::$mutant, Mix::$mix, &$sizes);
        })+
    };
}

mutants! {
    same_incarnation_after_a_restart: SameIncarnation in Any of [3, 5];
    quorum_of_the_present_seats: QuorumOfPresentSeats in Any of [3, 5];
    no_quarantine: NoQuarantine in Any of [3, 5];
    lease_kept_over_a_transfer: LeaseKeptOverTransfer in Any of [3, 5];
    lease_before_the_noop: LeaseBeforeNoop in Any of [3, 5];
    an_ack_promises_nothing: PromiseIgnored in Any of [3, 5, 7];
    leader_not_bound_by_its_lease: LeaderNotBoundByLease in Any of [3];
    value_read_after_the_lease_check: ValueAfterLeaseCheck in Any of [3];
    a_bound_promise_moves: BoundPromiseMoves in Any of [3, 5];
    genesis_of_one_list: GenesisOfOneList in Resizing of [3, 5];
    two_lists_left_by_the_new_majority: LeaveByNewMajority in Resizing of [3, 5, 7];
    results_kept_apart_from_their_shard: DedupApart in Any of [3, 5];
    a_voter_installs_a_snapshot: VoterInstallsSnapshot in Any of [3, 5];
    expiry_by_the_local_clock: ExpiryByLocalClock in Any of [3];
    all_waits_for_present_seats_only: AllCountsPresentSeats in Resizing of [3, 5];
    an_older_generations_request_is_applied: OlderGenerationApplied in Any of [3];
    a_repeated_request_is_applied_again: NoDedup in Any of [3];
}
