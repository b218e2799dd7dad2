//! What is answered of an entry, from what its shards say.

use std::sync::Arc;

use crate::log::Entry;
use crate::request::{Done, Effect};
use crate::store::dedup::Admission;
use crate::store::feed::Seen;

/// What an entry did, and what a watcher sees of it.
pub(super) type Answer = (Done, Option<(Arc<str>, Seen)>);

pub(super) fn unknown(entry: &Entry) -> Done {
    Done { version: entry.index, effect: Effect::Unknown }
}

pub(super) fn refused(entry: &Entry, admission: Admission) -> Done {
    match admission {
        Admission::Known(done) => done,
        Admission::New | Admission::Forgotten => unknown(entry),
    }
}

/// The answer of two shards together.
pub(super) fn both(one: Done, other: Done) -> Done {
    let effect = match (one.effect, other.effect) {
        (Effect::Cleared { values: a }, Effect::Cleared { values: b }) => {
            Effect::Cleared { values: a.saturating_add(b) }
        }
        (Effect::Unknown, _) | (_, Effect::Unknown) => Effect::Unknown,
        (effect, _) => effect,
    };
    Done { version: one.version, effect }
}
