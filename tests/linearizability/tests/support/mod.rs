//! What the tests share: short ways to write a history, and what a verdict was.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod brute;
pub mod small;

use std::fmt::Debug;

use rauthy_linearizability::{
    Answer, Condition, Failure, History, Op, Outcome, Stats, Violation, Window, check,
};

/// A history of one key, written down by hand.
pub struct Tale(pub History<&'static str>);

impl Tale {
    pub fn new() -> Self {
        Self(History::default())
    }

    /// An operation with an answer.
    pub fn op(mut self, client: u64, (call, ret): (u64, u64), op: Op, outcome: Outcome) -> Self {
        let number = self.0.called(client, "k", call, op, None);
        self.0.answered(number, ret, None, outcome);
        self
    }

    /// An operation without one.
    pub fn lost(mut self, client: u64, call: u64, op: Op) -> Self {
        self.0.called(client, "k", call, op, None);
        self
    }

    pub fn holds(&self) -> Stats {
        match check(&self.0) {
            Ok(stats) => stats,
            Err(failure) => panic!("should have been accepted: {failure}"),
        }
    }

    pub fn fails(&self) -> Violation<&'static str> {
        violation(check(&self.0))
    }
}

/// The verdict, where there is one.
pub fn accepted(history: &History<&'static str>) -> bool {
    match check(history) {
        Ok(_) => true,
        Err(Failure::Violation(_)) => false,
        Err(other) => panic!("no verdict: {other}"),
    }
}

pub fn violation<K: Debug>(verdict: Result<Stats, Failure<K>>) -> Violation<K> {
    match verdict {
        Err(Failure::Violation(violation)) => *violation,
        Err(other) => panic!("should have been a violation: {other}"),
        Ok(stats) => panic!("should have been refused: {stats:?}"),
    }
}

/// Random numbers from a seed (SplitMix64: Steele, Lea, Flood 2014).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % end.max(1)
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

pub fn written(version: u64) -> Outcome {
    Outcome::at(version, Answer::Silent)
}

pub fn done() -> Outcome {
    Outcome::saw(Answer::Silent)
}

pub fn existed(existed: bool) -> Outcome {
    Outcome::saw(Answer::Existed(existed))
}

pub fn number(number: i64) -> Outcome {
    Outcome::saw(Answer::Number(number))
}

pub fn found(value: &str) -> Outcome {
    Outcome::found(value, None)
}

pub fn failed(version: u64) -> Outcome {
    Outcome::saw(Answer::ConditionFailed { version: Some(version) })
}

pub fn add(by: i64) -> Op {
    Op::Increment { by, ttl: None }
}

pub fn put_until(value: &str, earliest: u64, latest: u64) -> Op {
    Op::Put { value: value.into(), condition: Condition::Always, ttl: Some(Window { earliest, latest }) }
}
