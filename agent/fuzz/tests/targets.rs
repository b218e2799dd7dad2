//! Every target for a bounded number of runs, always the same ones; and that a fault would be found.
#![allow(clippy::unwrap_used, clippy::panic, clippy::expect_used)]

use rauthy_fuzz::corpus::Corpus;
use rauthy_fuzz::random::Random;
use rauthy_fuzz::run::Fuzzer;
use rauthy_fuzz::{Check, Target, holds, targets};

/// Runs of each target.
const RUNS: u64 = 5_000;

fn drive(name: &str) {
    let all = targets::all().unwrap();
    let target = all.iter().find(|t| t.name() == name).unwrap();
    let mut fuzzer = Fuzzer::new(target.as_ref(), 1, Corpus::default()).unwrap();
    if let Err(fault) = fuzzer.run_until(|tally| tally.runs >= RUNS) {
        let input = fault.input.escape_ascii().to_string();
        panic!("{}\nwith {} bytes: {}", fault.what, fault.input.len(), &input[..input.len().min(4000)]);
    }
    let tally = fuzzer.tally;
    println!("{tally:?}");
    assert!(tally.understood > RUNS / 20, "hardly anything is understood: {tally:?}");
    assert!(name == "deadline" || tally.understood < RUNS, "nothing is refused: {tally:?}");
}

macro_rules! bounded {
    ($($test:ident: $name:literal),+ $(,)?) => {
        $(#[test]
        fn $test() {
            drive($name);
        })+

        #[test]
        fn none_is_left_out() {
            let all: Vec<_> = targets::all().unwrap().iter().map(|t| t.name()).collect();
            assert_eq!(all, [$($name),+]);
        }
    };
}

bounded! {
    frames_of_peers: "frame",
    packed_frames_of_peers: "packed",
    messages_of_peers: "message",
    hints_of_peers: "addresses",
    strangers_who_call: "handshake-answer",
    strangers_who_are_called: "handshake-call",
    requests_of_the_operator: "admin-request",
    replies_to_the_operator: "admin-reply",
    requests_of_applications: "cache-request",
    answers_to_applications: "cache-answer",
    deadlines_of_applications: "deadline",
    host_lists_in_a_file: "hosts-file",
    host_lists_in_a_variable: "hosts-variable",
    tokens_in_a_file: "token-file",
}

/// A decoder with a fault that one input in a few hundred shows.
struct Broken(fn(&[u8]) -> bool, fn());

impl Target for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        random.bytes(8)
    }

    fn run<'a>(&'a self, bytes: &'a [u8]) -> Option<Check<'a>> {
        if self.0(bytes) {
            self.1();
            return Some(Box::new(|| holds(false, || "it is another".into())));
        }
        None
    }
}

#[test]
fn faults_are_found_and_shown() {
    let shows: fn(&[u8]) -> bool = |bytes| bytes.first() == Some(&7);
    let table: [(fn(), &str); 3] = [
        (|| {}, "it is another"),
        (|| panic!("out of range"), "it panicked: out of range"),
        (|| drop(vec![0_u8; 1 << 20]), "bytes were allocated for"),
    ];
    for (fault, words) in table {
        let broken = Broken(shows, fault);
        let mut fuzzer = Fuzzer::new(&broken, 1, Corpus::default()).unwrap();
        let found = fuzzer.run_until(|tally| tally.runs >= RUNS).expect_err(words);
        assert!(found.what.contains(words), "{}", found.what);
        assert!(shows(&found.input));
    }
}

#[test]
fn a_seed_always_does_the_same() {
    let run = || {
        let all = targets::all().unwrap();
        let target = all.iter().find(|t| t.name() == "message").unwrap();
        let mut fuzzer = Fuzzer::new(target.as_ref(), 5, Corpus::default()).unwrap();
        fuzzer.run_until(|tally| tally.runs >= 2000).unwrap();
        (fuzzer.tally.understood, fuzzer.tally.bytes)
    };
    assert_eq!(run(), run());
}
