//! A connection to an agent: HTTP/2 over TLS with the cluster's own certificate, or plain.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::Secret;
use rauthy_proto::handshake::{EXPORTER_LABEL, EXPORTER_LEN};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};

use super::AgentError;
use crate::reconcile::credentials::x509::field;

/// A stream of bytes, encrypted or not.
trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// A connection, and what binds the handshake to it.
pub(super) struct Connection {
    pub(super) channel: Channel,
    /// Keying material of the TLS session; empty without TLS.
    pub(super) exporter: Vec<u8>,
}

/// The TLS configuration that the Secret `<name>-tls` stands for.
pub(super) fn config(secret: &Secret) -> Result<Arc<rustls::ClientConfig>, AgentError> {
    let wrong = |what: &str| AgentError::Tls(format!("the certificate's Secret has no good {what}"));
    let text = |key: &str| field(secret, key).map(str::as_bytes).ok_or_else(|| wrong(key));
    let certificates = |key: &str| -> Result<Vec<CertificateDer<'static>>, AgentError> {
        CertificateDer::pem_slice_iter(text(key)?).collect::<Result<_, _>>().map_err(|_| wrong(key))
    };
    let mut roots = rustls::RootCertStore::empty();
    for root in certificates("ca.crt")? {
        roots.add(root).map_err(|_| wrong("ca.crt"))?;
    }
    // The parser's own words could quote the key.
    let key = PrivateKeyDer::from_pem_slice(text("tls.key")?).map_err(|_| wrong("tls.key"))?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| AgentError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates("tls.crt")?, key)
        .map_err(|_| wrong("pair of tls.crt and tls.key"))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}

/// Connects; with TLS the agent's certificate must name `host`.
pub(super) async fn connect(
    address: SocketAddr,
    tls: Option<Arc<rustls::ClientConfig>>,
    host: &str,
) -> Result<Connection, AgentError> {
    let tcp = TcpStream::connect(address).await.map_err(AgentError::Connect)?;
    tcp.set_nodelay(true).map_err(AgentError::Connect)?;
    let Some(tls) = tls else {
        return channel(Box::new(tcp), Vec::new()).await;
    };
    let name = ServerName::try_from(host.to_owned()).map_err(|error| AgentError::Tls(error.to_string()))?;
    let stream =
        TlsConnector::from(tls).connect(name, tcp).await.map_err(|e| AgentError::Tls(e.to_string()))?;
    let exporter = stream
        .get_ref()
        .1
        .export_keying_material(vec![0; EXPORTER_LEN], EXPORTER_LABEL, None)
        .map_err(|error| AgentError::Tls(error.to_string()))?;
    channel(Box::new(stream), exporter).await
}

/// HTTP/2 over a stream that stands already. It is handed out once: a second connection would have another
/// exporter.
async fn channel(stream: Box<dyn Bytes>, exporter: Vec<u8>) -> Result<Connection, AgentError> {
    let once = Arc::new(Mutex::new(Some(stream)));
    let connector = tower::service_fn(move |_: Uri| {
        let stream = once.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        async move { stream.map(TokioIo::new).ok_or_else(|| std::io::Error::other("the connection was lost")) }
    });
    let endpoint = Endpoint::from_static("http://agent");
    let channel = endpoint.connect_with_connector(connector).await;
    Ok(Connection { channel: channel.map_err(|error| AgentError::Stream(error.to_string()))?, exporter })
}
