//! The standard services beside the cache: reflection, and health as a stream.

use std::time::Duration;

use rauthy_proto::cache::ChangeKind;
use tokio::time::timeout;
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};

use crate::support::{Agent, PATIENCE, refused, start};

async fn ask(agent: &Agent, question: MessageRequest) -> Result<MessageResponse, Status> {
    let mut client = ServerReflectionClient::new(agent.channel());
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(question) };
    let answers = client.server_reflection_info(tokio_stream::iter([request])).await.unwrap();
    let answer: ServerReflectionResponse =
        timeout(PATIENCE, answers.into_inner().message()).await.unwrap()?.unwrap();
    Ok(answer.message_response.unwrap())
}

#[tokio::test]
async fn reflection_tells_what_there_is() {
    let agent = start().await;
    let Ok(MessageResponse::ListServicesResponse(list)) =
        ask(&agent, MessageRequest::ListServices(String::new())).await
    else {
        panic!("services are not listed")
    };
    let mut names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    names.sort_unstable();
    let wanted = ["grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "rauthy.cache.v1.Cache"];
    assert_eq!(names, wanted);

    let symbol = |name: &str| MessageRequest::FileContainingSymbol(name.into());
    for name in ["rauthy.cache.v1.Cache", "rauthy.cache.v1.Cache.Watch", "rauthy.cache.v1.ChangeKind"] {
        let Ok(MessageResponse::FileDescriptorResponse(files)) = ask(&agent, symbol(name)).await else {
            panic!("{name} is not described")
        };
        let file = &files.file_descriptor_proto[0];
        let holds = |text: &str| file.windows(text.len()).any(|part| part == text.as_bytes());
        assert!(
            holds(ChangeKind::Evicted.as_str_name()) && holds("Gets and removes a value in one linearizable")
        );
    }
    // What agents say to each other is nobody's business.
    for hidden in ["rauthy.mesh.v1.Mesh", "rauthy.admin.v1.Admin"] {
        assert_eq!(ask(&agent, symbol(hidden)).await.unwrap_err().code(), Code::NotFound);
    }
}

#[tokio::test]
async fn health_is_told_when_it_changes() {
    let agent = start().await;
    let mut client = HealthClient::new(agent.channel());
    let mut watch = async |service: &str| {
        let request = HealthCheckRequest { service: service.into() };
        client.watch(request).await.unwrap().into_inner()
    };
    let (mut process, mut cache, mut other) =
        (watch("").await, watch("rauthy.cache.v1.Cache").await, watch("other").await);
    let mut told = Vec::new();
    for stream in [&mut process, &mut cache, &mut other] {
        told.push(timeout(PATIENCE, stream.message()).await.unwrap().unwrap().unwrap().status());
    }
    told.push(timeout(PATIENCE, cache.message()).await.unwrap().unwrap().unwrap().status());
    let wanted = [
        ServingStatus::Serving,
        ServingStatus::NotServing,
        ServingStatus::ServiceUnknown,
        ServingStatus::Serving,
    ];
    assert_eq!(told, wanted);
    agent.handle.stop_being_ready();
    let last = timeout(PATIENCE, cache.message()).await.unwrap().unwrap().unwrap();
    assert_eq!(last.status(), ServingStatus::NotServing);

    let mut short = Request::new(HealthCheckRequest::default());
    short.set_timeout(Duration::from_millis(300));
    let mut short = client.watch(short).await.unwrap().into_inner();
    timeout(PATIENCE, short.message()).await.unwrap().unwrap().unwrap();
    let status = timeout(PATIENCE, short.message()).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    agent.stop.send(()).unwrap();
    for stream in [&mut process, &mut cache, &mut other] {
        let status = timeout(PATIENCE, stream.message()).await.unwrap().unwrap_err();
        assert_eq!(refused(&status), (Code::Unavailable, "STOPPING"));
    }
    timeout(PATIENCE, agent.server).await.unwrap().unwrap().unwrap();
}
