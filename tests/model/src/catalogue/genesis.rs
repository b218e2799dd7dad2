//! Genesis: the rule at every size that can be exhausted, walks at larger ones, and each variant where it breaks.

use crate::catalogue::Expected::{Breaks, Holds, HoldsInWalks};
use crate::catalogue::Size::{Full, Small};
use crate::catalogue::{Check, Expected, Size, Topic};
use crate::genesis::Variant::{
    AckAnywhere, NoQuarantine, PromiseMovesWhenBound, QuarantineOfFounderOnly, QuorumOfPresentSeats,
    SameIdentity, ThreeGenerations,
};
use crate::genesis::{Genesis, Rule, Variant};

/// Size, slots, ticks of L and Q, switches.
type Row = (Size, Expected, usize, u8, &'static [Variant]);

const EVERYTHING: &[Row] = &[
    (Small, Holds, 1, 1, &[]),
    (Small, Holds, 2, 2, &[]),
    (Small, Holds, 3, 1, &[]),
    (Small, Holds, 3, 2, &[]),
    (Small, Holds, 4, 1, &[]),
    (Small, Breaks, 3, 1, &[SameIdentity]),
    (Small, Breaks, 4, 1, &[QuorumOfPresentSeats]),
    (Small, Breaks, 3, 1, &[NoQuarantine]),
    (Small, Breaks, 3, 1, &[QuarantineOfFounderOnly]),
    (Small, Breaks, 3, 1, &[PromiseMovesWhenBound]),
    (Full, Holds, 3, 1, &[AckAnywhere]),
    (Full, Holds, 4, 2, &[]),
    (Full, Holds, 5, 1, &[]),
    (Full, Holds, 3, 1, &[ThreeGenerations]),
    (Full, Holds, 4, 1, &[ThreeGenerations]),
];

/// Size, walks, steps in each, slots, ticks, switches.
type WalkRow = (Size, u64, usize, usize, u8, &'static [Variant]);

const WALKS: &[WalkRow] = &[
    (Small, 10_000, 300, 5, 2, &[]),
    (Small, 10_000, 300, 3, 2, &[ThreeGenerations]),
    (Full, 500_000, 400, 5, 3, &[ThreeGenerations]),
    (Full, 500_000, 400, 7, 2, &[ThreeGenerations]),
];

pub(super) fn checks() -> Vec<Check> {
    let everything = EVERYTHING.iter().map(|(size, expected, slots, ticks, variants)| {
        let model = Genesis::new(*slots, *ticks, Rule::with(variants));
        Check::everything((Topic::Genesis, *size, *expected), name(*slots, *ticks, variants), model)
    });
    let walks = WALKS.iter().map(|(size, walks, steps, slots, ticks, variants)| {
        let model = Genesis::new(*slots, *ticks, Rule::with(variants));
        let head = (Topic::Genesis, *size, HoldsInWalks);
        Check::walks(head, name(*slots, *ticks, variants), model, (*walks, *steps))
    });
    let end = Genesis::new(3, 1, Rule::as_written());
    let end = Check::finish((Topic::Genesis, Small, Holds), name(3, 1, &[]), end);
    everything.chain(walks).chain([end]).collect()
}

fn name(slots: usize, ticks: u8, variants: &[Variant]) -> String {
    let words: Vec<_> = variants.iter().map(|v| v.word()).collect();
    let words = if words.is_empty() { "the rule".to_owned() } else { words.join(" + ") };
    format!("genesis of {slots}, L of {ticks}: {words}")
}
