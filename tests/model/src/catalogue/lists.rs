//! Host lists: the rule at every size that can be exhausted, walks at larger ones, and each variant where it breaks.

use crate::catalogue::Expected::{Breaks, Holds, HoldsInWalks, Stuck};
use crate::catalogue::Size::{Full, Small};
use crate::catalogue::{Check, Expected, Size, Topic};
use crate::lists::Variant::{
    CatchesUp, CompletesByItself, ExclusivePromises, FirstRoundOfOneList, FoundingTermOnly, GenesisOfOneList,
    LowerNumber, NewMajorityAlone, NoEpochCheck, NoPromiseCheck, NoRenumbering, NoWaitAfterTakeBack,
    RenumbersFromAny, SlotsOnly, TakeBackUnconfirmed, TakesBackWhatCommits, ThreeGenerations, Unconfirmed,
    WrittenTooEarly,
};
use crate::lists::{BadPlan, Lists, Plan, Rule, Variant};
use crate::slots::{Slots, members};

type Row = (Size, &'static str, &'static [Variant]);

/// Nothing breaks in anything that can happen.
const HOLDS: &[Row] = &[
    (Small, "1>3", &[]),
    (Small, "3>1", &[]),
    (Small, "2>3", &[]),
    (Small, "1>3>1", &[]),
    (Small, "1>3", &[ExclusivePromises]),
    (Small, "3>1", &[NoPromiseCheck]),
    (Full, "3>1>3", &[]),
    (Full, "3>4", &[]),
    (Full, "1>3>4", &[]),
    (Full, "3>5", &[]),
    (Full, "5>3", &[]),
    (Full, "1>4", &[]),
    (Full, "4>1", &[]),
    (Full, "0-3>1-4", &[]),
    (Full, "1>3", &[ThreeGenerations]),
    (Full, "3>1", &[ThreeGenerations]),
];

/// The same where a change is taken back; with what the operator may leave out.
const HOLDS_TAKEN_BACK: &[Row] = &[
    (Small, "1>(3)", &[]),
    (Small, "3>(1)", &[]),
    (Small, "1>(3)>3", &[]),
    (Small, "1>(3)>2", &[]),
    (Small, "1>(2)>(3)>2", &[]),
    (Small, "1>(3)>3", &[NoWaitAfterTakeBack]),
    (Small, "1>(3)>3", &[TakeBackUnconfirmed, NoWaitAfterTakeBack]),
    (Small, "1>(2)>(3)>2", &[CatchesUp, NoWaitAfterTakeBack]),
    (Small, "1>(3)>3", &[RenumbersFromAny]),
    (Small, "1>(2)>(3)>2", &[RenumbersFromAny, NoWaitAfterTakeBack]),
    (Small, "0-2>(1-3)>1-3", &[]),
    (Full, "1>3>1>(3)", &[RenumbersFromAny]),
    (Full, "3>(1)>1", &[]),
    (Full, "3>(1)>1", &[RenumbersFromAny, NoWaitAfterTakeBack, TakeBackUnconfirmed]),
    (Full, "3>(1)>2", &[]),
    (Full, "3>(2)>4", &[]),
    (Full, "3>(4)>4", &[]),
    (Full, "3>(4)>4", &[NoWaitAfterTakeBack]),
    (Full, "3>(1)>(2)>1", &[NoWaitAfterTakeBack]),
    (Full, "1>(3)>3", &[ThreeGenerations]),
];

/// Each of these must break.
const BREAKS: &[Row] = &[
    (Small, "1>3", &[GenesisOfOneList]),
    (Small, "1>3", &[FirstRoundOfOneList]),
    (Small, "3>1", &[FoundingTermOnly]),
    (Small, "3>1", &[NoEpochCheck]),
    (Small, "1>3", &[Unconfirmed]),
    (Small, "3>1", &[CompletesByItself]),
    (Small, "1>3", &[NewMajorityAlone]),
    (Small, "1>3", &[WrittenTooEarly]),
    (Small, "1>3>1", &[SlotsOnly]),
    (Full, "3>1>3", &[SlotsOnly]),
    (Full, "3>5", &[GenesisOfOneList]),
    (Full, "3>5", &[FirstRoundOfOneList]),
    (Full, "3>5", &[FoundingTermOnly]),
    (Full, "3>5", &[NoEpochCheck]),
    (Full, "3>5", &[Unconfirmed]),
    (Full, "3>5", &[CompletesByItself]),
    (Full, "3>5", &[NewMajorityAlone]),
    (Full, "3>5", &[WrittenTooEarly]),
    (Full, "5>3", &[FoundingTermOnly]),
    (Full, "5>3", &[Unconfirmed]),
    (Full, "5>3", &[NewMajorityAlone]),
];

/// These too.
const BREAKS_TAKEN_BACK: &[Row] = &[
    (Small, "1>(3)", &[TakesBackWhatCommits]),
    (Small, "1>(3)>3", &[SlotsOnly]),
    (Small, "1>(3)>3", &[NewMajorityAlone]),
    (Small, "1>(3)>3", &[CompletesByItself]),
    (Full, "3>(1)>1", &[SlotsOnly]),
    (Full, "3>(1)>1", &[TakesBackWhatCommits]),
];

type EndRow = (Size, &'static str, Slots, &'static [Variant]);

/// The last list can be reached from everywhere, without faults; also with slots whose pods never start.
const FINISHES: &[EndRow] = &[
    (Small, "1>3", 0, &[]),
    (Small, "1>3", 0b100, &[]),
    (Small, "3>1", 0b100, &[]),
    (Small, "2>3", 0b100, &[]),
    (Small, "3>4", 0b1000, &[]),
    (Small, "3>5", 0b1_1000, &[]),
    (Small, "1>(3)>2", 0, &[]),
    (Small, "1>(3)>1", 0b110, &[]),
    (Small, "1>(3)>2", 0, &[NoWaitAfterTakeBack]),
    (Small, "1>(3)>2", 0, &[NoRenumbering, LowerNumber, NoWaitAfterTakeBack]),
    (Small, "1>(2)>(3)>2", 0, &[RenumbersFromAny, NoWaitAfterTakeBack]),
    (Full, "3>5", 0b1_0000, &[]),
    (Full, "3>(1)>1", 0, &[]),
];

/// It cannot.
const STUCK: &[EndRow] = &[
    (Small, "1>3", 0b110, &[]),
    (Small, "1>(3)>2", 0, &[NoRenumbering]),
    (Small, "1>(3)>2", 0, &[NoRenumbering, NoWaitAfterTakeBack]),
];

/// Random walks at sizes that cannot be exhausted: size, what they find, walks, steps in each, plan, switches.
type WalkRow = (Size, Expected, u64, usize, &'static str, &'static [Variant]);

const WALKS: &[WalkRow] = &[
    (Small, HoldsInWalks, 40_000, 300, "3>5", &[]),
    (Small, HoldsInWalks, 40_000, 300, "5>3", &[]),
    (Small, HoldsInWalks, 20_000, 400, "3>5>3", &[ThreeGenerations]),
    (Small, HoldsInWalks, 20_000, 400, "3>(5)>5", &[RenumbersFromAny]),
    (Small, HoldsInWalks, 20_000, 400, "3>(5)>4", &[]),
    // They do find what there is to be found.
    (Small, Breaks, 40_000, 300, "3>5", &[NewMajorityAlone]),
    (Small, Breaks, 40_000, 300, "3>5>3", &[SlotsOnly]),
    (Small, Breaks, 20_000, 400, "3>(5)>5", &[TakesBackWhatCommits]),
    (Full, HoldsInWalks, 1_000_000, 300, "3>5>7", &[]),
    (Full, HoldsInWalks, 1_000_000, 400, "3>5>3", &[ThreeGenerations]),
    (Full, HoldsInWalks, 1_000_000, 400, "3>(5)>5", &[]),
    (Full, HoldsInWalks, 1_000_000, 400, "3>(5)>5", &[RenumbersFromAny, NoWaitAfterTakeBack]),
    (Full, HoldsInWalks, 1_000_000, 500, "5>(3)>4>(3)>3", &[CatchesUp, NoWaitAfterTakeBack]),
];

fn row(expected: Expected, (size, plan, variants): &Row) -> Result<Check, BadPlan> {
    let topic = topic(plan);
    let model = Lists::new(plan.parse()?, Rule::with(variants));
    Ok(Check::everything((topic, *size, expected), name(plan, variants, 0), model))
}

fn end(expected: Expected, (size, plan, vacant, variants): &EndRow) -> Result<Check, BadPlan> {
    let model = Lists::with_vacant(plan.parse()?, Rule::with(variants), *vacant);
    let topic = topic(plan);
    Ok(Check::finish((topic, *size, expected), name(plan, variants, *vacant), model))
}

fn topic(plan: &str) -> Topic {
    if plan.contains('(') { Topic::TakenBack } else { Topic::Lists }
}

fn name(plan: &str, variants: &[Variant], vacant: Slots) -> String {
    let words: Vec<_> = variants.iter().map(|v| v.word()).collect();
    let words = if words.is_empty() { "the rule".to_owned() } else { words.join(" + ") };
    let vacant = members(vacant).map(|slot| format!(", slot {slot} never starts"));
    format!("lists {plan}: {words}{}", vacant.collect::<String>())
}

pub(super) fn checks() -> Result<Vec<Check>, BadPlan> {
    let tables = [(Holds, HOLDS), (Holds, HOLDS_TAKEN_BACK), (Breaks, BREAKS), (Breaks, BREAKS_TAKEN_BACK)];
    let rows = tables.iter().flat_map(|(expected, rows)| rows.iter().map(|r| row(*expected, r)));
    let walks = WALKS.iter().map(|(size, expected, walks, steps, plan, variants)| {
        let model = Lists::new(plan.parse::<Plan>()?, Rule::with(variants));
        let head = (topic(plan), *size, *expected);
        Ok(Check::walks(head, name(plan, variants, 0), model, (*walks, *steps)))
    });
    let ends = [(Holds, FINISHES), (Stuck, STUCK)];
    let ends = ends.iter().flat_map(|(expected, rows)| rows.iter().map(|row| end(*expected, row)));
    rows.chain(walks).chain(ends).collect()
}
