//! What the state machine does with entries, and that equal histories give equal bytes.

mod caches;
mod changes;
mod marks;
mod operations;
mod sessions;
mod snapshot;

use super::*;
use crate::log::Why;
use crate::request::{Condition, WhenFull};

const CACHE: &str = "codes";

/// A store with the log that it applies: the n-th entry has index n.
struct Log {
    store: Store,
    last: Index,
    /// Of the next entries.
    now: LogTime,
}

impl Store {
    fn install_copy(&self, shard: u32, copy: Frozen) {
        self.install(shard, copy.applied, copy);
    }
}

fn log() -> Log {
    Log { store: Store::default(), last: 0, now: LogTime(0) }
}

impl Log {
    fn apply(&mut self, payload: Payload) -> Effect {
        self.last += 1;
        let entry = Entry { term: 1, index: self.last, time: self.now, payload };
        let done = self.store.apply(&Arc::new(entry));
        if done.effect != Effect::Unknown {
            assert!(done.version <= self.last);
        }
        done.effect
    }

    fn write(&mut self, op: Op) -> Effect {
        self.apply(Payload::Write { tag: None, op })
    }

    fn put(&mut self, key: &str, value: &str) -> Effect {
        self.write(put(key, value, None))
    }

    fn remove(&mut self, key: &str, version: Index, why: Why) -> Effect {
        let (cache, key) = (Arc::from(CACHE), bytes(key));
        self.apply(Payload::Remove { cache, key, version, why })
    }

    fn at(&mut self, now: u64) -> &mut Self {
        self.now = LogTime(now);
        self
    }

    fn value(&self, key: &str) -> Option<(Bytes, Index)> {
        value(&self.store, key)
    }

    fn text(&self, key: &str) -> Option<String> {
        self.value(key).map(|(value, _)| String::from_utf8_lossy(&value).into_owned())
    }
}

fn bytes(text: &str) -> Bytes {
    Bytes::from(text.to_owned())
}

fn value(store: &Store, key: &str) -> Option<(Bytes, Index)> {
    store.get(CACHE, key.as_bytes()).map(|v| (v.clone().into(), v.version()))
}

fn put(key: &str, value: &str, expires_at: Option<u64>) -> Op {
    put_if(key, value, expires_at, Condition::Always)
}

fn put_if(key: &str, value: &str, expires_at: Option<u64>, condition: Condition) -> Op {
    let (cache, key, value) = (Arc::from(CACHE), bytes(key), bytes(value));
    Op::Put { cache, key, value, expires_at: expires_at.map(LogTime), condition }
}

fn delete(key: &str) -> Op {
    Op::Delete { cache: Arc::from(CACHE), key: bytes(key) }
}

fn take(key: &str) -> Op {
    Op::Take { cache: Arc::from(CACHE), key: bytes(key) }
}

fn increment(key: &str, by: i64, expires_at: Option<u64>) -> Op {
    Op::Increment { cache: Arc::from(CACHE), key: bytes(key), by, expires_at: expires_at.map(LogTime) }
}

fn clear() -> Op {
    Op::Clear { cache: Arc::from(CACHE) }
}

fn declare(limits: Limits) -> Op {
    Op::Declare { cache: Arc::from(CACHE), limits }
}
