//! Entries of an append.
//!
//! ```text
//! entry      kind and flags, unless SAME_TERM: term, unless SAME_TIME: time as change from the entry before,
//!            if TAGGED: session, seq, floor; then, unless SAME_CACHE: a cache, and what the kind says
//! put        flags, lengths of key and value, these, maybe its end as change from the entry's time, maybe a version
//! delete, take    key
//! increment  flags, key, by, maybe an end
//! remove     key, version
//! other      a protocol buffer, in which all of it stands
//! ```

use prost::Message as _;
use rauthy_core::Index;
use rauthy_core::log::{Entry, Op, Payload, Tag, Why};
use rauthy_core::{Condition, LogTime};
use rauthy_proto::mesh as proto;

use super::super::parts::{count, key, key_and_value, log_time};
use super::super::{WireError, log};
use super::read::Reader;
use super::write::Writer;
use super::{Shared, inner};

const OTHER: u8 = 0;
const PUT: u8 = 1;
const DELETE: u8 = 2;
const TAKE: u8 = 3;
const INCREMENT: u8 = 4;
const EXPIRED: u8 = 5;
const EVICTED: u8 = 6;
const KIND: u8 = 0x0f;

const SAME_TERM: u8 = 0x10;
const SAME_TIME: u8 = 0x20;
const TAGGED: u8 = 0x40;
const SAME_CACHE: u8 = 0x80;

/// In the flags of a put or an increment.
const ENDS: u8 = 1;
pub(super) const ABSENT: u8 = 2;
pub(super) const VERSION: u8 = 4;

/// Of the entry before, or of the append.
pub(super) struct Before {
    pub term: u64,
    pub time: u64,
}

fn flag(is: bool, flag: u8) -> u8 {
    if is { flag } else { 0 }
}

pub(super) fn put_condition(condition: Condition) -> u8 {
    match condition {
        Condition::Always => 0,
        Condition::Absent => ABSENT,
        Condition::Version(_) => VERSION,
    }
}

pub(super) fn condition(flags: u8, from: &mut Reader<'_>) -> Result<Condition, WireError> {
    Ok(match flags & (ABSENT | VERSION) {
        0 => Condition::Always,
        ABSENT => Condition::Absent,
        VERSION => Condition::Version(count(from.number()?)?),
        _ => return Err(WireError::Unknown("a condition")),
    })
}

pub(super) fn put(entry: &Entry, before: &mut Before, shared: &mut Shared, out: &mut Writer) {
    let (kind, tag, cache) = match &entry.payload {
        Payload::Write { tag, op } => {
            let (kind, cache) = match op {
                Op::Put { cache, .. } => (PUT, cache),
                Op::Delete { cache, .. } => (DELETE, cache),
                Op::Take { cache, .. } => (TAKE, cache),
                Op::Increment { cache, .. } => (INCREMENT, cache),
                Op::Clear { .. } | Op::Declare { .. } | Op::OpenSession => return put_other(entry, out),
            };
            (kind, *tag, cache)
        }
        Payload::Remove { cache, why: Why::Expired, .. } => (EXPIRED, None, cache),
        Payload::Remove { cache, why: Why::Evicted, .. } => (EVICTED, None, cache),
        _ => return put_other(entry, out),
    };
    let same_cache = shared.names(cache);
    let (same_term, same_time) = (entry.term == before.term, entry.time.0 == before.time);
    out.byte(
        kind | flag(same_term, SAME_TERM)
            | flag(same_time, SAME_TIME)
            | flag(tag.is_some(), TAGGED)
            | flag(same_cache, SAME_CACHE),
    );
    if !same_term {
        out.number(entry.term);
    }
    if !same_time {
        out.change(before.time, entry.time.0);
    }
    *before = Before { term: entry.term, time: entry.time.0 };
    if let Some(tag) = tag {
        out.number(tag.session);
        out.number(tag.seq);
        out.number(tag.floor);
    }
    if !same_cache {
        out.bytes(cache.as_bytes());
    }
    let put_end = |end: &Option<LogTime>, out: &mut Writer| {
        if let Some(end) = end {
            out.change(entry.time.0, end.0);
        }
    };
    match &entry.payload {
        Payload::Write { op, .. } => match op {
            Op::Put { key, value, expires_at, condition, .. } => {
                out.byte(flag(expires_at.is_some(), ENDS) | put_condition(*condition));
                out.number(key.len() as u64);
                out.number(value.len() as u64);
                out.raw(key);
                out.raw(value);
                put_end(expires_at, out);
                if let Condition::Version(version) = condition {
                    out.number(*version);
                }
            }
            Op::Increment { key, by, expires_at, .. } => {
                out.byte(flag(expires_at.is_some(), ENDS));
                out.bytes(key);
                out.signed(*by);
                put_end(expires_at, out);
            }
            Op::Delete { key, .. } | Op::Take { key, .. } => out.bytes(key),
            // Written above.
            Op::Clear { .. } | Op::Declare { .. } | Op::OpenSession => {}
        },
        Payload::Remove { key, version, .. } => {
            out.bytes(key);
            out.number(*version);
        }
        _ => {}
    }
}

fn put_other(entry: &Entry, out: &mut Writer) {
    out.byte(OTHER);
    out.bytes(&log::put_entry(entry).encode_to_vec());
}

/// The one at this index.
pub(super) fn read(
    index: Index,
    before: &mut Before,
    shared: &mut Shared,
    from: &mut Reader<'_>,
) -> Result<Entry, WireError> {
    let head = from.byte()?;
    if head == OTHER {
        let entry = log::entry(inner::<proto::Entry>(from, "an entry")?)?;
        return if entry.index == index {
            Ok(entry)
        } else {
            Err(WireError::Bounds("the index of an entry"))
        };
    }
    if head & SAME_TERM == 0 {
        before.term = count(from.number()?)?;
    }
    if head & SAME_TIME == 0 {
        before.time = log_time(from.change(before.time)?)?.0;
    }
    let tag = if head & TAGGED == 0 {
        None
    } else {
        let mut number = || count(from.number()?);
        Some(Tag { session: number()?, seq: number()?, floor: number()? })
    };
    let cache = shared.cache(head & SAME_CACHE != 0, from)?;
    let time = LogTime(before.time);
    let end = |flags: u8, from: &mut Reader<'_>| match flags & ENDS {
        0 => Ok(None),
        _ => log_time(from.change(time.0)?).map(Some),
    };
    let op = match head & KIND {
        PUT => {
            let flags = from.byte()?;
            if flags & !(ENDS | ABSENT | VERSION) != 0 {
                return Err(WireError::Unknown("a put"));
            }
            let (key, value) = (from.number()?, from.number()?);
            let (key, value) = key_and_value(from.raw(key)?, from.raw(value)?)?;
            let expires_at = end(flags, from)?;
            Op::Put { cache, key, value, expires_at, condition: condition(flags, from)? }
        }
        DELETE => Op::Delete { cache, key: key(from.bytes()?)? },
        TAKE => Op::Take { cache, key: key(from.bytes()?)? },
        INCREMENT => {
            let flags = from.byte()?;
            if flags & !ENDS != 0 {
                return Err(WireError::Unknown("an increment"));
            }
            let key = key(from.bytes()?)?;
            Op::Increment { cache, key, by: from.signed()?, expires_at: end(flags, from)? }
        }
        kind @ (EXPIRED | EVICTED) if tag.is_none() => {
            let (key, version) = (key(from.bytes()?)?, count(from.number()?)?);
            let why = if kind == EVICTED { Why::Evicted } else { Why::Expired };
            let payload = Payload::Remove { cache, key, version, why };
            return Ok(Entry { term: before.term, index, time, payload });
        }
        _ => return Err(WireError::Unknown("the kind of an entry")),
    };
    Ok(Entry { term: before.term, index, time, payload: Payload::Write { tag, op } })
}
