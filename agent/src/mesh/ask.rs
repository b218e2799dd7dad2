//! Asks an agent something over the mesh, as the operator does: for `ctl` on hosts without one.

use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rauthy_core::Slot;
use rauthy_proto::admin::admin_reply::Reply;
use rauthy_proto::admin::admin_request::Request;
use rauthy_proto::admin::{AdminReply, AdminRequest};
use rauthy_proto::handshake::OPERATOR;
use rauthy_proto::mesh::frame::Frame as Kind;
use rauthy_proto::mesh::mesh_client::MeshClient;
use rauthy_proto::mesh::{Frame, Purpose};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::Endpoint;

use super::connection::Connection;
use super::handshake::{self, HandshakeError};
use super::queue::queue;
use super::{LARGEST, Me};
use crate::config::{Config, hosts};
use crate::tls::{Tls, TlsError};

/// All of it together.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Who asks.
pub struct Asker {
    me: Me,
    tls: Option<Arc<Tls>>,
}

/// Why there is no asker.
#[derive(Debug, thiserror::Error)]
pub enum AskerError {
    /// There is nobody to ask.
    #[error("HA_MODE is not true here: a single node has no other members, and one size")]
    NoCluster,
    /// The certificates cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The operating system gives no randomness.
    #[error("no randomness: {0}")]
    Random(getrandom::Error),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// No connection to it.
    #[error("{0} is not reached: {1}")]
    Connect(Slot, String),
    /// It is not who it should be, or refuses.
    #[error("{0}: {1}")]
    Handshake(Slot, HandshakeError),
    /// It ended the stream.
    #[error("{0} gave no answer: {1}")]
    Ended(Slot, String),
    /// It took too long.
    #[error("{0} gave no answer within 10 s")]
    Slow(Slot),
}

impl Asker {
    /// With the token and the certificates of this configuration.
    ///
    /// # Errors
    /// If they cannot be used.
    pub fn new(config: &Config) -> Result<Self, AskerError> {
        let tokens = config.token.clone().ok_or(AskerError::NoCluster)?;
        let tls = config.tls.clone().map(Tls::load).transpose()?.map(Arc::new);
        let mut boot = [0; 16];
        getrandom::fill(&mut boot).map_err(AskerError::Random)?;
        let me = Me::new(config.cluster_name.clone(), Slot::new(OPERATOR), boot, Vec::new(), tokens);
        Ok(Self { me, tls })
    }
}

/// Asks the agent that is this slot.
///
/// # Errors
/// If it is not reached, is somebody else, or gives no answer.
pub async fn ask(asker: &Asker, slot: &Slot, request: Request) -> Result<Reply, AskError> {
    let asked = tokio::time::timeout(TIMEOUT, once(asker, slot, request)).await;
    asked.unwrap_or_else(|_| Err(AskError::Slow(slot.clone())))
}

async fn once(asker: &Asker, slot: &Slot, request: Request) -> Result<Reply, AskError> {
    let failed = |e: &dyn std::fmt::Display| AskError::Connect(slot.clone(), e.to_string());
    let ended = |e: &dyn std::fmt::Display| AskError::Ended(slot.clone(), e.to_string());
    let host = hosts::host(slot);
    let tcp = TcpStream::connect((host, hosts::port(slot))).await.map_err(|e| failed(&e))?;
    let remote = tcp.peer_addr().map_err(|e| failed(&e))?;
    let connection = match &asker.tls {
        None => Connection::plain(tcp, remote),
        Some(tls) => {
            let name = tls.server_name(host).map_err(|e| failed(&e))?;
            let stream = TlsConnector::from(tls.client()).connect(name, tcp).await.map_err(|e| failed(&e))?;
            Connection::tls(stream.into(), remote).map_err(|e| failed(&e))?
        }
    };
    let origin = connection.origin();
    // What is asked takes less time, and less bytes, than what an unproven connection may cost; but it is ours.
    origin.dialled_well();
    let mut connection = Some(connection);
    let connector = tower::service_fn(move |_: http::Uri| {
        let connection =
            connection.take().ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected));
        std::future::ready(connection.map(TokioIo::new))
    });
    let endpoint = Endpoint::from_shared(format!("http://{slot}")).map_err(|e| failed(&e))?;
    let channel = endpoint.connect_with_connector(connector).await.map_err(|e| failed(&e))?;
    let (tx, out) = queue();
    let mut client = MeshClient::new(channel).max_decoding_message_size(LARGEST);
    let mut rx = client.open(out).await.map_err(|e| ended(&e.message()))?.into_inner();
    handshake::call(&asker.me, Purpose::Admin, slot, &origin.exporter, &tx, &mut rx, |_| Ok(()))
        .await
        .map_err(|e| AskError::Handshake(slot.clone(), e))?;
    let asked = Frame { frame: Some(Kind::AdminRequest(AdminRequest { id: 1, request: Some(request) })) };
    tx.send(asked).await.map_err(|_| ended(&"the stream has ended"))?;
    match rx.message().await.map_err(|e| ended(&e.message()))? {
        Some(Frame { frame: Some(Kind::AdminReply(AdminReply { id: 1, reply: Some(reply) })) }) => Ok(reply),
        Some(_) => Err(ended(&"something else than an answer came")),
        None => Err(ended(&"the stream has ended")),
    }
}
