//! The standard health service, `grpc.health.v1.Health`. Asked without a name it says that the process works; asked
//! for `rauthy.cache.v1.Cache`, whether this node answers reads and writes.

use rauthy_proto::cache::cache_server::CacheServer;
use tokio_stream::Empty;
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_server};

use super::service::Service;
use crate::runtime::Handle;

/// Judged when it is asked, so that it costs nothing else.
pub(super) struct Health {
    handle: Handle,
}

impl Health {
    pub(super) fn new(handle: Handle) -> Self {
        Self { handle }
    }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    type WatchStream = Empty<Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let name = request.into_inner().service;
        let serving = match name.as_str() {
            "" => true,
            name if name == <CacheServer<Service> as NamedService>::NAME => self.handle.status().await.ready,
            _ => return Err(Status::not_found("no such service here")),
        };
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        Ok(Response::new(HealthCheckResponse { status: status.into() }))
    }

    // The protocol allows a server to leave this out; its clients then poll.
    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Err(Status::unimplemented("health is not streamed here; call Check"))
    }
}
