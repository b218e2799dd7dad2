//! Histories of mixed faults, all invariants on. A failure prints the trace and the command that replays it.
//!
//! 2,000 of them, over 1, 3, 4, 5 and 7 slots; every third one with changes of size. `make soak` goes on elsewhere.

use rauthy_simulator::{Mix, Options, run};

/// Seconds with faults in each history.
const SECONDS: u64 = 20;

fn seeds(nodes: usize, from: u64, count: u64) {
    for seed in from..from + count {
        let mix = if seed % 3 == 2 { Mix::Resizing } else { Mix::Any };
        let failure = run(&Options::new(seed, nodes, SECONDS, mix)).err();
        assert!(failure.is_none(), "{}", failure.map(|f| f.to_string()).unwrap_or_default());
    }
}

#[test]
fn one_node() {
    seeds(1, 0, 200);
}

#[test]
fn three_nodes() {
    seeds(3, 1000, 450);
}

#[test]
fn three_nodes_more() {
    seeds(3, 2000, 450);
}

#[test]
fn four_nodes() {
    seeds(4, 3000, 300);
}

#[test]
fn five_nodes() {
    seeds(5, 4000, 400);
}

#[test]
fn seven_nodes() {
    seeds(7, 5000, 200);
}

/// Everything random comes from the seed: the same one gives the same history, byte for byte.
#[test]
fn a_seed_is_a_history() {
    for (seed, nodes, mix) in [(1, 3, Mix::Any), (2, 5, Mix::Any), (3, 3, Mix::Resizing)] {
        let told = |seed| {
            let options = Options::new(seed, nodes, SECONDS, mix);
            run(&options).unwrap_or_else(|failure| panic!("{failure}")).hash
        };
        let first = told(seed);
        assert_eq!(first, told(seed));
        assert_ne!(first, told(seed + 1), "the hash says nothing");
    }
}

/// The faults are not all the same harmless one: what the histories are about does happen in them.
#[test]
fn the_histories_are_eventful() {
    let mut total = rauthy_simulator::Report::default();
    for seed in 0..40 {
        let mix = if seed % 2 == 0 { Mix::Resizing } else { Mix::Any };
        total.add(&run(&Options::new(seed, 3, 40, mix)).unwrap_or_else(|failure| panic!("{failure}")));
    }
    assert!(total.faults.iter().filter(|n| **n > 0).count() >= 14, "{:?}", total.faults);
    for (what, n) in [
        ("elections", total.elections),
        ("genesis", total.genesis),
        ("seat swaps", total.swaps),
        ("changes of size", total.resizes),
        ("snapshots", total.snapshots),
        ("wipes", total.wipes),
        ("acknowledged writes", total.writes[0]),
        ("reads", total.reads.0),
    ] {
        assert!(n > 20, "only {n} {what}");
    }
}

/// A start that nothing disturbs (the first fault would come later) founds one generation, and nobody has to begin anew.
#[test]
fn a_fair_start_founds_once() {
    for seed in 0..60 {
        for nodes in [2, 3, 5] {
            let report = run(&Options::new(seed, nodes, 3, Mix::Rolling));
            let report = report.unwrap_or_else(|failure| panic!("{failure}"));
            assert_eq!((report.generations, report.wipes), (1, 0), "seed {seed}, {nodes} nodes: {report:?}");
        }
    }
}

/// Restarting one node at a time, each as soon as all say that they are ready, loses nothing: there is only ever one
/// generation, and nobody wipes what it holds.
#[test]
fn rolling_restarts_keep_the_generation() {
    for seed in 0..40 {
        for nodes in [3, 4, 5] {
            let report = run(&Options::new(seed, nodes, 30, Mix::Rolling));
            let report = report.unwrap_or_else(|failure| panic!("{failure}"));
            assert!(report.faults.iter().sum::<u64>() > 2, "{report:?}");
            assert_eq!((report.generations, report.wipes), (1, 0), "seed {seed}, {nodes} nodes: {report:?}");
        }
    }
}
