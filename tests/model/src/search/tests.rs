//! The searches, on a model small enough to know the answers.

use super::{Broken, Goal, Limits, Model, Verdict, Walks, can_always_finish, exhaust, fingerprint, walk};

/// A counter that goes up by one or by three, and down by one; `bad` breaks it, above `trap` there is no way down.
struct Counter {
    bad: u8,
    trap: u8,
}

#[derive(Clone, Copy, PartialEq)]
enum Step {
    One,
    Three,
    Down,
}

const BAD: Broken = Broken("the counter stands where it must not");
const TOP: u8 = 40;

impl Model for Counter {
    type State = u8;
    type Step = Step;

    fn start(&self) -> u8 {
        0
    }

    fn steps(&self, state: &u8, steps: &mut Vec<Step>) {
        steps.clear();
        if *state < TOP {
            steps.extend([Step::One, Step::Three]);
        }
        if (1..=self.trap).contains(state) {
            steps.push(Step::Down);
        }
    }

    fn take(&self, state: &u8, step: Step) -> (u8, Option<Broken>) {
        let next = match step {
            Step::One => state + 1,
            Step::Three => (state + 3).min(TOP),
            Step::Down => state - 1,
        };
        (next, (next == self.bad).then_some(BAD))
    }

    fn fingerprint(&self, state: &u8) -> u64 {
        fingerprint(&[u64::from(*state)])
    }

    fn tell(&self, before: &u8, _: Step, after: &u8) -> String {
        format!("{before} to {after}")
    }

    fn features(&self) -> &'static [&'static str] {
        &["even", "negative"]
    }

    fn features_of(&self, state: &u8) -> u32 {
        u32::from(state.is_multiple_of(2))
    }

    fn class(&self, step: Step) -> Option<usize> {
        (step == Step::Down).then_some(0)
    }
}

impl Goal for Counter {
    fn reached(&self, state: &u8) -> bool {
        *state == 0
    }

    fn helps(&self, _: &u8, step: Step) -> bool {
        step == Step::Down
    }
}

const NEVER: u8 = u8::MAX;

#[test]
fn everything_is_seen_by_one_thread_or_two() {
    for threads in [1, 2] {
        let limits = Limits { threads, ..Limits::states(1000) };
        let report = exhaust(&Counter { bad: NEVER, trap: TOP }, limits);
        assert!(matches!(report.verdict, Verdict::Exhausted));
        assert_eq!((report.states, report.seen("even"), report.seen("negative")), (41, 21, 0));
    }
}

#[test]
fn a_counterexample_is_a_shortest_one() {
    let report = exhaust(&Counter { bad: 7, trap: TOP }, Limits::states(1000));
    assert_eq!(report.story().unwrap().lines.len(), 3, "3 + 3 + 1");
}

#[test]
fn a_bound_is_no_proof() {
    let report = exhaust(&Counter { bad: NEVER, trap: TOP }, Limits::states(10));
    assert!(matches!(report.verdict, Verdict::Bounded));
}

#[test]
fn a_walk_finds_it_and_cuts_it_short() {
    let walks = Walks { walks: 1000, steps: 100, seed: 1 };
    let report = walk(&Counter { bad: 30, trap: TOP }, walks);
    let length = report.story().unwrap().lines.len();
    assert!((10..=30).contains(&length), "{length} steps");
    assert!(matches!(walk(&Counter { bad: NEVER, trap: TOP }, walks).verdict, Verdict::Walked));
}

#[test]
fn states_without_a_way_to_the_end_are_found() {
    let free = can_always_finish(&Counter { bad: NEVER, trap: TOP }, Limits::states(1000));
    assert!(matches!(free.verdict, Verdict::Exhausted));
    let caught = can_always_finish(&Counter { bad: NEVER, trap: 19 }, Limits::states(1000));
    assert!(matches!(caught.verdict, Verdict::Stuck { states: 21, .. }), "{caught}");
    assert_eq!(caught.story().unwrap().lines.len(), 7, "21, by seven threes");
}
