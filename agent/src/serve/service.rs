//! `rauthy.cache.v1.Cache`: asks the runtime for what was asked, and counts.

use rauthy_core::{AckLevel, Effect, Found, ReadRefusal};
use rauthy_proto::cache as proto;
use rauthy_proto::cache::cache_server::Cache;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::deadline::time_left;
use super::operations::{Level, Operation, Operations, Outcome};
use super::reason::Reason;
use super::requests::{self, Mode, Wanted, token};
use crate::runtime::{Handle, Written};

/// The service of one node.
#[derive(Clone)]
pub(super) struct Service {
    handle: Handle,
    operations: Operations,
}

fn deadline(metadata: &MetadataMap) -> Instant {
    Instant::now() + time_left(metadata)
}

impl Service {
    pub(super) fn new(handle: Handle, operations: Operations) -> Self {
        Self { handle, operations }
    }

    async fn read(
        &self,
        mode: Mode,
        request: &proto::GetRequest,
        deadline: Instant,
    ) -> Result<proto::GetResponse, Reason> {
        let (cache, key) = (&request.cache, &request.key);
        let found = match mode {
            Mode::Local => self.handle.read(cache, key),
            Mode::Session(seen) => self.handle.read_after(cache, key, seen, deadline).await,
            // A generation that ended meanwhile is no gap: no session was named.
            Mode::Linearizable => {
                let found = self.handle.read_linearizable(cache, key, deadline).await;
                found.map_err(|e| if e == ReadRefusal::Gap { ReadRefusal::NoLease } else { e })
            }
        };
        let Found { value, generation, index, .. } =
            found.map_err(|refusal| Reason::of_read(refusal, || self.handle.is_learning()))?;
        let session = token(Some(rauthy_core::replica::Position { generation, index }));
        Ok(match value {
            Some((value, version)) => proto::GetResponse { value: Some(value.into()), version, session },
            None => proto::GetResponse { value: None, version: 0, session },
        })
    }

    async fn write(
        &self,
        operation: Operation,
        wanted: Wanted,
        deadline: Instant,
    ) -> Result<Written, Status> {
        let started = Instant::now();
        let (level, result) = match wanted {
            Ok((wanted, level)) => {
                let result = self.handle.write(wanted, level, deadline).await.map_err(Reason::from);
                (level, result.and_then(judged))
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
        self.operations.ended(operation, level, outcome, started.elapsed());
        result.map_err(Status::from)
    }
}

/// What was written, or why nothing was although it was appended.
fn judged(written: Written) -> Result<Written, Reason> {
    match written.done.effect {
        Effect::Unmet { version } => Err(Reason::Version(version)),
        Effect::NotANumber => Err(Reason::NotANumber),
        Effect::Unknown => Err(Reason::UnknownOutcome),
        _ => Ok(written),
    }
}

#[tonic::async_trait]
impl Cache for Service {
    async fn get(&self, request: Request<proto::GetRequest>) -> Result<Response<proto::GetResponse>, Status> {
        let (started, deadline) = (Instant::now(), deadline(request.metadata()));
        let request = request.into_inner();
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
        let outcome = match &result {
            Ok(proto::GetResponse { value: Some(_), .. }) => Outcome::Ok,
            Ok(_) => Outcome::Miss,
            Err(reason) => reason.outcome(),
        };
        self.operations.ended(Operation::Get, level, outcome, started.elapsed());
        result.map(Response::new).map_err(Status::from)
    }

    async fn put(&self, request: Request<proto::PutRequest>) -> Result<Response<proto::PutResponse>, Status> {
        let deadline = deadline(request.metadata());
        let wanted = requests::put(request.into_inner());
        let Written { done, position } = self.write(Operation::Put, wanted, deadline).await?;
        Ok(Response::new(proto::PutResponse { version: done.version, session: token(position) }))
    }

    async fn delete(
        &self,
        request: Request<proto::DeleteRequest>,
    ) -> Result<Response<proto::DeleteResponse>, Status> {
        let deadline = deadline(request.metadata());
        let wanted = requests::delete(request.into_inner());
        let Written { done, position } = self.write(Operation::Delete, wanted, deadline).await?;
        Ok(Response::new(proto::DeleteResponse { existed: done.existed(), session: token(position) }))
    }

    async fn take(
        &self,
        request: Request<proto::TakeRequest>,
    ) -> Result<Response<proto::TakeResponse>, Status> {
        let deadline = deadline(request.metadata());
        let wanted = requests::take(request.into_inner());
        let Written { done, position } = self.write(Operation::Take, wanted, deadline).await?;
        let Effect::Taken(value) = done.effect else { return Err(another_effect()) };
        Ok(Response::new(proto::TakeResponse { value, session: token(position) }))
    }

    async fn increment(
        &self,
        request: Request<proto::IncrementRequest>,
    ) -> Result<Response<proto::IncrementResponse>, Status> {
        let deadline = deadline(request.metadata());
        let wanted = requests::increment(request.into_inner());
        let Written { done, position } = self.write(Operation::Increment, wanted, deadline).await?;
        let Effect::Number(number) = done.effect else { return Err(another_effect()) };
        let session = token(position);
        Ok(Response::new(proto::IncrementResponse { number, version: done.version, session }))
    }

    async fn clear(
        &self,
        request: Request<proto::ClearRequest>,
    ) -> Result<Response<proto::ClearResponse>, Status> {
        let deadline = deadline(request.metadata());
        let wanted = requests::clear(request.into_inner());
        let Written { done, position } = self.write(Operation::Clear, wanted, deadline).await?;
        let values = if let Effect::Cleared { values } = done.effect { values } else { 0 };
        Ok(Response::new(proto::ClearResponse { values, session: token(position) }))
    }

    async fn declare(
        &self,
        request: Request<proto::DeclareRequest>,
    ) -> Result<Response<proto::DeclareResponse>, Status> {
        let deadline = deadline(request.metadata());
        let wanted = requests::declare(request.into_inner());
        let Written { position, .. } = self.write(Operation::Declare, wanted, deadline).await?;
        Ok(Response::new(proto::DeclareResponse { session: token(position) }))
    }

    async fn status(
        &self,
        _: Request<proto::StatusRequest>,
    ) -> Result<Response<proto::StatusResponse>, Status> {
        let node = self.handle.status().await;
        Ok(Response::new(proto::StatusResponse { node: Some(node) }))
    }
}

/// Something was done, but the answer does not say what was asked.
fn another_effect() -> Status {
    Reason::UnknownOutcome.into()
}
