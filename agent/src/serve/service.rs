//! `rauthy.cache.v1.Cache`: checks a request, asks the runtime, counts.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rauthy_client::limits;
use rauthy_core::{AckLevel, Done, Request as Wanted, Span};
use rauthy_proto::cache as proto;
use rauthy_proto::cache::cache_server::Cache;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::operations::{Level, Operation, Operations, Outcome};
use super::reason::Reason;
use crate::runtime::Handle;

/// No caller waits longer than this, whatever he asks for.
const LONGEST_DEADLINE: Duration = Duration::from_secs(600);

/// The service of one node.
#[derive(Clone)]
pub(super) struct Service {
    handle: Handle,
    operations: Operations,
}

impl Service {
    pub(super) fn new(handle: Handle, operations: Operations) -> Self {
        Self { handle, operations }
    }

    fn read(&self, request: proto::GetRequest) -> Result<proto::GetResponse, Reason> {
        check(limits::check_cache(&request.cache).or_else(|| limits::check_key(&request.key)))?;
        let found = self.handle.read(&request.cache, &request.key);
        let found = found.map_err(|refusal| Reason::of_read(refusal, || self.handle.is_learning()))?;
        Ok(match found.value {
            Some((value, version)) => proto::GetResponse { value: Some(value), version },
            None => proto::GetResponse { value: None, version: 0 },
        })
    }

    async fn write(
        &self,
        operation: Operation,
        wanted: Result<(Wanted, AckLevel), Reason>,
        deadline: Instant,
    ) -> Result<Done, Status> {
        let started = Instant::now();
        let (level, result) = match wanted {
            Ok((wanted, level)) => {
                (level, self.handle.write(wanted, level, deadline).await.map_err(Reason::from))
            }
            Err(reason) => (AckLevel::Quorum, Err(reason)),
        };
        let level = match level {
            AckLevel::Quorum => Level::Quorum,
            AckLevel::Leader => Level::Leader,
        };
        let outcome = result.as_ref().map_or_else(Reason::outcome, |_| Outcome::Ok);
        self.operations.ended(operation, level, outcome, started.elapsed());
        result.map_err(Status::from)
    }
}

#[tonic::async_trait]
impl Cache for Service {
    async fn get(&self, request: Request<proto::GetRequest>) -> Result<Response<proto::GetResponse>, Status> {
        let started = Instant::now();
        let result = self.read(request.into_inner());
        let outcome = match &result {
            Ok(proto::GetResponse { value: Some(_), .. }) => Outcome::Ok,
            Ok(_) => Outcome::Miss,
            Err(reason) => reason.outcome(),
        };
        self.operations.ended(Operation::Get, Level::Local, outcome, started.elapsed());
        result.map(Response::new).map_err(Status::from)
    }

    async fn put(&self, request: Request<proto::PutRequest>) -> Result<Response<proto::PutResponse>, Status> {
        let deadline = Instant::now() + time_left(request.metadata());
        let wanted = checked_put(request.into_inner());
        let done = self.write(Operation::Put, wanted, deadline).await?;
        Ok(Response::new(proto::PutResponse { version: done.version }))
    }

    async fn delete(
        &self,
        request: Request<proto::DeleteRequest>,
    ) -> Result<Response<proto::DeleteResponse>, Status> {
        let deadline = Instant::now() + time_left(request.metadata());
        let wanted = checked_delete(request.into_inner());
        let done = self.write(Operation::Delete, wanted, deadline).await?;
        Ok(Response::new(proto::DeleteResponse { existed: done.existed }))
    }

    async fn status(
        &self,
        _: Request<proto::StatusRequest>,
    ) -> Result<Response<proto::StatusResponse>, Status> {
        let node = self.handle.status().await;
        Ok(Response::new(proto::StatusResponse { node: Some(node) }))
    }
}

fn check(problem: Option<String>) -> Result<(), Reason> {
    problem.map_or(Ok(()), |p| Err(Reason::Field(p)))
}

fn checked_put(request: proto::PutRequest) -> Result<(Wanted, AckLevel), Reason> {
    let level = level(request.ack)?;
    let ttl = (request.ttl_ms > 0).then(|| Duration::from_millis(request.ttl_ms));
    let proto::PutRequest { cache, key, value, .. } = request;
    check(
        limits::check_cache(&cache)
            .or_else(|| limits::check_key(&key))
            .or_else(|| limits::check_value(&value))
            .or_else(|| ttl.and_then(limits::check_ttl)),
    )?;
    let ttl = ttl.map(|t| Span(u64::try_from(t.as_micros()).unwrap_or(u64::MAX)));
    Ok((Wanted::Put { cache: Arc::from(cache), key: owned(&key), value: owned(&value), ttl }, level))
}

fn checked_delete(request: proto::DeleteRequest) -> Result<(Wanted, AckLevel), Reason> {
    let level = level(request.ack)?;
    let proto::DeleteRequest { cache, key, .. } = request;
    check(limits::check_cache(&cache).or_else(|| limits::check_key(&key)))?;
    Ok((Wanted::Delete { cache: Arc::from(cache), key: owned(&key) }, level))
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
        Err(_) => Err(Reason::Field(format!("ack level {ack} is not known; 1 (Quorum) and 2 (Leader) are"))),
    }
}

/// How long the answer may take. A little less than the caller waits, so that he gets the reason and not silence: at
/// his own deadline the transport cancels the call.
fn time_left(metadata: &MetadataMap) -> Duration {
    let asked = metadata.get("grpc-timeout").and_then(|t| t.to_str().ok()).and_then(grpc_timeout);
    let whole = asked.unwrap_or(limits::DEADLINE).min(LONGEST_DEADLINE);
    whole - (whole / 10).min(Duration::from_millis(50))
}

/// Parses the header of the gRPC specification: at most eight digits and a unit.
fn grpc_timeout(text: &str) -> Option<Duration> {
    let split = text.len().checked_sub(1).filter(|digits| (1..=8).contains(digits))?;
    let (digits, unit) = (text.get(..split)?, text.get(split..)?);
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let count: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(count * 3600),
        "M" => Duration::from_secs(count * 60),
        "S" => Duration::from_secs(count),
        "m" => Duration::from_millis(count),
        "u" => Duration::from_micros(count),
        "n" => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_from_the_header() {
        assert_eq!(grpc_timeout("200m"), Some(Duration::from_millis(200)));
        assert_eq!(grpc_timeout("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(grpc_timeout("1234000u"), Some(Duration::from_micros(1_234_000)));
        for wrong in ["", "m", "5", "5x", "+5S", "-5S", "123456789S", "5 S", "é", "1é"] {
            assert_eq!(grpc_timeout(wrong), None, "{wrong}");
        }
        let mut metadata = MetadataMap::new();
        assert_eq!(time_left(&metadata), Duration::from_millis(4950));
        metadata.insert("grpc-timeout", "100m".parse().unwrap());
        assert_eq!(time_left(&metadata), Duration::from_millis(90));
        metadata.insert("grpc-timeout", "99999999H".parse().unwrap());
        assert_eq!(time_left(&metadata), LONGEST_DEADLINE - Duration::from_millis(50));
    }

    #[test]
    fn a_wrong_field_is_named() {
        let right = proto::PutRequest { cache: "c".into(), key: "k".into(), ttl_ms: 5, ..Default::default() };
        let (wanted, level) = checked_put(right.clone()).unwrap();
        assert_eq!(level, AckLevel::Quorum);
        assert!(matches!(wanted, Wanted::Put { ttl: Some(Span(5000)), .. }));
        let wrong = [
            (proto::PutRequest { cache: String::new(), ..right.clone() }, "cache name"),
            (proto::PutRequest { cache: "x".repeat(65), ..right.clone() }, "cache name"),
            (proto::PutRequest { key: Bytes::new(), ..right.clone() }, "key"),
            (proto::PutRequest { value: vec![0; (1 << 20) + 1].into(), ..right.clone() }, "value"),
            (proto::PutRequest { ttl_ms: u64::MAX, ..right.clone() }, "time to live"),
            (proto::PutRequest { ack: 9, ..right }, "ack level 9"),
        ];
        for (request, name) in wrong {
            let Err(Reason::Field(problem)) = checked_put(request) else { panic!("{name} was accepted") };
            assert!(problem.contains(name), "{problem}");
        }
    }
}
