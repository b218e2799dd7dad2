//! Entries, configurations and snapshots.

use std::sync::Arc;

use rauthy_core::config::{Configuration, Seats};
use rauthy_core::log::{Entry, Payload};
use rauthy_core::message::{Base, SnapshotChunk};
use rauthy_core::store::Record;
use rauthy_core::{Index, LogTime, Slot};
use rauthy_proto::mesh as proto;
use rauthy_proto::mesh::entry::Payload as Wire;

use super::WireError;
use super::parts::{cache, count, incarnation, key, log_time, put_incarnation, slot, value};

/// More slots or seats than any configuration has.
const SLOTS: usize = 32;

pub(super) fn put_configuration(configuration: &Configuration) -> proto::Configuration {
    let list = |slots: &Vec<Slot>| proto::SlotList { slots: slots.iter().map(Slot::to_string).collect() };
    let map = |seats: &Seats| proto::SeatMap {
        seats: seats
            .iter()
            .map(|(slot, who)| proto::Seat { slot: slot.to_string(), held_by: Some(put_incarnation(who)) })
            .collect(),
    };
    proto::Configuration {
        lists: configuration.lists.iter().map(list).collect(),
        maps: configuration.maps.iter().map(map).collect(),
    }
}

pub(super) fn configuration(from: Option<proto::Configuration>) -> Result<Arc<Configuration>, WireError> {
    let from = from.ok_or(WireError::Missing("a configuration"))?;
    let one_or_two = 1..=2;
    if !one_or_two.contains(&from.lists.len()) || !one_or_two.contains(&from.maps.len()) {
        return Err(WireError::Bounds("a configuration"));
    }
    let list = |from: proto::SlotList| {
        if from.slots.is_empty() || from.slots.len() > SLOTS {
            return Err(WireError::Bounds("a slot list"));
        }
        from.slots.iter().map(|name| slot(name)).collect::<Result<Vec<_>, _>>()
    };
    let map = |from: proto::SeatMap| {
        if from.seats.len() > SLOTS {
            return Err(WireError::Bounds("a seat map"));
        }
        from.seats
            .into_iter()
            .map(|s| Ok((slot(&s.slot)?, incarnation(s.held_by)?)))
            .collect::<Result<Seats, _>>()
    };
    Ok(Arc::new(Configuration {
        lists: from.lists.into_iter().map(list).collect::<Result<_, _>>()?,
        maps: from.maps.into_iter().map(map).collect::<Result<_, _>>()?,
    }))
}

pub(super) fn put_entry(entry: &Entry) -> proto::Entry {
    let payload = match &entry.payload {
        Payload::Noop => Wire::Noop(proto::Noop {}),
        Payload::Configuration(c) => Wire::Configuration(put_configuration(c)),
        Payload::Put { cache, key, value, expires_at } => Wire::Put(proto::Put {
            cache: cache.to_string(),
            key: key.clone(),
            value: value.clone(),
            expires_at_us: expires_at.map(|t| t.0),
        }),
        Payload::Delete { cache, key } => {
            Wire::Delete(proto::Delete { cache: cache.to_string(), key: key.clone() })
        }
        Payload::Expire { cache, key, version } => {
            Wire::Expire(proto::Expire { cache: cache.to_string(), key: key.clone(), version: *version })
        }
    };
    proto::Entry { term: entry.term, index: entry.index, time_us: entry.time.0, payload: Some(payload) }
}

fn entry(from: proto::Entry) -> Result<Entry, WireError> {
    let payload = match from.payload.ok_or(WireError::Missing("what an entry does"))? {
        Wire::Noop(_) => Payload::Noop,
        Wire::Configuration(c) => Payload::Configuration(configuration(Some(c))?),
        Wire::Put(put) => Payload::Put {
            cache: cache(put.cache)?,
            key: key(&put.key)?,
            value: value(&put.value)?,
            expires_at: end(put.expires_at_us)?,
        },
        Wire::Delete(delete) => Payload::Delete { cache: cache(delete.cache)?, key: key(&delete.key)? },
        Wire::Expire(expire) => Payload::Expire {
            cache: cache(expire.cache)?,
            key: key(&expire.key)?,
            version: count(expire.version)?,
        },
    };
    Ok(Entry { term: count(from.term)?, index: count(from.index)?, time: log_time(from.time_us)?, payload })
}

/// The entries of an append; they follow `prev` without a gap.
pub(super) fn entries(prev: Index, from: Vec<proto::Entry>) -> Result<Vec<Arc<Entry>>, WireError> {
    let mut last = prev;
    let mut out = Vec::with_capacity(from.len());
    for one in from {
        let one = entry(one)?;
        if one.index != last + 1 {
            return Err(WireError::Bounds("the index of an entry"));
        }
        last = one.index;
        out.push(Arc::new(one));
    }
    Ok(out)
}

fn end(us: Option<u64>) -> Result<Option<LogTime>, WireError> {
    us.map(log_time).transpose()
}

pub(super) fn put_chunk(chunk: SnapshotChunk) -> proto::SnapshotChunk {
    let record = |r: Record| proto::Record {
        cache: r.cache.to_string(),
        key: r.key,
        value: r.value,
        version: r.version,
        expires_at_us: r.expires_at.map(|t| t.0),
    };
    proto::SnapshotChunk {
        term: chunk.term,
        id: chunk.id,
        base_index: chunk.base.index,
        base_term: chunk.base.term,
        base_time_us: chunk.base.time.0,
        configuration: Some(put_configuration(&chunk.base.configuration)),
        founding_epoch: chunk.base.founding_epoch,
        shard: chunk.shard,
        part: chunk.part,
        shard_done: chunk.shard_done,
        done: chunk.done,
        shard_applied: chunk.shard_applied,
        records: chunk.records.into_iter().map(record).collect(),
    }
}

pub(super) fn chunk(from: proto::SnapshotChunk) -> Result<SnapshotChunk, WireError> {
    let record = |r: proto::Record| {
        Ok(Record {
            cache: cache(r.cache)?,
            key: key(&r.key)?,
            value: value(&r.value)?,
            version: count(r.version)?,
            expires_at: end(r.expires_at_us)?,
        })
    };
    Ok(SnapshotChunk {
        term: count(from.term)?,
        id: from.id,
        base: Base {
            index: count(from.base_index)?,
            term: count(from.base_term)?,
            time: log_time(from.base_time_us)?,
            configuration: configuration(from.configuration)?,
            founding_epoch: count(from.founding_epoch)?,
        },
        shard: from.shard,
        part: from.part,
        shard_done: from.shard_done,
        done: from.done,
        shard_applied: count(from.shard_applied)?,
        records: from.records.into_iter().map(record).collect::<Result<_, WireError>>()?,
    })
}
