//! Where the search can be, and where it was.
//!
//! ```text
//! Config { event, state, done, used, … }   everything before `event` has its place; done: open steps that have one too
//! Seen   configurations that need no second look, and those that are no better than one of them
//! ```

use std::collections::HashMap;

use crate::bits::Bits;
use crate::model::State;
use crate::plan::Plan;

#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct Config {
    pub(crate) event: u32,
    pub(crate) state: State,
    /// Bits of the open steps that have their place.
    pub(crate) done: Bits,
    /// (class, how many of it), by class.
    used: Vec<(u32, u32)>,
    /// The last one placed was an unknown write or a value vanishing: the next must depend on it.
    pub(crate) fresh: bool,
    /// At the end of windows: something was placed and none of those windows was needed since.
    pub(crate) useless: bool,
}

impl Config {
    pub(crate) fn used(&self, class: u32) -> usize {
        self.used.binary_search_by_key(&class, |(class, _)| *class).map_or(0, |at| self.used[at].1 as usize)
    }

    pub(crate) fn spend(&mut self, class: u32) {
        match self.used.binary_search_by_key(&class, |(class, _)| *class) {
            Ok(at) => self.used[at].1 += 1,
            Err(at) => self.used.insert(at, (class, 1)),
        }
    }

    /// What was used, by kinds that are still different at this time.
    fn spent(&self, plan: &Plan<'_>, time: u64) -> Vec<(u32, u32)> {
        let mut spent: Vec<(u32, u32)> = Vec::with_capacity(self.used.len());
        for (class, count) in &self.used {
            let Some(of) = plan.classes.get(*class as usize) else { continue };
            let kind = if of.faded(time) { 2 * of.family + 1 } else { 2 * class };
            spent.push((kind, *count));
        }
        spent.sort_unstable();
        spent.dedup_by(|(kind, count), (kept, sum)| {
            let same = kind == kept;
            *sum += if same { *count } else { 0 };
            same
        });
        spent
    }
}

/// What was looked at. A configuration that equals another but for having used more unknown writes leads nowhere that
/// the other does not lead as well, so it needs no look of its own.
#[derive(Default)]
pub(crate) struct Seen {
    /// By everything but what was used.
    all: HashMap<Config, Vec<Vec<(u32, u32)>>>,
    pub(crate) states: usize,
}

impl Seen {
    /// Whether a look at it can lead to anything new.
    pub(crate) fn insert(&mut self, config: &Config, plan: &Plan<'_>) -> bool {
        let time = plan.events.get(config.event as usize).map_or(u64::MAX, |event| event.time);
        let spent = config.spent(plan, time);
        let mut key = config.clone();
        key.used = Vec::new();
        let others = self.all.entry(key).or_default();
        if others.iter().any(|other| within(other, &spent)) {
            return false;
        }
        others.push(spent);
        self.states += 1;
        true
    }
}

/// Whether nothing was used more often in `less` than in `more`.
fn within(less: &[(u32, u32)], more: &[(u32, u32)]) -> bool {
    let mut more = more.iter();
    less.iter().all(|(kind, count)| more.any(|(other, most)| other == kind && most >= count))
}
