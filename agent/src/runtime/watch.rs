//! Watches what changes in the cache of this node.
//!
//! ```text
//! Watcher ─ At ─┬─ Waiting { after }   until this node may be read (again)
//!               └─ Going(position)     everything up to here was told
//! ```
//!
//! Nothing is queued for a watcher: it reads the core's feed from its position on, whenever it is asked and something was
//! applied. One that is too slow finds that the feed begins after its position, and is told so.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rauthy_core::replica::Position;
use rauthy_core::store::{Change, Changed};
use tokio::time::{Instant, timeout};

use super::handle::Handle;

/// Changes that are looked at in one go, at most.
const CHANGES: usize = 256;
/// Bytes of keys and values that are given in one go; one change more than this is given alone.
const BYTES: usize = 256 << 10;
/// A watcher to whom nothing happens is told this often how far it is.
const PROGRESS: Duration = Duration::from_secs(1);
/// How often it is looked whether this node may be read.
const LOOK: Duration = Duration::from_millis(20);

/// Which changes are watched.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Of this cache; `None`: of all.
    pub cache: Option<Arc<str>>,
    /// Of keys that begin so, and of whole caches.
    pub prefix: Bytes,
}

impl Filter {
    fn wants(&self, change: &Change) -> bool {
        let key = match &change.change {
            Changed::Put { key, .. } | Changed::Removed { key, .. } => Some(key),
            Changed::Cleared => None,
        };
        self.cache.as_ref().is_none_or(|cache| *cache == change.cache)
            && key.is_none_or(|key| key.starts_with(&self.prefix))
    }
}

/// What a watcher is told.
#[derive(Clone, Debug, PartialEq)]
pub enum Watched {
    /// The watch begins here, or nothing that is asked for changed up to here.
    At(Position),
    /// These changes, in their order, and the position after them.
    Changes(Vec<Change>, Position),
    /// What changed up to here is not known: what is kept must be read anew.
    Missed(Position),
    /// All data is gone. What comes next, once this node may be read again, begins with [`Self::At`].
    Gone,
}

#[derive(Clone, Copy, Debug)]
enum At {
    Waiting { after: Option<Position> },
    Going(Position),
}

/// Follows what changes on this node. Cheap, and unread for as long as its owner likes.
pub struct Watcher {
    handle: Handle,
    filter: Filter,
    at: At,
    told: Instant,
}

impl Watcher {
    pub(super) fn new(handle: Handle, filter: Filter, after: Option<Position>) -> Self {
        Self { handle, filter, at: At::Waiting { after }, told: Instant::now() }
    }

    /// Waits until there is something to tell; `None`: the agent has stopped. Whoever gives up waiting misses nothing.
    pub async fn next(&mut self) -> Option<Watched> {
        let applied = self.handle.applied();
        loop {
            // Before the look, so that nothing applied after it is missed.
            let changed = applied.notified();
            if let Some(watched) = self.step() {
                self.told = Instant::now();
                return Some(watched);
            }
            if self.handle.has_ended() {
                return None;
            }
            match self.at {
                At::Going(_) => changed.await,
                // Nobody tells that a lease has come.
                At::Waiting { .. } => drop(timeout(LOOK, changed).await),
            }
        }
    }

    fn step(&mut self) -> Option<Watched> {
        match self.at {
            At::Waiting { after } => self.begin(after),
            At::Going(position) => self.go_on(position),
        }
    }

    fn begin(&mut self, after: Option<Position>) -> Option<Watched> {
        let replica = self.handle.replica();
        // That there is no such cache is an answer, too.
        self.handle.read("", &[]).ok()?;
        let end = replica.feed_end()?;
        if after.is_some_and(|after| after.generation != end.generation) {
            self.at = At::Waiting { after: None };
            return Some(Watched::Gone);
        }
        self.at = At::Going(after.unwrap_or(end));
        after.and_then(|after| self.go_on(after)).or_else(|| Some(Watched::At(after.unwrap_or(end))))
    }

    fn go_on(&mut self, position: Position) -> Option<Watched> {
        let replica = self.handle.replica();
        loop {
            let At::Going(from) = self.at else { return None };
            let end = replica.feed_end().filter(|end| end.generation == position.generation);
            let Some(end) = end else {
                self.at = At::Waiting { after: None };
                return Some(Watched::Gone);
            };
            let Ok(mut changes) = replica.changes(from, None, CHANGES) else {
                let Some(now) = replica.feed_end() else { continue };
                if now.generation != position.generation {
                    continue; // and find that it is gone
                }
                self.at = At::Going(now);
                return Some(Watched::Missed(now));
            };
            let all = changes.len() < CHANGES;
            let last = changes.last().map_or(0, |change| change.index);
            let mut to = if all { from.index.max(end.index).max(last) } else { last };
            changes.retain(|change| self.filter.wants(change));
            if let Some(many) = cut(&changes) {
                changes.truncate(many);
                to = changes.last().map_or(to, |change| change.index);
            }
            let to = Position { index: to, ..from };
            self.at = At::Going(to);
            if !changes.is_empty() {
                return Some(Watched::Changes(changes, to));
            }
            if all {
                let late = to != from && self.told.elapsed() >= PROGRESS;
                return late.then_some(Watched::At(to));
            }
        }
    }
}

/// How many of them are given in one go, if not all are.
fn cut(changes: &[Change]) -> Option<usize> {
    let mut bytes = 0;
    let fits = |change: &Change| {
        bytes += match &change.change {
            Changed::Put { key, value } => key.len() + value.len(),
            Changed::Removed { key, .. } => key.len(),
            Changed::Cleared => 0,
        };
        bytes <= BYTES
    };
    let fit = changes.iter().map(fits).take_while(|fits| *fits).count();
    (fit < changes.len()).then_some(fit.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: usize, value: usize) -> Change {
        let (key, value) = (vec![0; key].into(), vec![0; value].into());
        Change { index: 1, cache: "c".into(), change: Changed::Put { key, value } }
    }

    #[test]
    fn what_is_given_in_one_go_is_bounded() {
        assert_eq!(cut(&[]), None);
        assert_eq!(cut(&[put(1, BYTES - 1)]), None);
        assert_eq!(cut(&[put(1, BYTES)]), Some(1), "one is given in any case");
        assert_eq!(cut(&[put(1, BYTES - 1), put(1, 0)]), Some(1));
        assert_eq!(cut(&[put(1, 1), put(1, BYTES), put(1, 1)]), Some(1));
        assert_eq!(cut(&[put(1, 1), put(1, 1), put(1, BYTES)]), Some(2));
    }

    #[test]
    fn only_what_is_asked_for_is_told() {
        let change = |cache: &str, change| Change { index: 1, cache: cache.into(), change };
        let put = |key: &'static str| Changed::Put { key: key.into(), value: Bytes::new() };
        let all = Filter::default();
        assert!(all.wants(&change("c", put("k"))) && all.wants(&change("d", Changed::Cleared)));
        let one = Filter { cache: Some("c".into()), prefix: "user/".into() };
        assert!(one.wants(&change("c", put("user/1"))));
        assert!(one.wants(&change("c", Changed::Cleared)), "it concerns every key");
        assert!(!one.wants(&change("c", put("use"))));
        assert!(!one.wants(&change("d", put("user/1"))));
    }
}
