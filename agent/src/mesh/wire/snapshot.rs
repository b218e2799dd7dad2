//! Pieces of a snapshot.

use rauthy_core::message::{Base, SnapshotChunk};
use rauthy_core::store::{Record, SHARDS};
use rauthy_proto::mesh as proto;
use rauthy_proto::mesh::record::Record as Wire;

use super::WireError;
use super::log::{configuration, put_configuration};
use super::parts::{cache, count, declared, end, key, log_time, put_declared, value};
use super::results::{done, put_done};

pub(super) fn put_chunk(chunk: SnapshotChunk) -> proto::SnapshotChunk {
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
        records: chunk.records.into_iter().map(put_record).collect(),
    }
}

pub(super) fn chunk(from: proto::SnapshotChunk) -> Result<SnapshotChunk, WireError> {
    if from.shard >= SHARDS {
        return Err(WireError::Bounds("a shard"));
    }
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

fn put_record(record: Record) -> proto::Record {
    let record = match record {
        Record::Value { cache, key, value, version, expires_at } => Wire::Value(proto::Value {
            cache: cache.to_string(),
            key,
            value,
            version,
            expires_at_us: expires_at.map(|t| t.0),
        }),
        Record::Cache { cache, limits } => Wire::Cache(put_declared(&cache, &limits)),
        Record::Session { session } => Wire::Session(session),
        Record::Floor { session, floor } => Wire::Floor(proto::Floor { session, floor }),
        Record::Outcome { session, seq, done } => {
            Wire::Outcome(proto::Outcome { session, seq, done: Some(put_done(done)) })
        }
    };
    proto::Record { record: Some(record) }
}

fn record(from: proto::Record) -> Result<Record, WireError> {
    Ok(match from.record.ok_or(WireError::Missing("what a record holds"))? {
        Wire::Value(v) => Record::Value {
            cache: cache(v.cache)?,
            key: key(&v.key)?,
            value: value(&v.value)?,
            version: count(v.version)?,
            expires_at: end(v.expires_at_us)?,
        },
        Wire::Cache(from) => {
            let (cache, limits) = declared(from)?;
            Record::Cache { cache, limits }
        }
        Wire::Session(session) => Record::Session { session: count(session)? },
        Wire::Floor(f) => Record::Floor { session: count(f.session)?, floor: count(f.floor)? },
        Wire::Outcome(o) => {
            Record::Outcome { session: count(o.session)?, seq: count(o.seq)?, done: done(o.done)? }
        }
    })
}
