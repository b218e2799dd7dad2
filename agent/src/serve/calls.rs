//! The calls of the cache, one by one, whether they came alone or over a session stream: the runtime is asked for what
//! was asked, and it is counted.

use rauthy_core::replica::Position;
use rauthy_core::{AckLevel, Effect, Found, ReadRefusal, Request};
use rauthy_proto::cache as proto;
use tokio::time::Instant;

use super::operations::{Level, Operation, Operations, Outcome};
use super::reason::Reason;
use super::requests::{self, Mode, Wanted, token};
use crate::runtime::{Handle, Written};

/// What is asked of one node. Cheap to clone.
#[derive(Clone)]
pub(super) struct Calls {
    pub handle: Handle,
    pub operations: Operations,
}

impl Calls {
    /// Reads this node's replica, without waiting, uncounted.
    pub fn get_local(&self, request: &proto::GetRequest) -> Result<Found, Reason> {
        self.found(self.handle.read(&request.cache, &request.key))
    }

    /// Reads this node's replica, uncounted, if it has what was seen; `None`: that must be waited for.
    pub fn get_applied(&self, request: &proto::GetRequest, seen: Position) -> Option<Result<Found, Reason>> {
        let found = self.handle.read_seen(&request.cache, &request.key, seen);
        (found != Err(ReadRefusal::Syncing)).then(|| self.found(found))
    }

    fn found(&self, found: Result<Found, ReadRefusal>) -> Result<Found, Reason> {
        found.map_err(|refusal| Reason::of_read(refusal, || self.handle.is_learning()))
    }

    pub async fn get(
        &self,
        request: proto::GetRequest,
        deadline: Instant,
    ) -> Result<proto::GetResponse, Reason> {
        let started = Instant::now();
        let mode = requests::get(&request);
        let level = match &mode {
            Ok(Mode::Local) | Err(_) => Level::Local,
            Ok(Mode::Session(_)) => Level::Session,
            Ok(Mode::Linearizable) => Level::Linearizable,
        };
        let result = match mode {
            Ok(mode) => self.read(mode, &request, deadline).await,
            Err(reason) => Err(reason),
        };
        let outcome = read_outcome(&result);
        self.operations.ended(&request.cache, Operation::Get, level, outcome, started.elapsed());
        let Found { value, generation, index, .. } = result?;
        let session = token(Some(Position { generation, index }));
        let (value, version) = value.unzip();
        Ok(proto::GetResponse { value: value.map(Into::into), version: version.unwrap_or_default(), session })
    }

    async fn read(
        &self,
        mode: Mode,
        request: &proto::GetRequest,
        deadline: Instant,
    ) -> Result<Found, Reason> {
        let (cache, key) = (&request.cache, &request.key);
        match mode {
            Mode::Local => self.get_local(request),
            Mode::Session(seen) => self.found(self.handle.read_after(cache, key, seen, deadline).await),
            // A generation that ended meanwhile is no gap: no session was named.
            Mode::Linearizable => {
                let found = self.handle.read_linearizable(cache, key, deadline).await;
                self.found(found.map_err(|e| if e == ReadRefusal::Gap { ReadRefusal::NoLease } else { e }))
            }
        }
    }

    async fn write(
        &self,
        operation: Operation,
        wanted: Wanted,
        deadline: Instant,
    ) -> Result<Written, Reason> {
        let started = Instant::now();
        let cache = wanted.as_ref().ok().and_then(|(request, ..)| request.cache().cloned());
        let (level, result) = match wanted {
            Ok((request, level, stamp)) => {
                let generation = stamp.map(|stamp| stamp.generation);
                let gone =
                    generation.is_some() && self.handle.generation().is_some_and(|g| Some(g) != generation);
                let result = if gone {
                    Err(Reason::Gap)
                } else {
                    let result = self.handle.write_as(stamp, request, level, deadline).await;
                    result.map_err(Reason::from).and_then(judged)
                };
                (level, result)
            }
            Err(reason) => (AckLevel::Quorum, Err(reason)),
        };
        let level = match level {
            AckLevel::Direct => Level::Direct,
            AckLevel::Leader => Level::Leader,
            AckLevel::Once => Level::Once,
            AckLevel::Quorum => Level::Quorum,
            AckLevel::All => Level::All,
        };
        let outcome = match &result {
            Ok(Written { done, .. }) if done.effect == Effect::Taken(None) => Outcome::Miss,
            Ok(_) => Outcome::Ok,
            Err(reason) => reason.outcome(),
        };
        let cache = cache.as_deref().unwrap_or_default();
        self.operations.ended(cache, operation, level, outcome, started.elapsed());
        result
    }

    pub async fn put(
        &self,
        request: proto::PutRequest,
        deadline: Instant,
    ) -> Result<proto::PutResponse, Reason> {
        let Written { done, position } = self.write(Operation::Put, requests::put(request), deadline).await?;
        Ok(proto::PutResponse { version: done.version, session: token(position) })
    }

    pub async fn delete(
        &self,
        request: proto::DeleteRequest,
        deadline: Instant,
    ) -> Result<proto::DeleteResponse, Reason> {
        let Written { done, position } =
            self.write(Operation::Delete, requests::delete(request), deadline).await?;
        Ok(proto::DeleteResponse { existed: done.existed(), session: token(position) })
    }

    pub async fn take(
        &self,
        request: proto::TakeRequest,
        deadline: Instant,
    ) -> Result<proto::TakeResponse, Reason> {
        let Written { done, position } =
            self.write(Operation::Take, requests::take(request), deadline).await?;
        // (Anything else: something was done, but the answer does not say what was asked.)
        let Effect::Taken(value) = done.effect else { return Err(Reason::UnknownOutcome) };
        Ok(proto::TakeResponse { value, session: token(position) })
    }

    pub async fn increment(
        &self,
        request: proto::IncrementRequest,
        deadline: Instant,
    ) -> Result<proto::IncrementResponse, Reason> {
        let Written { done, position } =
            self.write(Operation::Increment, requests::increment(request), deadline).await?;
        let Effect::Number(number) = done.effect else { return Err(Reason::UnknownOutcome) };
        Ok(proto::IncrementResponse { number, version: done.version, session: token(position) })
    }

    pub async fn clear(
        &self,
        request: proto::ClearRequest,
        deadline: Instant,
    ) -> Result<proto::ClearResponse, Reason> {
        let Written { done, position } =
            self.write(Operation::Clear, requests::clear(request), deadline).await?;
        let values = if let Effect::Cleared { values } = done.effect { values } else { 0 };
        Ok(proto::ClearResponse { values, session: token(position) })
    }

    pub async fn declare(
        &self,
        request: proto::DeclareRequest,
        deadline: Instant,
    ) -> Result<proto::DeclareResponse, Reason> {
        let Written { position, .. } =
            self.write(Operation::Declare, requests::declare(request), deadline).await?;
        Ok(proto::DeclareResponse { session: token(position) })
    }

    pub async fn register(&self, deadline: Instant) -> Result<proto::RegisterResponse, Reason> {
        let wanted = Ok((Request::OpenSession, AckLevel::Quorum, None));
        let Written { position, .. } = self.write(Operation::Register, wanted, deadline).await?;
        let position = position.ok_or(Reason::UnknownOutcome)?;
        let idle_ms = u64::try_from(self.handle.writer_idle().as_millis()).unwrap_or(u64::MAX);
        Ok(proto::RegisterResponse { writer: requests::writer(position), idle_ms })
    }

    pub async fn status(&self) -> proto::StatusResponse {
        proto::StatusResponse { node: Some(self.handle.status().await) }
    }
}

/// How a read ended.
pub(super) fn read_outcome(result: &Result<Found, Reason>) -> Outcome {
    match result {
        Ok(Found { value: Some(_), .. }) => Outcome::Ok,
        Ok(_) => Outcome::Miss,
        Err(reason) => reason.outcome(),
    }
}

/// What was written, or why nothing was although it was appended.
pub(crate) fn judged(written: Written) -> Result<Written, Reason> {
    match written.done.effect {
        Effect::Unmet { version } => Err(Reason::Version(version)),
        Effect::NotANumber => Err(Reason::NotANumber),
        Effect::Unknown => Err(Reason::UnknownOutcome),
        _ => Ok(written),
    }
}
