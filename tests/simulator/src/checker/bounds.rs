//! 15: memory stays within the bounds, on every replica.

use rauthy_core::Node;
use rauthy_core::node::Inside;

use super::{Check, Checker, ensure};
use crate::world::PENDING;

/// Bytes of all values, as the world sets them.
pub const STORE: usize = 256 << 10;
/// Sessions, as the world sets them.
pub const SESSIONS: usize = 64;
/// Bytes of remembered results: judged by what is applied, so what was appended meanwhile comes on top, with all values
/// that it can have taken.
pub const DEDUP: usize = (128 << 10) + PENDING + STORE;
/// Caches that are declared once in a generation, and written to only after that.
pub const LIMITED: [&str; 2] = ["small", "tight"];

impl Checker {
    /// A node's commit index has moved, and its store is whole.
    pub(super) fn bounded(&mut self, node: &Node, inside: &Inside<'_>) -> Check {
        let me = node.me();
        let replica = node.replica();
        let store = replica.store();
        let (bytes, dedup) = (store.bytes(), store.dedup_bytes());
        ensure(bytes <= STORE, || format!("15: {me} holds {bytes} bytes of values"))?;
        ensure(dedup <= DEDUP, || format!("15: {me} holds {dedup} bytes of results"))?;
        let Some(life) = self.lives.get_mut(&inside.generation) else { return Ok(()) };
        for cache in LIMITED {
            let Some(limits) = life.model.limits(cache) else { continue };
            let used = store.usage(cache);
            let fits = limits.entries.is_none_or(|most| used.entries <= most)
                && limits.bytes.is_none_or(|most| used.bytes <= most);
            ensure(fits, || {
                let log = life.story(cache);
                format!("15: {me} holds {used:?} in {cache}, declared with {limits:?}{log}")
            })?;
            if inside.commit != life.last() {
                continue;
            }
            // Limits would say nothing if what is held were counted wrongly.
            let really = life.model.used(cache);
            let fixed = used.bytes.wrapping_sub(really.bytes);
            let each = match fixed.checked_div(really.entries) {
                Some(each) => *life.fixed.get_or_insert(each),
                None => 0,
            };
            let counted = used.entries == really.entries && fixed == each * really.entries;
            ensure(counted, || format!("15: {me} counts {used:?} in {cache}, which holds {really:?}"))?;
        }
        if inside.commit == life.last() {
            let (entries, really) = (store.entries() as u64, life.model.total().entries);
            ensure(entries == really, || format!("15: {me} counts {entries} values, it holds {really}"))?;
        }
        Ok(())
    }
}
