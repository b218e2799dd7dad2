//! The standard health service, `grpc.health.v1.Health`. Asked without a name it says that the process works; asked
//! for `rauthy.cache.v1.Cache`, whether this node answers reads and writes.

use std::time::Duration;

use futures::stream::{self, BoxStream, StreamExt};
use rauthy_proto::cache::cache_server::CacheServer;
use tokio::time::{Instant, sleep};
use tonic::server::NamedService;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse, health_server};

use super::reason::Reason;
use super::service::Service;
use super::streams::{Streams, end, ended};
use crate::runtime::Handle;

/// A watcher hears of a change after this long at the latest.
const LOOK: Duration = Duration::from_millis(200);

/// Judged when it is asked, so that it costs nothing else.
#[derive(Clone)]
pub(super) struct Health {
    handle: Handle,
    streams: Streams,
}

impl Health {
    pub(super) fn new(handle: Handle, streams: Streams) -> Self {
        Self { handle, streams }
    }

    async fn judge(&self, service: &str) -> ServingStatus {
        let serving = match service {
            "" => true,
            name if name == <CacheServer<Service> as NamedService>::NAME => self.handle.status().await.ready,
            _ => return ServingStatus::ServiceUnknown,
        };
        if serving { ServingStatus::Serving } else { ServingStatus::NotServing }
    }

    /// Waits until the status is another than `last`; an error: the stream ends.
    async fn change(
        &self,
        service: &str,
        last: Option<ServingStatus>,
        end: Option<Instant>,
    ) -> Result<ServingStatus, Status> {
        let changed = async {
            loop {
                let now = self.judge(service).await;
                if last != Some(now) {
                    return now;
                }
                sleep(LOOK).await;
            }
        };
        tokio::select! {
            biased;
            () = self.streams.stopping.cancelled() => Err(Reason::Stopping.into()),
            status = ended(end) => Err(status),
            now = changed => Ok(now),
        }
    }
}

fn response(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl health_server::Health for Health {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        match self.judge(&request.into_inner().service).await {
            ServingStatus::ServiceUnknown => Err(Status::not_found("no such service here")),
            status => Ok(Response::new(response(status))),
        }
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (place, end) = (self.streams.watch()?, end(request.metadata()));
        let (health, service) = (self.clone(), request.into_inner().service);
        let changes = stream::unfold(Some((health, None, place)), move |state| {
            let service = service.clone();
            async move {
                let (health, last, place) = state?;
                match health.change(&service, last, end).await {
                    Ok(now) => Some((Ok(response(now)), Some((health, Some(now), place)))),
                    Err(status) => Some((Err(status), None)),
                }
            }
        });
        Ok(Response::new(changes.boxed()))
    }
}
