//! Writes on their way to the leader.

use rauthy_core::message::Forward;
use rauthy_core::{AckLevel, Request, Stamp};
use rauthy_proto::mesh as proto;
use rauthy_proto::mesh::AckLevel as WireLevel;
use rauthy_proto::mesh::forward::Request as Wire;

use super::WireError;
use super::parts::{
    cache, cache_and_key, condition, count, declared, generation, key, name_bytes, put_condition,
    put_declared, put_key, ttl, value,
};

pub(super) fn put_forward(forward: Forward) -> proto::Forward {
    let level = match forward.level {
        AckLevel::Direct => WireLevel::Direct,
        AckLevel::Leader => WireLevel::Leader,
        AckLevel::Once => WireLevel::Once,
        AckLevel::Quorum => WireLevel::Quorum,
        AckLevel::All => WireLevel::All,
    };
    let request = match forward.request {
        Request::Put { cache, key, value, ttl, condition } => Wire::Put(proto::PutRequest {
            cache: cache.to_string(),
            key,
            value,
            ttl_us: ttl.map(|t| t.0),
            condition: put_condition(condition),
        }),
        Request::Delete { cache, key } => Wire::Delete(put_key(&cache, &key)),
        Request::Take { cache, key } => Wire::Take(put_key(&cache, &key)),
        Request::Increment { cache, key, by, ttl } => Wire::Increment(proto::IncrementRequest {
            cache: cache.to_string(),
            key,
            by,
            ttl_us: ttl.map(|t| t.0),
        }),
        Request::Clear { cache } => Wire::Clear(cache.to_string()),
        Request::Declare { cache, limits } => Wire::Declare(put_declared(&cache, &limits)),
        Request::OpenSession => Wire::OpenSession(proto::Nothing {}),
    };
    let stamp = forward.stamp.map(|s| proto::Stamp {
        generation: name_bytes(s.generation.0),
        session: s.session,
        seq: s.seq,
        floor: s.floor,
    });
    proto::Forward { id: forward.id, stamp, level: level.into(), request: Some(request) }
}

pub(super) fn forward(from: proto::Forward) -> Result<Forward, WireError> {
    let level = match from.level() {
        WireLevel::Unspecified => return Err(WireError::Unknown("an ack level")),
        WireLevel::Direct => AckLevel::Direct,
        WireLevel::Leader => AckLevel::Leader,
        WireLevel::Once => AckLevel::Once,
        WireLevel::Quorum => AckLevel::Quorum,
        WireLevel::All => AckLevel::All,
    };
    let request = match from.request.ok_or(WireError::Missing("what is to be written"))? {
        Wire::Put(put) => Request::Put {
            cache: cache(put.cache)?,
            key: key(&put.key)?,
            value: value(&put.value)?,
            ttl: ttl(put.ttl_us)?,
            condition: condition(put.condition)?,
        },
        Wire::Delete(from) => {
            let (cache, key) = cache_and_key(from)?;
            Request::Delete { cache, key }
        }
        Wire::Take(from) => {
            let (cache, key) = cache_and_key(from)?;
            Request::Take { cache, key }
        }
        Wire::Increment(increment) => Request::Increment {
            cache: cache(increment.cache)?,
            key: key(&increment.key)?,
            by: increment.by,
            ttl: ttl(increment.ttl_us)?,
        },
        Wire::Clear(name) => Request::Clear { cache: cache(name)? },
        Wire::Declare(from) => {
            let (cache, limits) = declared(from)?;
            Request::Declare { cache, limits }
        }
        Wire::OpenSession(_) => Request::OpenSession,
    };
    let stamp = from.stamp.map(stamp).transpose()?;
    Ok(Forward { id: from.id, stamp, request, level })
}

fn stamp(from: proto::Stamp) -> Result<Stamp, WireError> {
    Ok(Stamp {
        generation: generation(&from.generation)?,
        session: count(from.session)?,
        seq: count(from.seq)?,
        floor: count(from.floor)?,
    })
}
