//! Writes on their way to the leader, and their results.

use rauthy_core::message::{Forward, ForwardReply};
use rauthy_core::{AckLevel, Done, Refusal, Request};
use rauthy_proto::mesh as proto;
use rauthy_proto::mesh::forward_reply::Refusal as Wire;
use rauthy_proto::mesh::request::Request as WireRequest;

use super::WireError;
use super::parts::{cache, count, key, span, value};

pub(super) fn put_forward(forward: Forward) -> proto::Forward {
    let request = match forward.request {
        Request::Put { cache, key, value, ttl } => WireRequest::Put(proto::PutRequest {
            cache: cache.to_string(),
            key,
            value,
            ttl_us: ttl.map(|t| t.0),
        }),
        Request::Delete { cache, key } => {
            WireRequest::Delete(proto::DeleteRequest { cache: cache.to_string(), key })
        }
    };
    proto::Forward {
        id: forward.id,
        request: Some(proto::Request { request: Some(request) }),
        leader_level: forward.level == AckLevel::Leader,
    }
}

pub(super) fn forward(from: proto::Forward) -> Result<Forward, WireError> {
    let request = from.request.and_then(|r| r.request).ok_or(WireError::Missing("what is to be written"))?;
    let request = match request {
        WireRequest::Put(put) => Request::Put {
            cache: cache(put.cache)?,
            key: key(&put.key)?,
            value: value(&put.value)?,
            ttl: put.ttl_us.map(span).transpose()?,
        },
        WireRequest::Delete(delete) => {
            Request::Delete { cache: cache(delete.cache)?, key: key(&delete.key)? }
        }
    };
    let level = if from.leader_level { AckLevel::Leader } else { AckLevel::Quorum };
    Ok(Forward { id: from.id, request, level })
}

pub(super) fn put_reply(reply: &ForwardReply) -> proto::ForwardReply {
    let refusal = match reply.result {
        Ok(_) => Wire::None,
        Err(Refusal::NoQuorum) => Wire::NoQuorum,
        Err(Refusal::UnknownOutcome) => Wire::UnknownOutcome,
        Err(Refusal::Limit) => Wire::Limit,
        Err(Refusal::NotLeader) => Wire::NotLeader,
    };
    let done = reply.result.unwrap_or(Done { version: 0, existed: false });
    proto::ForwardReply {
        id: reply.id,
        refusal: refusal.into(),
        version: done.version,
        existed: done.existed,
    }
}

pub(super) fn reply(from: &proto::ForwardReply) -> Result<ForwardReply, WireError> {
    let result = match Wire::try_from(from.refusal) {
        Ok(Wire::None) => Ok(Done { version: count(from.version)?, existed: from.existed }),
        Ok(Wire::NoQuorum) => Err(Refusal::NoQuorum),
        Ok(Wire::Limit) => Err(Refusal::Limit),
        Ok(Wire::NotLeader) => Err(Refusal::NotLeader),
        // A refusal of a later version says at least this much.
        Ok(Wire::UnknownOutcome) | Err(_) => Err(Refusal::UnknownOutcome),
    };
    Ok(ForwardReply { id: from.id, result })
}
