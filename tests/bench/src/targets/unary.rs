//! The floor for a read over a socket: the same gRPC service and the same messages, answered from one value in memory.
//! Nothing is looked up, nothing is counted.

use std::path::PathBuf;

use bytes::Bytes;
use clap::Args;
use rauthy_load::{Outcome, Target, What, value};
use rauthy_proto::cache as proto;
use rauthy_proto::cache::cache_client::CacheClient;
use tonic::codegen::http;
use tonic::transport::{Channel, Endpoint, Server};

use super::keys;

/// Where.
#[derive(Args)]
pub struct Place {
    /// Path of the socket.
    socket: PathBuf,
}

/// Answers `Get`, and nothing else: the service by hand, as its other calls have no meaning here.
#[derive(Clone)]
struct One(Bytes);

impl tonic::server::UnaryService<proto::GetRequest> for One {
    type Response = proto::GetResponse;
    type Future = std::future::Ready<Result<tonic::Response<proto::GetResponse>, tonic::Status>>;

    fn call(&mut self, _: tonic::Request<proto::GetRequest>) -> Self::Future {
        let found = proto::GetResponse { value: Some(self.0.clone()), version: 1, ..Default::default() };
        std::future::ready(Ok(tonic::Response::new(found)))
    }
}

impl tonic::server::NamedService for One {
    const NAME: &'static str = "rauthy.cache.v1.Cache";
}

impl tonic::codegen::Service<http::Request<tonic::body::Body>> for One {
    type Response = http::Response<tonic::body::Body>;
    type Error = std::convert::Infallible;
    type Future = tonic::codegen::BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let one = self.clone();
        Box::pin(async move {
            let codec = rauthy_proto::codec::BoundedCodec::default();
            Ok(tonic::server::Grpc::new(codec).unary(one, request).await)
        })
    }
}

/// Serves until it is killed.
///
/// # Errors
/// If the socket cannot be had.
pub async fn serve(place: Place) -> anyhow::Result<()> {
    let listener = tokio::net::UnixListener::bind(&place.socket)?;
    let incoming = tokio_stream::wrappers::UnixListenerStream::new(listener);
    Server::builder().add_service(One(value().into())).serve_with_incoming(incoming).await?;
    Ok(())
}

#[derive(Clone)]
struct Caller {
    grpc: CacheClient<Channel>,
    keys: std::sync::Arc<Vec<Bytes>>,
}

impl Target for Caller {
    async fn leads(&self) -> bool {
        true
    }

    async fn call(&self, what: What, number: usize) -> Outcome {
        if what != What::Get {
            return Err("only reads are served".into());
        }
        let key = self.keys[number].clone();
        let get = proto::GetRequest { cache: "bench".into(), key, ..Default::default() };
        let found = self.grpc.clone().get(get).await.map_err(|e| e.to_string())?.into_inner().value;
        found.map(drop).ok_or_else(|| "not there".into())
    }
}

/// Runs a caller until stdin ends.
///
/// # Errors
/// If the address is none.
pub async fn run(place: Place) -> anyhow::Result<()> {
    let channel = Endpoint::from_shared(format!("unix://{}", place.socket.display()))?.connect().await?;
    let caller = Caller { grpc: CacheClient::new(channel), keys: std::sync::Arc::new(keys()) };
    rauthy_load::serve(caller).await?;
    Ok(())
}
