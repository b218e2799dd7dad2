//! `rauthy.cache.v1.Cache` as the server sees it: deadlines and statuses around the calls.

use rauthy_proto::cache as proto;
use rauthy_proto::cache::cache_server::Cache;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::calls::Calls;
use super::deadline::time_left;
use super::streams::{self, Streams};
use super::{requests, session, watch};

/// The service of one node.
#[derive(Clone)]
pub(super) struct Service {
    calls: Calls,
    streams: Streams,
}

impl Service {
    pub(super) fn new(calls: Calls, streams: Streams) -> Self {
        Self { calls, streams }
    }
}

fn deadline(metadata: &MetadataMap) -> Instant {
    Instant::now() + time_left(metadata)
}

/// Unary calls are all alike.
macro_rules! unary {
    ($service:expr, $request:expr, $call:ident) => {{
        let deadline = deadline($request.metadata());
        Ok(Response::new($service.calls.$call($request.into_inner(), deadline).await?))
    }};
}

#[tonic::async_trait]
impl Cache for Service {
    async fn get(&self, request: Request<proto::GetRequest>) -> Result<Response<proto::GetResponse>, Status> {
        unary!(self, request, get)
    }

    async fn put(&self, request: Request<proto::PutRequest>) -> Result<Response<proto::PutResponse>, Status> {
        unary!(self, request, put)
    }

    async fn delete(
        &self,
        request: Request<proto::DeleteRequest>,
    ) -> Result<Response<proto::DeleteResponse>, Status> {
        unary!(self, request, delete)
    }

    async fn take(
        &self,
        request: Request<proto::TakeRequest>,
    ) -> Result<Response<proto::TakeResponse>, Status> {
        unary!(self, request, take)
    }

    async fn increment(
        &self,
        request: Request<proto::IncrementRequest>,
    ) -> Result<Response<proto::IncrementResponse>, Status> {
        unary!(self, request, increment)
    }

    async fn clear(
        &self,
        request: Request<proto::ClearRequest>,
    ) -> Result<Response<proto::ClearResponse>, Status> {
        unary!(self, request, clear)
    }

    async fn declare(
        &self,
        request: Request<proto::DeclareRequest>,
    ) -> Result<Response<proto::DeclareResponse>, Status> {
        unary!(self, request, declare)
    }

    async fn register(
        &self,
        request: Request<proto::RegisterRequest>,
    ) -> Result<Response<proto::RegisterResponse>, Status> {
        Ok(Response::new(self.calls.register(deadline(request.metadata())).await?))
    }

    async fn status(
        &self,
        _: Request<proto::StatusRequest>,
    ) -> Result<Response<proto::StatusResponse>, Status> {
        Ok(Response::new(self.calls.status().await))
    }

    type WatchStream = watch::Responses;

    async fn watch(
        &self,
        request: Request<proto::WatchRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let end = streams::end(request.metadata());
        let request = request.into_inner();
        let values = request.values;
        let asked = requests::watch(request)?;
        let responses = watch::watch(self.calls.clone(), asked, values, self.streams.clone(), end)?;
        Ok(Response::new(responses))
    }

    type SessionStream = session::Responses;

    async fn session(
        &self,
        request: Request<Streaming<proto::SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        Ok(Response::new(session::open(self.calls.clone(), request, &self.streams)?))
    }
}
