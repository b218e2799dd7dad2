//! The parts that several messages share: names, numbers, times, limits of caches.

use std::sync::Arc;

use bytes::Bytes;
use rauthy_core::{Boot, Condition, Generation, Incarnation, Limits, LogTime, Slot, Span, Time, WhenFull};
use rauthy_proto::mesh as proto;
use rauthy_proto::mesh::condition::Condition as WireCondition;

use super::WireError;

/// A DNS name has 253 bytes at most; with brackets, colon and port.
const SLOT_BYTES: usize = 262;
/// 64 characters.
const CACHE_BYTES: usize = 256;
const KEY_BYTES: usize = 64 << 10;
const VALUE_BYTES: usize = 1 << 20;
/// More than a hundred years: what the core adds to such a time or multiplies it with cannot overflow.
const MICROS: u64 = 1 << 52;
/// No counter gets that far.
const COUNT: u64 = 1 << 60;

pub(in super::super) fn count(n: u64) -> Result<u64, WireError> {
    if n <= COUNT { Ok(n) } else { Err(WireError::Bounds("a number")) }
}

fn micros(n: u64) -> Result<u64, WireError> {
    if n <= MICROS { Ok(n) } else { Err(WireError::Bounds("a time")) }
}

pub(super) fn span(n: u64) -> Result<Span, WireError> {
    micros(n).map(Span)
}

pub(super) fn time(n: u64) -> Result<Time, WireError> {
    micros(n).map(Time)
}

pub(super) fn log_time(n: u64) -> Result<LogTime, WireError> {
    micros(n).map(LogTime)
}

/// When something ends, if ever.
pub(super) fn end(us: Option<u64>) -> Result<Option<LogTime>, WireError> {
    us.map(log_time).transpose()
}

/// How long something lives, if it says so.
pub(super) fn ttl(us: Option<u64>) -> Result<Option<Span>, WireError> {
    us.map(span).transpose()
}

pub(in super::super) fn slot(name: &str) -> Result<Slot, WireError> {
    if (1..=SLOT_BYTES).contains(&name.len()) {
        Ok(Slot::new(name))
    } else {
        Err(WireError::Bounds("a slot"))
    }
}

pub(super) fn cache(name: impl AsRef<str> + Into<Arc<str>>) -> Result<Arc<str>, WireError> {
    if (1..=CACHE_BYTES).contains(&name.as_ref().len()) {
        Ok(name.into())
    } else {
        Err(WireError::Bounds("a cache's name"))
    }
}

/// A copy of its own, as [`value`] is: the decoder gives a piece of the stream's read buffer, and a short key in the log
/// or the store would keep all of that alive.
pub(super) fn key(key: &[u8]) -> Result<Bytes, WireError> {
    if key.len() <= KEY_BYTES { Ok(Bytes::copy_from_slice(key)) } else { Err(WireError::Bounds("a key")) }
}

pub(super) fn value(value: &[u8]) -> Result<Bytes, WireError> {
    if value.len() <= VALUE_BYTES {
        Ok(Bytes::copy_from_slice(value))
    } else {
        Err(WireError::Bounds("a value"))
    }
}

/// Both in one piece of memory: they come and go together, and two small ones between the values of the store leave holes
/// that nothing fits in.
pub(super) fn key_and_value(key: &[u8], value: &[u8]) -> Result<(Bytes, Bytes), WireError> {
    if key.len() > KEY_BYTES {
        return Err(WireError::Bounds("a key"));
    }
    if value.len() > VALUE_BYTES {
        return Err(WireError::Bounds("a value"));
    }
    let both = Bytes::from([key, value].concat());
    Ok((both.slice(..key.len()), both.slice(key.len()..)))
}

pub(super) fn name(what: &'static str, bytes: &[u8]) -> Result<u128, WireError> {
    Ok(u128::from_be_bytes(bytes.try_into().map_err(|_| WireError::NotAName(what))?))
}

pub(super) fn name_bytes(name: u128) -> Bytes {
    Bytes::copy_from_slice(&name.to_be_bytes())
}

pub(super) fn generation(bytes: &[u8]) -> Result<Generation, WireError> {
    name("a generation", bytes).map(Generation)
}

pub(super) fn incarnation(from: Option<proto::Incarnation>) -> Result<Incarnation, WireError> {
    let from = from.ok_or(WireError::Missing("an incarnation"))?;
    Ok(Incarnation { slot: slot(&from.slot)?, boot: Boot(name("a boot", &from.boot)?) })
}

pub(super) fn put_incarnation(of: &Incarnation) -> proto::Incarnation {
    proto::Incarnation { slot: of.slot.to_string(), boot: name_bytes(of.boot.0) }
}

pub(super) fn put_condition(condition: Condition) -> Option<proto::Condition> {
    let condition = match condition {
        Condition::Always => return None,
        Condition::Absent => WireCondition::Absent(proto::Nothing {}),
        Condition::Version(version) => WireCondition::Version(version),
    };
    Some(proto::Condition { condition: Some(condition) })
}

pub(super) fn condition(from: Option<proto::Condition>) -> Result<Condition, WireError> {
    let Some(from) = from else { return Ok(Condition::Always) };
    Ok(match from.condition.ok_or(WireError::Missing("a condition"))? {
        WireCondition::Absent(_) => Condition::Absent,
        WireCondition::Version(version) => Condition::Version(count(version)?),
    })
}

pub(super) fn put_declared(cache: &str, limits: &Limits) -> proto::Cache {
    proto::Cache {
        cache: cache.to_owned(),
        entries: limits.entries,
        bytes: limits.bytes,
        ttl_us: limits.ttl.map(|t| t.0),
        evict: limits.when_full == WhenFull::Evict,
        direct: limits.direct,
    }
}

pub(super) fn declared(from: proto::Cache) -> Result<(Arc<str>, Limits), WireError> {
    let limits = Limits {
        entries: from.entries.map(count).transpose()?,
        bytes: from.bytes.map(count).transpose()?,
        ttl: ttl(from.ttl_us)?,
        when_full: if from.evict { WhenFull::Evict } else { WhenFull::Reject },
        direct: from.direct,
    };
    Ok((cache(from.cache)?, limits))
}

pub(super) fn put_key(cache: &str, key: &Bytes) -> proto::Key {
    proto::Key { cache: cache.to_owned(), key: key.clone() }
}

pub(super) fn cache_and_key(from: proto::Key) -> Result<(Arc<str>, Bytes), WireError> {
    Ok((cache(from.cache)?, key(&from.key)?))
}
