//! What became of writes, and points to read at.

use rauthy_core::message::{ForwardReply, ReadIndexReply};
use rauthy_core::{Done, Effect, Limit, Refusal};
use rauthy_proto::mesh as proto;
use rauthy_proto::mesh::done::Effect as Wire;
use rauthy_proto::mesh::forward_reply::{Refusal as WireRefusal, Result as WireResult};

use super::WireError;
use super::parts::{count, log_time, value};

const NOTHING: proto::Nothing = proto::Nothing {};

pub(super) fn put_reply(reply: ForwardReply) -> proto::ForwardReply {
    let result = match reply.result {
        Ok(done) => WireResult::Done(put_done(done)),
        Err(refusal) => WireResult::Refusal(put_refusal(refusal).into()),
    };
    proto::ForwardReply { id: reply.id, result: Some(result) }
}

pub(super) fn reply(from: proto::ForwardReply) -> Result<ForwardReply, WireError> {
    let result = match from.result.ok_or(WireError::Missing("a result"))? {
        WireResult::Done(from) => Ok(done(Some(from))?),
        WireResult::Refusal(code) => Err(refusal(code)?),
    };
    Ok(ForwardReply { id: from.id, result })
}

pub(super) fn put_done(done: Done) -> proto::Done {
    let effect = match done.effect {
        Effect::Accepted => Wire::Accepted(NOTHING),
        Effect::Nothing => Wire::Nothing(NOTHING),
        Effect::Put { existed } => Wire::Put(existed),
        Effect::Deleted { existed } => Wire::Deleted(existed),
        Effect::Taken(value) => Wire::Taken(proto::Taken { value }),
        Effect::Number(number) => Wire::Number(number),
        Effect::Cleared { values } => Wire::Cleared(values),
        Effect::Unmet { version } => Wire::Unmet(proto::Unmet { version }),
        Effect::NotANumber => Wire::NotANumber(NOTHING),
        Effect::Declared => Wire::Declared(NOTHING),
        Effect::Opened => Wire::Opened(NOTHING),
        Effect::Unknown => Wire::Unknown(NOTHING),
    };
    proto::Done { version: done.version, effect: Some(effect) }
}

pub(super) fn done(from: Option<proto::Done>) -> Result<Done, WireError> {
    let from = from.ok_or(WireError::Missing("a result"))?;
    let effect = match from.effect.ok_or(WireError::Missing("what a write did"))? {
        Wire::Accepted(_) => Effect::Accepted,
        Wire::Nothing(_) => Effect::Nothing,
        Wire::Put(existed) => Effect::Put { existed },
        Wire::Deleted(existed) => Effect::Deleted { existed },
        Wire::Taken(taken) => Effect::Taken(taken.value.as_deref().map(value).transpose()?),
        Wire::Number(number) => Effect::Number(number),
        Wire::Cleared(values) => Effect::Cleared { values: count(values)? },
        Wire::Unmet(unmet) => Effect::Unmet { version: unmet.version.map(count).transpose()? },
        Wire::NotANumber(_) => Effect::NotANumber,
        Wire::Declared(_) => Effect::Declared,
        Wire::Opened(_) => Effect::Opened,
        Wire::Unknown(_) => Effect::Unknown,
    };
    Ok(Done { version: count(from.version)?, effect })
}

fn put_refusal(refusal: Refusal) -> WireRefusal {
    match refusal {
        Refusal::NoQuorum => WireRefusal::NoQuorum,
        Refusal::UnknownOutcome => WireRefusal::UnknownOutcome,
        Refusal::Level => WireRefusal::Level,
        Refusal::NotLeader => WireRefusal::NotLeader,
        Refusal::Limit(limit) => match limit {
            Limit::Store => WireRefusal::LimitStore,
            Limit::Cache => WireRefusal::LimitCache,
            Limit::Pending => WireRefusal::LimitPending,
            Limit::Log => WireRefusal::LimitLog,
            Limit::Waiting => WireRefusal::LimitWaiting,
            Limit::Window => WireRefusal::LimitWindow,
            Limit::Sessions => WireRefusal::LimitSessions,
            Limit::Dedup => WireRefusal::LimitDedup,
            Limit::Size => WireRefusal::LimitSize,
        },
    }
}

fn refusal(code: i32) -> Result<Refusal, WireError> {
    let limit = match WireRefusal::try_from(code) {
        Ok(WireRefusal::NoQuorum) => return Ok(Refusal::NoQuorum),
        Ok(WireRefusal::UnknownOutcome) => return Ok(Refusal::UnknownOutcome),
        Ok(WireRefusal::Level) => return Ok(Refusal::Level),
        Ok(WireRefusal::NotLeader) => return Ok(Refusal::NotLeader),
        Ok(WireRefusal::LimitStore) => Limit::Store,
        Ok(WireRefusal::LimitCache) => Limit::Cache,
        Ok(WireRefusal::LimitPending) => Limit::Pending,
        Ok(WireRefusal::LimitLog) => Limit::Log,
        Ok(WireRefusal::LimitWaiting) => Limit::Waiting,
        Ok(WireRefusal::LimitWindow) => Limit::Window,
        Ok(WireRefusal::LimitSessions) => Limit::Sessions,
        Ok(WireRefusal::LimitDedup) => Limit::Dedup,
        Ok(WireRefusal::LimitSize) => Limit::Size,
        Ok(WireRefusal::Unspecified) | Err(_) => return Err(WireError::Unknown("a refusal")),
    };
    Ok(Refusal::Limit(limit))
}

pub(super) fn put_point(reply: ReadIndexReply) -> proto::ReadIndexReply {
    let point = reply.point.map(|(index, time)| proto::Point { index, log_time_us: time.0 });
    proto::ReadIndexReply { id: reply.id, point }
}

pub(super) fn point(from: &proto::ReadIndexReply) -> Result<ReadIndexReply, WireError> {
    let point = from.point.map(|p| Ok((count(p.index)?, log_time(p.log_time_us)?))).transpose()?;
    Ok(ReadIndexReply { id: from.id, point })
}
