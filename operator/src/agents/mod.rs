//! Asks the agents how they are, on the mesh port by pod IP, after the mutual handshake in the role `operator`.

mod connect;
mod session;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::{Pod, Secret};
use rauthy_proto::cache::NodeStatus;
use secrecy::SecretString;

use crate::names::{Names, ordinal};

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

/// What it takes to be let in.
#[derive(Clone)]
pub struct Access {
    /// Names of the cluster.
    pub names: Names,
    /// Port of the mesh.
    pub port: i32,
    /// The cluster's token.
    pub token: SecretString,
    /// The cluster's certificate; none without TLS.
    pub tls: Option<Secret>,
}

/// Asks all pods that have an address, at once.
pub async fn ask(access: &Access, pods: &[Pod]) -> Vec<Report> {
    let tls = access.tls.as_ref().map(connect::config).transpose();
    let asked = pods.iter().filter_map(|pod| {
        let name = pod.metadata.name.clone()?;
        let address: IpAddr = pod.status.as_ref()?.pod_ip.as_ref()?.parse().ok()?;
        Some((ordinal(&name)?, name, address))
    });
    let answers = asked.map(|(ordinal, pod, address)| {
        let tls = match &tls {
            Ok(tls) => Ok(tls.clone()),
            Err(error) => Err(error.to_string()),
        };
        async move {
            let answer = match tls {
                Ok(tls) => ask_one(access, ordinal, address, tls).await.map_err(|error| error.to_string()),
                Err(error) => Err(error),
            };
            Report { pod, answer }
        }
    });
    join_all(answers).await
}

async fn ask_one(
    access: &Access,
    ordinal: i32,
    address: IpAddr,
    tls: Option<Arc<rustls::ClientConfig>>,
) -> Result<NodeStatus, AgentError> {
    let port = u16::try_from(access.port).map_err(|_| AgentError::Protocol("the port is out of range"))?;
    let asking = async {
        let host = access.names.host(ordinal);
        let stream = connect::connect(SocketAddr::new(address, port), tls, &host).await?;
        session::status(stream, access, &access.names.slot(ordinal, access.port)).await
    };
    tokio::time::timeout(DEADLINE, asking).await.map_err(|_| AgentError::Timeout)?
}
