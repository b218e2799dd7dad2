//! Seat swaps and changes of size inside one generation: the rule and its variants, within bounds.

use crate::catalogue::Expected::{Breaks, Holds, HoldsInWalks};
use crate::catalogue::Size::{Full, Small};
use crate::catalogue::{Check, Expected, Size, Topic};
use crate::seats::Variant::{
    BeforeCommitted, BeforeOwnTerm, CountsOldTerms, KnownCommitted, NewMajorityAlone, OneStepLists,
    OneStepSwap,
};
use crate::seats::{Bounds, Rule, Seats, Variant};

/// Size, expected, slots before and after, restarts, terms, entries, other entries too, switches.
type Row = (Size, Expected, (usize, usize), (usize, u8, u8, bool), &'static [Variant]);

const EVERYTHING: &[Row] = &[
    (Small, Holds, (3, 3), (1, 3, 6, false), &[]),
    (Small, Holds, (3, 3), (1, 4, 6, false), &[]),
    (Small, Holds, (3, 3), (1, 3, 4, true), &[]),
    (Small, Holds, (3, 1), (0, 4, 6, false), &[]),
    (Small, Holds, (1, 3), (0, 4, 6, false), &[]),
    (Small, Holds, (3, 4), (0, 3, 5, false), &[]),
    (Small, Holds, (1, 3), (1, 3, 4, false), &[]),
    (Full, Holds, (3, 3), (2, 3, 7, false), &[]),
    (Full, Holds, (3, 3), (1, 5, 7, false), &[]),
    (Full, Holds, (3, 1), (1, 3, 6, false), &[]),
    (Full, Holds, (1, 3), (1, 3, 6, false), &[]),
    (Full, Holds, (2, 3), (1, 3, 6, false), &[]),
    (Full, Holds, (3, 2), (1, 3, 6, false), &[]),
    (Full, Holds, (4, 4), (1, 3, 5, false), &[]),
    (Full, Holds, (3, 5), (0, 3, 5, false), &[]),
    (Full, Holds, (5, 3), (0, 3, 5, false), &[]),
    // What a change waits for. The configuration that it replaces must not be one that the same leader has only just
    // appended. One that was found in the log may be replaced at once: by the time the joint one was appended the
    // old incarnation was dead (S1), so no majority of the old map that forms later is without one of the new map.
    (Small, Breaks, (3, 3), (1, 3, 5, false), &[BeforeCommitted]),
    (Small, Holds, (3, 3), (1, 3, 6, false), &[KnownCommitted]),
    (Small, Holds, (3, 3), (1, 3, 6, false), &[BeforeOwnTerm]),
    (Full, Holds, (3, 3), (2, 3, 6, false), &[BeforeOwnTerm]),
    (Full, Holds, (3, 1), (1, 3, 6, false), &[BeforeOwnTerm]),
    // Lists have no such luck: only 3d saves them, so without it the same haste loses a committed entry.
    (Small, Breaks, (3, 1), (0, 4, 5, false), &[BeforeOwnTerm, NewMajorityAlone]),
    (Small, Holds, (3, 1), (0, 4, 6, false), &[NewMajorityAlone]),
    (Small, Breaks, (3, 3), (1, 3, 5, false), &[OneStepSwap]),
    (Small, Breaks, (3, 1), (0, 3, 5, false), &[OneStepLists, NewMajorityAlone]),
    (Full, Breaks, (3, 5), (0, 3, 5, false), &[OneStepLists]),
    (Small, Breaks, (3, 3), (0, 4, 4, true), &[CountsOldTerms]),
];

/// Walks and steps in each, besides.
const WALKS: &[(u64, usize, Row)] = &[
    (5_000, 200, (Small, HoldsInWalks, (3, 3), (5, 5, 7, false), &[])),
    (5_000, 200, (Small, HoldsInWalks, (3, 5), (2, 5, 7, false), &[])),
    (300_000, 300, (Full, HoldsInWalks, (5, 5), (6, 5, 7, true), &[])),
    (300_000, 300, (Full, HoldsInWalks, (3, 5), (4, 5, 7, false), &[])),
    (300_000, 300, (Full, HoldsInWalks, (5, 3), (4, 5, 7, false), &[])),
];

pub(super) fn checks() -> Vec<Check> {
    let everything = EVERYTHING.iter().map(|row| {
        let (head, name, model) = parts(row);
        Check::everything(head, name, model)
    });
    let walks = WALKS.iter().map(|(walks, steps, row)| {
        let (head, name, model) = parts(row);
        Check::walks(head, name, model, (*walks, *steps))
    });
    everything.chain(walks).collect()
}

fn parts((size, expected, sizes, bounds, variants): &Row) -> ((Topic, Size, Expected), String, Seats) {
    let (restarts, terms, entries, writes) = *bounds;
    let bounds = Bounds { restarts, terms, entries, writes };
    let words: Vec<_> = variants.iter().map(|v| v.word()).collect();
    let words = if words.is_empty() { "the rule".to_owned() } else { words.join(" + ") };
    let change = if sizes.0 == sizes.1 { format!("{}", sizes.0) } else { format!("{}>{}", sizes.0, sizes.1) };
    let writes = if writes { ", writes" } else { "" };
    let name =
        format!("seats {change}, {restarts} restarts, {terms} terms, {entries} entries{writes}: {words}");
    ((Topic::Seats, *size, *expected), name, Seats::new(*sizes, Rule::with(variants), bounds))
}
