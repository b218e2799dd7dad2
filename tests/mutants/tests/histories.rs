//! Histories of the simulator for `make mutants`, in one program that ends at the first failure: a mutant that breaks
//! the protocol is mostly noticed in the first few milliseconds, and its build is what costs.
//!
//! Shorter and fewer than in the simulator's own tests: those `FROM` a number on, up to `HISTORIES`.

use rauthy_simulator::{Mix, Options, run};

/// Histories, if nobody says how many.
const HISTORIES: u64 = 48;
/// Seconds with faults in each.
const SECONDS: u64 = 20;

#[test]
fn histories() {
    let number = |name, default| std::env::var(name).map_or(default, |n| n.parse().expect("a number"));
    for seed in number("FROM", 0)..number("HISTORIES", HISTORIES) {
        let nodes = [3, 5, 3, 4, 3, 1, 5, 7][(seed % 8) as usize];
        let mix = [Mix::Any, Mix::Resizing, Mix::Rolling, Mix::Any, Mix::Resizing][(seed % 5) as usize];
        let failure = run(&Options::new(seed, nodes, SECONDS, mix)).err();
        assert!(failure.is_none(), "{}", failure.map(|f| f.to_string()).unwrap_or_default());
    }
}
