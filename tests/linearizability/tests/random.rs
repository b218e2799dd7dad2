//! Histories that a real object gave are accepted; falsified ones get the verdict of the simple checker.

mod support;

use proptest::prelude::*;
use rauthy_linearizability::check;
use support::{accepted, brute, small};

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_an_object_did_is_accepted(raws in small::raws(60, 80, 3)) {
        if let Err(failure) = check(&small::honest(&raws)) {
            panic!("{failure}");
        }
    }

    #[test]
    fn verdicts_are_those_of_the_simple_checker(raws in small::raws(8, 14, 3), lies in small::lies()) {
        same_verdict(&raws, &lies)?;
    }

    #[test]
    fn so_they_are_where_every_second_answer_is_lost(raws in small::raws(8, 10, 1), lies in small::lies()) {
        same_verdict(&raws, &lies)?;
    }
}

fn same_verdict(raws: &[small::Raw], lies: &[small::Lie]) -> Result<(), TestCaseError> {
    let history = small::falsified(small::honest(raws), lies);
    let (fast, simple) = (accepted(&history), brute::linearizable(&history));
    prop_assert_eq!(fast, simple, "{:?}", check(&history).map_err(|failure| failure.to_string()));
    Ok(())
}
