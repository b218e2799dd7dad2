//! Asks the agents how they are, on the mesh port by pod IP, after the mutual handshake in the role `operator`.

mod connect;
mod session;

use std::cmp::Reverse;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use k8s_openapi::api::core::v1::{Pod, Secret};
use rauthy_proto::admin::{
    MemberAddress, SetSizeReply, SetSizeRequest, StatusRequest, TransferLeadershipRequest, admin_reply,
    admin_request,
};
use rauthy_proto::cache::{NodeStatus, Role};
use secrecy::SecretString;

use crate::names::{Names, ordinal, pod_of_slot};

/// Longest that one agent may take; all are asked at once.
const DEADLINE: Duration = Duration::from_secs(2);

/// Why an agent did not say how it is. Never holds a secret.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// It did not answer in time.
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Timeout,
    /// No connection.
    #[error("no connection: {0}")]
    Connect(std::io::Error),
    /// No TLS.
    #[error("no TLS: {0}")]
    Tls(String),
    /// The stream broke.
    #[error("{0}")]
    Stream(String),
    /// It does not know the token.
    #[error("it could not prove that it knows the cluster's token")]
    Impostor,
    /// It refused the operator.
    #[error("it refused the operator: {0}")]
    Refused(String),
    /// It cannot do what it was asked for.
    #[error("it says: {0}")]
    Unable(String),
    /// It did not follow the protocol.
    #[error("it did not follow the protocol: {0}")]
    Protocol(&'static str),
    /// No randomness for the handshake.
    #[error("the system gives no random numbers")]
    Random,
}

/// What one agent answered.
#[derive(Clone, Debug)]
pub struct Report {
    /// Its pod.
    pub pod: String,
    /// Its state, or why there is none.
    pub answer: Result<NodeStatus, String>,
}

/// Who leads, with the report that says most about it. The leader's own word counts while it serves; when it does
/// not answer, that of the followers that serve under it.
#[must_use]
pub fn leader(reports: &[Report]) -> Option<(String, &NodeStatus)> {
    let answers = reports.iter().filter_map(|report| Some((&report.pod, report.answer.as_ref().ok()?)));
    let mut serving: Vec<_> = answers.filter(|(_, node)| node.ready && !node.leader.is_empty()).collect();
    serving.sort_by_key(|(_, node)| (Reverse(node.term), node.role() != Role::Leader));
    let (pod, node) = serving.first()?;
    if node.role() == Role::Leader {
        return Some(((*pod).clone(), node));
    }
    Some((pod_of_slot(&node.leader).to_owned(), node))
}

/// What it takes to be let in.
#[derive(Clone)]
pub struct Access {
    /// Names of the cluster.
    pub names: Names,
    /// Port of the mesh.
    pub port: i32,
    /// The cluster's token; more than one while it is replaced.
    pub tokens: Vec<SecretString>,
    /// The cluster's certificate; none without TLS.
    pub tls: Option<Secret>,
}

/// How the operator reaches agents.
pub trait Agents: Send + Sync {
    /// Asks all pods that have an address, at once.
    fn ask<'a>(&'a self, access: &'a Access, pods: &'a [Pod]) -> BoxFuture<'a, Vec<Report>>;

    /// Asks one of them to change the size.
    fn set_size<'a>(
        &'a self,
        access: &'a Access,
        pod: &'a Pod,
        change: SetSizeRequest,
    ) -> BoxFuture<'a, Result<SetSizeReply, AgentError>>;

    /// Asks one of them to give the leadership away; whether it leads still.
    fn transfer<'a>(&'a self, access: &'a Access, pod: &'a Pod) -> BoxFuture<'a, Result<bool, AgentError>>;
}

/// By the mesh port of their pods.
#[derive(Clone, Copy, Debug, Default)]
pub struct ByPodAddress;

impl Agents for ByPodAddress {
    fn ask<'a>(&'a self, access: &'a Access, pods: &'a [Pod]) -> BoxFuture<'a, Vec<Report>> {
        Box::pin(ask(access, pods))
    }

    fn set_size<'a>(
        &'a self,
        access: &'a Access,
        pod: &'a Pod,
        change: SetSizeRequest,
    ) -> BoxFuture<'a, Result<SetSizeReply, AgentError>> {
        Box::pin(set_size(access, pod, change))
    }

    fn transfer<'a>(&'a self, access: &'a Access, pod: &'a Pod) -> BoxFuture<'a, Result<bool, AgentError>> {
        Box::pin(transfer(access, pod))
    }
}

/// Where a pod is.
fn place(pod: &Pod) -> Option<(i32, IpAddr)> {
    let name = pod.metadata.name.as_ref()?;
    Some((ordinal(name)?, pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?))
}

/// Where the members are, by slot: told to each of them, for a name that was looked up too early stays unknown to DNS for
/// 30 s.
fn addresses(access: &Access, pods: &[Pod]) -> Vec<MemberAddress> {
    let live = pods.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    live.filter_map(place)
        .map(|(ordinal, ip)| MemberAddress {
            slot: access.names.slot(ordinal, access.port),
            ip: ip.to_string(),
        })
        .collect()
}

/// Asks all pods that have an address how they are, at once.
pub async fn ask(access: &Access, pods: &[Pod]) -> Vec<Report> {
    let asked = pods.iter().filter_map(|pod| Some((pod.metadata.name.clone()?, place(pod)?)));
    let question = StatusRequest { addresses: addresses(access, pods) };
    let questions = asked.map(|asked| (asked, admin_request::Request::Status(question.clone())));
    let answers = questions.map(|((pod, place), question)| async move {
        let answer = match ask_one(access, place, question).await {
            Ok(admin_reply::Reply::Status(status)) => Ok(status),
            Ok(_) => Err(AgentError::Protocol("it did not answer the question for its state")),
            Err(error) => Err(error),
        };
        Report { pod, answer: answer.map_err(|error| error.to_string()) }
    });
    join_all(answers).await
}

/// Asks a pod to change the size. It may be asked again at will.
///
/// # Errors
/// There is no answer: it may or may not have begun.
pub async fn set_size(
    access: &Access,
    pod: &Pod,
    change: SetSizeRequest,
) -> Result<SetSizeReply, AgentError> {
    let place = place(pod).ok_or(AgentError::Protocol("its pod has no address"))?;
    match ask_one(access, place, admin_request::Request::SetSize(change)).await? {
        admin_reply::Reply::SetSize(reply) => Ok(reply),
        _ => Err(AgentError::Protocol("it did not answer the request to change the size")),
    }
}

/// Asks a pod to give the leadership away; whether it leads still. It may be asked again at will.
///
/// # Errors
/// There is no answer: it may or may not have done so.
pub async fn transfer(access: &Access, pod: &Pod) -> Result<bool, AgentError> {
    let place = place(pod).ok_or(AgentError::Protocol("its pod has no address"))?;
    let question = admin_request::Request::TransferLeadership(TransferLeadershipRequest {});
    match ask_one(access, place, question).await? {
        admin_reply::Reply::TransferLeadership(reply) => Ok(reply.leads),
        _ => Err(AgentError::Protocol("it did not answer the request to give the leadership away")),
    }
}

async fn ask_one(
    access: &Access,
    (ordinal, address): (i32, IpAddr),
    question: admin_request::Request,
) -> Result<admin_reply::Reply, AgentError> {
    let tls = access.tls.as_ref().map(connect::config).transpose()?;
    let port = u16::try_from(access.port).map_err(|_| AgentError::Protocol("the port is out of range"))?;
    let asking = async {
        let host = access.names.host(ordinal);
        let stream = connect::connect(SocketAddr::new(address, port), tls, &host).await?;
        session::ask(stream, access, &access.names.slot(ordinal, access.port), question).await
    };
    tokio::time::timeout(DEADLINE, asking).await.map_err(|_| AgentError::Timeout)?
}
