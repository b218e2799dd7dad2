//! Configurations and entries.

use std::collections::BTreeSet;
use std::sync::Arc;

use rauthy_core::Index;
use rauthy_core::Slot;
use rauthy_core::config::{Configuration, Seats};
use rauthy_core::log::{Entry, Op, Payload, Tag, Why};
use rauthy_proto::mesh as proto;
use rauthy_proto::mesh::entry::Payload as Wire;
use rauthy_proto::mesh::write::Op as WireOp;

use super::WireError;
use super::parts::{
    cache, cache_and_key, condition, count, declared, end, incarnation, key, key_and_value, log_time,
    put_condition, put_declared, put_incarnation, put_key, slot,
};

/// More slots or seats than any configuration has.
const SLOTS: usize = 32;

pub(super) fn put_configuration(configuration: &Configuration) -> proto::Configuration {
    let list = |slots: &Vec<Slot>| proto::SlotList { slots: slots.iter().map(Slot::to_string).collect() };
    let map = |seats: &Seats| proto::SeatMap { held_by: seats.values().map(put_incarnation).collect() };
    proto::Configuration {
        epoch: configuration.epoch,
        resizing: configuration.resizing,
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
    // A slot that stood twice in a list would be counted twice in its quorums.
    let list = |from: proto::SlotList| {
        let slots = from.slots.iter().take(SLOTS + 1).map(|n| slot(n)).collect::<Result<Vec<_>, _>>()?;
        let different = slots.iter().collect::<BTreeSet<_>>().len();
        if slots.is_empty() || slots.len() > SLOTS || different < slots.len() {
            return Err(WireError::Bounds("a slot list"));
        }
        Ok(slots)
    };
    let map = |from: proto::SeatMap| {
        // Without anybody in it nothing could be decided.
        if from.held_by.is_empty() || from.held_by.len() > SLOTS {
            return Err(WireError::Bounds("a seat map"));
        }
        let held = from.held_by.len();
        let seats = from
            .held_by
            .into_iter()
            .map(|who| incarnation(Some(who)).map(|who| (who.slot.clone(), who)))
            .collect::<Result<Seats, _>>()?;
        if seats.len() < held { Err(WireError::Bounds("a seat map")) } else { Ok(seats) }
    };
    Ok(Arc::new(Configuration {
        epoch: count(from.epoch)?,
        resizing: from.resizing,
        lists: from.lists.into_iter().map(list).collect::<Result<_, _>>()?,
        maps: from.maps.into_iter().map(map).collect::<Result<_, _>>()?,
    }))
}

pub(super) fn put_entry(entry: &Entry) -> proto::Entry {
    let payload = match &entry.payload {
        Payload::Noop => Wire::Noop(proto::Nothing {}),
        Payload::Configuration(c) => Wire::Configuration(put_configuration(c)),
        Payload::Write { tag, op } => Wire::Write(put_write(*tag, op)),
        Payload::Remove { cache, key, version, why } => Wire::Remove(proto::Remove {
            cache: cache.to_string(),
            key: key.clone(),
            version: *version,
            evicted: *why == Why::Evicted,
        }),
        Payload::Floor { session, floor } => {
            Wire::SessionFloor(proto::SessionFloor { session: *session, floor: *floor })
        }
        Payload::EndSession { session } => Wire::EndSession(*session),
    };
    proto::Entry { term: entry.term, index: entry.index, time_us: entry.time.0, payload: Some(payload) }
}

pub(super) fn entry(from: proto::Entry) -> Result<Entry, WireError> {
    let payload = match from.payload.ok_or(WireError::Missing("what an entry does"))? {
        Wire::Noop(_) => Payload::Noop,
        Wire::Configuration(c) => Payload::Configuration(configuration(Some(c))?),
        Wire::Write(w) => write(w)?,
        Wire::Remove(remove) => Payload::Remove {
            cache: cache(remove.cache)?,
            key: key(&remove.key)?,
            version: count(remove.version)?,
            why: if remove.evicted { Why::Evicted } else { Why::Expired },
        },
        Wire::SessionFloor(f) => Payload::Floor { session: count(f.session)?, floor: count(f.floor)? },
        Wire::EndSession(session) => Payload::EndSession { session: count(session)? },
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

fn put_write(tag: Option<Tag>, op: &Op) -> proto::Write {
    let op = match op {
        Op::Put { cache, key, value, expires_at, condition } => WireOp::Put(proto::Put {
            cache: cache.to_string(),
            key: key.clone(),
            value: value.clone(),
            expires_at_us: expires_at.map(|t| t.0),
            condition: put_condition(*condition),
        }),
        Op::Delete { cache, key } => WireOp::Delete(put_key(cache, key)),
        Op::Take { cache, key } => WireOp::Take(put_key(cache, key)),
        Op::Increment { cache, key, by, expires_at } => WireOp::Increment(proto::Increment {
            cache: cache.to_string(),
            key: key.clone(),
            by: *by,
            expires_at_us: expires_at.map(|t| t.0),
        }),
        Op::Clear { cache } => WireOp::Clear(cache.to_string()),
        Op::Declare { cache, limits } => WireOp::Declare(put_declared(cache, limits)),
        Op::OpenSession => WireOp::OpenSession(proto::Nothing {}),
    };
    let tag = tag.map(|t| proto::Tag { session: t.session, seq: t.seq, floor: t.floor });
    proto::Write { tag, op: Some(op) }
}

fn write(from: proto::Write) -> Result<Payload, WireError> {
    let tag = from.tag.map(|t| -> Result<Tag, WireError> {
        Ok(Tag { session: count(t.session)?, seq: count(t.seq)?, floor: count(t.floor)? })
    });
    let op = match from.op.ok_or(WireError::Missing("what a write does"))? {
        WireOp::Put(put) => {
            let (key, value) = key_and_value(&put.key, &put.value)?;
            Op::Put {
                cache: cache(put.cache)?,
                key,
                value,
                expires_at: end(put.expires_at_us)?,
                condition: condition(put.condition)?,
            }
        }
        WireOp::Delete(from) => {
            let (cache, key) = cache_and_key(from)?;
            Op::Delete { cache, key }
        }
        WireOp::Take(from) => {
            let (cache, key) = cache_and_key(from)?;
            Op::Take { cache, key }
        }
        WireOp::Increment(increment) => Op::Increment {
            cache: cache(increment.cache)?,
            key: key(&increment.key)?,
            by: increment.by,
            expires_at: end(increment.expires_at_us)?,
        },
        WireOp::Clear(name) => Op::Clear { cache: cache(name)? },
        WireOp::Declare(from) => {
            let (cache, limits) = declared(from)?;
            Op::Declare { cache, limits }
        }
        WireOp::OpenSession(_) => Op::OpenSession,
    };
    Ok(Payload::Write { tag: tag.transpose()?, op })
}
