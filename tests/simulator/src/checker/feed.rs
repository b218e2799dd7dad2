//! The change feed: what a watcher sees is what the log says, with nothing left out and nothing invented.

use rauthy_core::store::Change;
use rauthy_core::{Generation, Index};

use super::{Check, Checker, ensure};

impl Checker {
    /// A watcher at `after` was told of these changes, and is at `upto` now.
    ///
    /// # Errors
    /// If the committed log of that generation changed something else in between.
    pub fn watched(&self, generation: Generation, after: Index, upto: Index, got: &[Change]) -> Check {
        let Some(life) = self.lives.get(&generation) else {
            return ensure(got.is_empty(), || {
                format!("Watch: {generation} has committed nothing, not {got:?}")
            });
        };
        ensure(upto <= life.last().max(after), || {
            format!("Watch: the feed of {generation} ends at {upto}, {} is committed", life.last())
        })?;
        let place = |index: Index| usize::try_from(index).unwrap_or(usize::MAX);
        let entries = life.entries.get(place(after)..place(upto.max(after))).unwrap_or_default();
        let mut expected = entries.iter().filter_map(|committed| committed.change.as_ref());
        for change in got {
            let wanted = expected.next();
            ensure(wanted == Some(change), || {
                format!("Watch: after {after} of {generation} came {change:?}, where {wanted:?} had happened")
            })?;
        }
        let missed = expected.next();
        ensure(missed.is_none(), || {
            format!("Watch: between {after} and {upto} of {generation} {missed:?} was missed")
        })
    }
}
