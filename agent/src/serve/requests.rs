//! Requests of applications, checked, as the core wants them. Pure.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rauthy_client::{Seen, limits};
use rauthy_core::replica::Position;
use rauthy_core::{AckLevel, Condition, Generation, Limits, Request, Span, Stamp, WhenFull};
use rauthy_proto::cache as proto;

use super::reason::Reason;
use crate::runtime::Filter;

/// A checked write: what, when it is answered, and by what it is known again.
pub type Wanted = Result<(Request, AckLevel, Option<Stamp>), Reason>;

fn check(problem: Option<String>) -> Result<(), Reason> {
    problem.map_or(Ok(()), |p| Err(Reason::Field(p)))
}

/// What a read is to see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What this node has.
    Local,
    /// Nothing older than this.
    Session(Position),
    /// What stands now.
    Linearizable,
}

/// Reads how a key is to be read.
///
/// # Errors
/// [`Reason::Field`], which names what is wrong.
pub fn get(request: &proto::GetRequest) -> Result<Mode, Reason> {
    check(limits::check_cache(&request.cache).or_else(|| limits::check_key(&request.key)))?;
    if request.linearizable {
        // Nothing that was acknowledged is newer.
        return Ok(Mode::Linearizable);
    }
    if request.session.is_empty() {
        return Ok(Mode::Local);
    }
    position(&request.session, "session").map(Mode::Session)
}

/// What an application is told of a position.
#[must_use]
pub fn token(position: Option<Position>) -> Bytes {
    position.map_or_else(Bytes::new, |p| Seen { generation: p.generation.0, index: p.index }.to_bytes())
}

/// Reads the request to store a value.
///
/// # Errors
/// [`Reason::Field`], which names what is wrong.
pub fn put(request: proto::PutRequest) -> Wanted {
    let level = level(request.ack)?;
    let condition = match (request.if_absent, bounded("if_version", request.if_version)?) {
        (false, None) => Condition::Always,
        (true, None) => Condition::Absent,
        (false, Some(version)) => Condition::Version(version),
        (true, Some(_)) => {
            return Err(Reason::Field("if_absent and if_version cannot both hold; give one of them".into()));
        }
    };
    let (cache, key) = cache_and_key(request.cache, &request.key)?;
    check(limits::check_value(&request.value))?;
    let (ttl, stamp) = (ttl(request.ttl_ms)?, stamp(request.request_id.as_ref())?);
    Ok((Request::Put { cache, key, value: owned(&request.value), ttl, condition }, level, stamp))
}

/// Reads the request to remove a key.
///
/// # Errors
/// [`Reason::Field`], which names what is wrong.
pub fn delete(request: proto::DeleteRequest) -> Wanted {
    let (cache, key) = cache_and_key(request.cache, &request.key)?;
    let (level, stamp) = (level(request.ack)?, stamp(request.request_id.as_ref())?);
    Ok((Request::Delete { cache, key }, level, stamp))
}

/// Reads the request to get and remove a value.
///
/// # Errors
/// [`Reason::Field`], which names what is wrong.
pub fn take(request: proto::TakeRequest) -> Wanted {
    let (cache, key) = cache_and_key(request.cache, &request.key)?;
    let (level, stamp) = (level(request.ack)?, stamp(request.request_id.as_ref())?);
    Ok((Request::Take { cache, key }, level, stamp))
}

/// Reads the request to add to a number.
///
/// # Errors
/// [`Reason::Field`], which names what is wrong.
pub fn increment(request: proto::IncrementRequest) -> Wanted {
    let (cache, key) = cache_and_key(request.cache, &request.key)?;
    let (level, stamp) = (level(request.ack)?, stamp(request.request_id.as_ref())?);
    Ok((Request::Increment { cache, key, by: request.by, ttl: ttl(request.ttl_ms)? }, level, stamp))
}

/// Reads the request to empty a cache.
///
/// # Errors
/// [`Reason::Field`], which names what is wrong.
pub fn clear(request: proto::ClearRequest) -> Wanted {
    check(limits::check_cache(&request.cache))?;
    let (level, stamp) = (level(request.ack)?, stamp(request.request_id.as_ref())?);
    Ok((Request::Clear { cache: request.cache.into() }, level, stamp))
}

/// Reads the declaration of a cache.
///
/// # Errors
/// [`Reason::Field`], which names what is wrong.
pub fn declare(request: proto::DeclareRequest) -> Wanted {
    check(limits::check_cache(&request.cache))?;
    let limits = Limits {
        entries: bounded("entries", request.entries)?,
        bytes: bounded("bytes", request.bytes)?,
        ttl: ttl(request.ttl_ms)?,
        when_full: if request.evict { WhenFull::Evict } else { WhenFull::Reject },
        direct: request.direct,
    };
    let (level, stamp) = (level(request.ack)?, stamp(request.request_id.as_ref())?);
    Ok((Request::Declare { cache: request.cache.into(), limits }, level, stamp))
}

/// A number that the log can hold: another one would be refused by the leader that it is forwarded to.
fn bounded(what: &str, number: Option<u64>) -> Result<Option<u64>, Reason> {
    match number {
        Some(n) if n > limits::COUNT => {
            Err(Reason::Field(format!("{what} is {n}; at most {} are possible", limits::COUNT)))
        }
        other => Ok(other),
    }
}

const WRITER: usize = 25;
/// So that a writer is not taken for a session.
const WRITER_MARK: u8 = b'w';

/// The name of a writer for an application: its generation and session, big endian.
pub(super) fn writer(opened: Position) -> Bytes {
    let mut name = [WRITER_MARK; WRITER];
    name[1..17].copy_from_slice(&opened.generation.0.to_be_bytes());
    name[17..].copy_from_slice(&opened.index.to_be_bytes());
    Bytes::copy_from_slice(&name)
}

fn stamp(id: Option<&proto::RequestId>) -> Result<Option<Stamp>, Reason> {
    let Some(id) = id else { return Ok(None) };
    let wrong = || Reason::Field("the writer of request_id is none that Register gave".into());
    let parts = || {
        let (mark, name) = id.writer.split_first()?;
        let (generation, session) = name.split_first_chunk()?;
        let session = u64::from_be_bytes(session.try_into().ok()?);
        (*mark == WRITER_MARK).then_some((Generation(u128::from_be_bytes(*generation)), session))
    };
    let (generation, session) = parts().ok_or_else(wrong)?;
    let (seq, floor) = (id.number, id.answered_below);
    if seq == 0 || floor > seq {
        return Err(Reason::Field(format!(
            "request_id has number {seq} and answered_below {floor}; numbers begin with 1, and answered_below is at most \
             the number"
        )));
    }
    Ok(Some(Stamp { generation, session, seq, floor }))
}

/// What is watched, from where.
///
/// # Errors
/// [`Reason::Field`], which names what is wrong.
pub fn watch(request: proto::WatchRequest) -> Result<(Filter, Option<Position>), Reason> {
    let all = request.cache.is_empty();
    check((!all).then(|| limits::check_cache(&request.cache)).flatten())?;
    check((!request.key_prefix.is_empty()).then(|| limits::check_key(&request.key_prefix)).flatten())?;
    let after = if request.after.is_empty() { None } else { Some(position(&request.after, "after")?) };
    let cache = (!all).then(|| request.cache.into());
    Ok((Filter { cache, prefix: owned(&request.key_prefix) }, after))
}

/// Reads a position; `field` has it.
pub(super) fn position(token: &[u8], field: &str) -> Result<Position, Reason> {
    let wrong = || Reason::Field(format!("{field} is no position that this service gave"));
    let seen = Seen::parse(token).ok_or_else(wrong)?;
    Ok(Position { generation: Generation(seen.generation), index: seen.index })
}

fn cache_and_key(cache: String, key: &Bytes) -> Result<(Arc<str>, Bytes), Reason> {
    check(limits::check_cache(&cache).or_else(|| limits::check_key(key)))?;
    Ok((cache.into(), owned(key)))
}

fn ttl(millis: u64) -> Result<Option<Span>, Reason> {
    let ttl = (millis > 0).then(|| Duration::from_millis(millis));
    check(ttl.and_then(limits::check_ttl))?;
    Ok(ttl.map(|t| Span(u64::try_from(t.as_micros()).unwrap_or(u64::MAX))))
}

/// A copy of its own. The decoder gives a piece of the connection's read buffer: a short key in the store would keep
/// all of that alive.
fn owned(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn level(ack: i32) -> Result<AckLevel, Reason> {
    match proto::AckLevel::try_from(ack) {
        Ok(proto::AckLevel::Unspecified | proto::AckLevel::Quorum) => Ok(AckLevel::Quorum),
        Ok(proto::AckLevel::Leader) => Ok(AckLevel::Leader),
        Ok(proto::AckLevel::Once) => Ok(AckLevel::Once),
        Ok(proto::AckLevel::All) => Ok(AckLevel::All),
        Ok(proto::AckLevel::Direct) => Ok(AckLevel::Direct),
        Err(_) => Err(Reason::Field(format!(
            "ack level {ack} is not known; 1 (Quorum), 2 (Leader), 3 (Once), 4 (All) and 5 (Direct) are"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_field_is_named() {
        let right = proto::PutRequest { cache: "c".into(), key: "k".into(), ttl_ms: 5, ..Default::default() };
        let (wanted, level, stamp) = put(right.clone()).unwrap();
        assert_eq!((level, stamp), (AckLevel::Quorum, None));
        assert!(matches!(wanted, Request::Put { ttl: Some(Span(5000)), .. }));
        let wrong = [
            (proto::PutRequest { cache: String::new(), ..right.clone() }, "cache name"),
            (proto::PutRequest { cache: "x".repeat(65), ..right.clone() }, "cache name"),
            (proto::PutRequest { key: Bytes::new(), ..right.clone() }, "key"),
            (proto::PutRequest { value: vec![0; (1 << 20) + 1].into(), ..right.clone() }, "value"),
            (proto::PutRequest { ttl_ms: u64::MAX, ..right.clone() }, "time to live"),
            (proto::PutRequest { ack: 9, ..right.clone() }, "ack level 9"),
            (proto::PutRequest { if_version: Some(u64::MAX), ..right.clone() }, "if_version"),
            (proto::PutRequest { if_absent: true, if_version: Some(1), ..right }, "if_absent"),
        ];
        for (request, name) in wrong {
            let Err(Reason::Field(problem)) = put(request) else { panic!("{name} was accepted") };
            assert!(problem.contains(name), "{problem}");
        }
        let declared = proto::DeclareRequest { cache: "c".into(), ..Default::default() };
        assert!(declare(declared.clone()).is_ok());
        for wrong in [
            proto::DeclareRequest { entries: Some(u64::MAX), ..declared.clone() },
            proto::DeclareRequest { bytes: Some(u64::MAX), ..declared.clone() },
            proto::DeclareRequest { ttl_ms: u64::MAX, ..declared },
        ] {
            assert!(matches!(declare(wrong), Err(Reason::Field(_))));
        }
    }

    #[test]
    fn conditions_and_levels_are_understood() {
        let right = proto::PutRequest { cache: "c".into(), key: "k".into(), ..Default::default() };
        for (request, wanted) in [
            (right.clone(), Condition::Always),
            (proto::PutRequest { if_absent: true, ..right.clone() }, Condition::Absent),
            (proto::PutRequest { if_version: Some(0), ..right.clone() }, Condition::Version(0)),
        ] {
            let (Request::Put { condition, .. }, ..) = put(request).unwrap() else { panic!() };
            assert_eq!(condition, wanted);
        }
        let levels = [AckLevel::Quorum, AckLevel::Quorum, AckLevel::Leader, AckLevel::Once, AckLevel::All];
        for (ack, level) in (0..).zip(levels.into_iter().chain([AckLevel::Direct])) {
            assert_eq!(put(proto::PutRequest { ack, ..right.clone() }).unwrap().1, level);
        }
    }

    #[test]
    fn a_session_is_a_token_of_this_service() {
        let request = proto::GetRequest { cache: "c".into(), key: "k".into(), ..Default::default() };
        assert_eq!(get(&request), Ok(Mode::Local));
        let position = Position { generation: Generation(3), index: 4 };
        let session = token(Some(position));
        let asked = proto::GetRequest { session, ..request.clone() };
        assert_eq!(get(&asked), Ok(Mode::Session(position)));
        assert_eq!(get(&proto::GetRequest { linearizable: true, ..asked }), Ok(Mode::Linearizable));
        let wrong = proto::GetRequest { session: "mine".into(), ..request };
        assert!(matches!(get(&wrong), Err(Reason::Field(problem)) if problem.contains("session")));
        assert!(token(None).is_empty());
    }
}
