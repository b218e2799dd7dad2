//! What caches may hold, judged by the leader before it appends (rule 10), and what makes room.
//!
//! ```text
//! projected = applied use + what is appended and not applied yet − what is being evicted
//! ```
//!
//! The projection never falls short: every put counts as a new value, every eviction as one value less only until its
//! entry is applied. So the applied use stays within the limits on every replica, whatever the order of commits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::log::{Op, Payload, Why};
use crate::node::Node;
use crate::node::bound::Bound;
use crate::request::{Limit, Request, WhenFull};
use crate::store::Store;
use crate::types::Index;

/// Digits of the longest number, with its sign.
const NUMBER: usize = 20;
/// Values evicted for one write, at most.
const EVICTED_AT_ONCE: usize = 64;
/// Values that have ended and are removed per tick, at most.
const ENDED_PER_TICK: usize = 256;

/// What is appended to one cache and not applied yet.
#[derive(Debug, Default)]
struct Pending {
    entries: u64,
    bytes: u64,
    /// Versions that are being evicted, with their cost.
    evicting: BTreeMap<Index, u64>,
}

/// What is appended and not applied yet, by cache.
#[derive(Debug, Default)]
pub(super) struct Room {
    caches: BTreeMap<Arc<str>, Pending>,
    bytes: u64,
    /// Versions whose removal, because their time has come, is in the log.
    ending: BTreeSet<Index>,
}

/// The cache and what a value written by this costs at most.
fn cost(op: &Op) -> Option<(&Arc<str>, u64)> {
    match op {
        Op::Put { cache, key, value, .. } => Some((cache, Store::cost(key.len(), value.len()) as u64)),
        Op::Increment { cache, key, .. } => Some((cache, Store::cost(key.len(), NUMBER) as u64)),
        _ => None,
    }
}

impl Room {
    /// What the uncommitted end of the log holds, for a node that begins to lead.
    pub(super) fn of(bound: &Bound) -> Self {
        let mut room = Self::default();
        for index in bound.commit + 1..=bound.log.last_index() {
            if let Some(entry) = bound.log.get(index) {
                room.appended(&entry.payload);
            }
        }
        room
    }

    pub(super) fn appended(&mut self, payload: &Payload) {
        if let Payload::Write { op, .. } = payload
            && let Some((cache, cost)) = cost(op)
        {
            let pending = self.caches.entry(cache.clone()).or_default();
            pending.entries += 1;
            pending.bytes += cost;
            self.bytes += cost;
        }
    }

    pub(super) fn applied(&mut self, payload: &Payload) {
        match payload {
            Payload::Write { op, .. } => {
                let Some((cache, cost)) = cost(op) else { return };
                let Some(pending) = self.caches.get_mut(cache) else { return };
                pending.entries = pending.entries.saturating_sub(1);
                pending.bytes = pending.bytes.saturating_sub(cost);
                self.bytes = self.bytes.saturating_sub(cost);
                if pending.entries == 0 && pending.evicting.is_empty() {
                    let cache = cache.clone();
                    self.caches.remove(&cache);
                }
            }
            Payload::Remove { version, why: Why::Expired, .. } => {
                self.ending.remove(version);
            }
            Payload::Remove { cache, version, why: Why::Evicted, .. } => {
                if let Some(pending) = self.caches.get_mut(cache) {
                    pending.evicting.remove(version);
                }
            }
            _ => {}
        }
    }
}

impl Node {
    /// Whether a write fits, after evictions if the cache is declared so; these are appended at once, before it.
    pub(super) fn make_room(&mut self, request: &Request) -> Result<(), Limit> {
        let (cache, cost) = match request {
            Request::Put { cache, key, value, .. } => (cache, Store::cost(key.len(), value.len()) as u64),
            Request::Increment { cache, key, .. } => (cache, Store::cost(key.len(), NUMBER) as u64),
            _ => return Ok(()),
        };
        let replica = self.replica.clone();
        let store = replica.store();
        let most = self.settings.store_bytes as u64;
        let Some(leader) = self.bound().and_then(Bound::leader) else { return Ok(()) };
        if store.bytes() as u64 + leader.room.bytes + cost > most {
            return Err(Limit::Store);
        }
        let Some(limits) = store.limits(cache) else { return Ok(()) };
        if limits.entries.is_none() && limits.bytes.is_none() {
            return Ok(());
        }
        for _ in 0..=EVICTED_AT_ONCE {
            let usage = store.usage(cache);
            let Some(leader) = self.bound().and_then(Bound::leader) else { return Ok(()) };
            let none = Pending::default();
            let pending = leader.room.caches.get(cache).unwrap_or(&none);
            let evicting = (pending.evicting.len() as u64, pending.evicting.values().sum::<u64>());
            let entries = (usage.entries + pending.entries + 1).saturating_sub(evicting.0);
            let bytes = (usage.bytes + pending.bytes + cost).saturating_sub(evicting.1);
            let fits = limits.entries.is_none_or(|most| entries <= most)
                && limits.bytes.is_none_or(|most| bytes <= most);
            if fits {
                return Ok(());
            }
            let newest = pending.evicting.keys().next_back().copied().unwrap_or(0);
            let victim = match limits.when_full {
                WhenFull::Reject => None,
                WhenFull::Evict => store.oldest(cache, newest, 1).pop(),
            };
            let Some((key, version, cost)) = victim else { return Err(Limit::Cache) };
            leader.room.caches.entry(cache.clone()).or_default().evicting.insert(version, cost as u64);
            self.append(Payload::Remove { cache: cache.clone(), key, version, why: Why::Evicted });
        }
        Err(Limit::Cache)
    }

    /// Rule 10: values that have ended are removed by entries of the log, conditional on their version.
    pub(super) fn expire(&mut self) {
        if !self.serves() {
            return;
        }
        let now = self.now;
        let Some(leader) = self.bound_ref().and_then(Bound::leader_ref) else { return };
        if !leader.room.ending.is_empty() {
            return; // the last ones are not removed yet
        }
        for ended in self.replica.store().ended(leader.log_now(now), ENDED_PER_TICK) {
            if let Some(leader) = self.bound().and_then(Bound::leader) {
                leader.room.ending.insert(ended.version);
            }
            self.append(Payload::Remove {
                cache: ended.cache,
                key: ended.key,
                version: ended.version,
                why: Why::Expired,
            });
        }
    }
}
