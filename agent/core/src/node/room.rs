//! What caches may hold, judged by the leader before it appends (rule 10), and what makes room.
//!
//! ```text
//! projected = applied use + what is appended and not applied yet − what is being evicted
//! ```
//!
//! The projection never falls short: every put counts as a new value until it is applied, an eviction as one value less
//! only as long as its value is still there. So the applied use stays within the limits on every replica, whatever the order of commits.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

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
/// Caches, at most; what is declared is kept for ever.
const CACHES: usize = 4096;
/// Values that have ended and are removed per heartbeat, at most.
const ENDED_PER_TICK: usize = 4096;

/// What is appended to one cache and not applied yet.
#[derive(Debug, Default)]
struct Pending {
    entries: u64,
    bytes: u64,
    /// Keys that are being evicted, with their cost. Whatever else happens to a key in the log takes it from here: the
    /// eviction then removes nothing.
    evicting: BTreeMap<Bytes, u64>,
    evicting_bytes: u64,
    /// Every value up to this version was evicted, or is being.
    evicted_to: Index,
}

impl Pending {
    fn evict(&mut self, key: Bytes, version: Index, cost: u64) {
        self.evicting_bytes += cost;
        self.evicting_bytes -= self.evicting.insert(key, cost).unwrap_or(0);
        self.evicted_to = version;
    }

    fn touched(&mut self, key: &Bytes) {
        self.evicting_bytes -= self.evicting.remove(key).unwrap_or(0);
    }
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
                if let Some((cache, key)) = op.key() {
                    self.touched(cache, key);
                } else if let Op::Clear { cache } = op
                    && let Some(pending) = self.caches.get_mut(cache)
                {
                    pending.evicting.clear();
                    pending.evicting_bytes = 0;
                }
                let Some((cache, cost)) = cost(op) else { return };
                let Some(pending) = self.caches.get_mut(cache) else { return };
                pending.entries = pending.entries.saturating_sub(1);
                pending.bytes = pending.bytes.saturating_sub(cost);
                self.bytes = self.bytes.saturating_sub(cost);
                if pending.entries == 0 && pending.evicting.is_empty() {
                    self.caches.remove(cache);
                }
            }
            Payload::Remove { cache, key, version, .. } => {
                self.ending.remove(version);
                self.touched(cache, key);
            }
            _ => {}
        }
    }

    /// Something was applied to a key: its eviction, if one is in the log, is done or will find nothing.
    fn touched(&mut self, cache: &Arc<str>, key: &Bytes) {
        if let Some(pending) = self.caches.get_mut(cache) {
            pending.touched(key);
        }
    }
}

impl Node {
    /// Whether a write fits, after evictions if the cache is declared so; these are appended at once, before it.
    pub(super) fn make_room(&mut self, request: &Request) -> Result<(), Limit> {
        if let Request::Declare { cache, .. } = request {
            let full =
                self.replica.store().limits(cache).is_none() && self.replica.store().caches().len() >= CACHES;
            return if full { Err(Limit::Cache) } else { Ok(()) };
        }
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
        if limits.bytes.is_some_and(|most| cost > most) || limits.entries == Some(0) {
            return Err(Limit::Cache); // however much made room
        }
        let usage = store.usage(cache);
        let none = Pending::default();
        let pending = leader.room.caches.get(cache).unwrap_or(&none);
        let mut entries = (usage.entries + pending.entries + 1).saturating_sub(pending.evicting.len() as u64);
        let mut bytes = (usage.bytes + pending.bytes + cost).saturating_sub(pending.evicting_bytes);
        let fits = |entries: u64, bytes: u64| {
            limits.entries.is_none_or(|most| entries <= most) && limits.bytes.is_none_or(|most| bytes <= most)
        };
        if fits(entries, bytes) {
            return Ok(());
        }
        if limits.when_full == WhenFull::Reject {
            return Err(Limit::Cache);
        }
        // Nothing is evicted unless it is enough.
        let mut victims = Vec::new();
        for victim in store.oldest(cache, pending.evicted_to, EVICTED_AT_ONCE) {
            entries = entries.saturating_sub(1);
            bytes = bytes.saturating_sub(victim.2 as u64);
            victims.push(victim);
            if fits(entries, bytes) {
                break;
            }
        }
        if !fits(entries, bytes) {
            return Err(Limit::Cache);
        }
        for (key, version, cost) in victims {
            if let Some(leader) = self.bound().and_then(Bound::leader) {
                leader.room.caches.entry(cache.clone()).or_default().evict(key.clone(), version, cost as u64);
            }
            self.append(Payload::Remove { cache: cache.clone(), key, version, why: Why::Evicted });
        }
        Ok(())
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
