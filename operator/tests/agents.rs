//! The admin client against an agent that is written here from the protocol alone, with TLS and without.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may end by a panic")]

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::{Stream, StreamExt};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, Secret};
use rauthy_operator::agents::{Access, Report, ask};
use rauthy_operator::crd::RauthyCluster;
use rauthy_operator::names::Names;
use rauthy_operator::reconcile::credentials::{decide, x509::field};
use rauthy_operator::reconcile::dereference::Observed;
use rauthy_operator::reconcile::validate::{Environment, validate};
use rauthy_proto::admin::{AdminReply, admin_reply};
use rauthy_proto::cache::{NodeStatus, Role};
use rauthy_proto::handshake::{EXPORTER_LABEL, EXPORTER_LEN, OPERATOR, Side, Transcript, VERSIONS};
use rauthy_proto::mesh::mesh_server::{Mesh, MeshServer};
use rauthy_proto::mesh::{Challenge, Frame, Identity, Purpose, Refused, Verdict, frame, refused};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::SecretString;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};

const TOKEN: &str = "0123456789abcdefghij";

/// The exporter of a connection; empty without TLS.
#[derive(Clone)]
struct Exporter(Vec<u8>);

enum Socket {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Connected for Socket {
    type ConnectInfo = Exporter;
    fn connect_info(&self) -> Exporter {
        match self {
            Self::Plain(_) => Exporter(Vec::new()),
            Self::Tls(stream) => {
                let session = stream.get_ref().1;
                Exporter(session.export_keying_material(vec![0; EXPORTER_LEN], EXPORTER_LABEL, None).unwrap())
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

/// An agent that knows `token` and says that it is `slot`.
#[derive(Clone)]
struct Agent {
    token: String,
    slot: String,
}

#[tonic::async_trait]
impl Mesh for Agent {
    type OpenStream = Pin<Box<dyn Stream<Item = Result<Frame, Status>> + Send>>;

    async fn open(&self, request: Request<Streaming<Frame>>) -> Result<Response<Self::OpenStream>, Status> {
        let exporter = request.extensions().get::<Exporter>().expect("the exporter").0.clone();
        let (out, frames) = mpsc::channel(4);
        let (agent, mut inbound) = (self.clone(), request.into_inner());
        tokio::spawn(async move {
            let send = async |frame| out.send(Ok(Frame { frame: Some(frame) })).await.unwrap();
            let Some(frame::Frame::Hello(hello)) = inbound.message().await.unwrap().unwrap().frame else {
                panic!()
            };
            assert_eq!(hello.purpose(), Purpose::Admin);
            assert_eq!(hello.from.as_ref().unwrap().slot, OPERATOR);
            assert_eq!((hello.cluster.as_str(), hello.nonce.len()), ("idm/rauthy", 32));
            let callee = Identity { slot: agent.slot.clone(), boot: vec![7; 16].into() };
            let nonce = vec![9; 32];
            let transcript = Transcript {
                hello: &hello,
                version: *VERSIONS.end(),
                callee: &callee,
                nonce: &nonce,
                exporter: &exporter,
            };
            let proof = transcript.proof(agent.token.as_bytes(), Side::Callee).to_vec().into();
            let challenge = Challenge {
                version: *VERSIONS.end(),
                from: Some(callee.clone()),
                nonce: nonce.clone().into(),
                // That of another token first, as during a rotation.
                proofs: vec![vec![0; 32].into(), proof],
            };
            send(frame::Frame::Challenge(challenge)).await;
            // The operator goes away when it does not believe the agent.
            let Ok(Some(Frame { frame: Some(frame::Frame::Proof(proof)) })) = inbound.message().await else {
                return;
            };
            if !transcript.verify([agent.token.as_bytes()], Side::Caller, &proof.proof) {
                let refused =
                    Refused { reason: refused::Reason::WrongToken.into(), message: "no".to_owned() };
                return send(frame::Frame::Verdict(Verdict { refused: Some(refused) })).await;
            }
            send(frame::Frame::Verdict(Verdict { refused: None })).await;
            let Ok(Some(Frame { frame: Some(frame::Frame::AdminRequest(asked)) })) = inbound.message().await
            else {
                return;
            };
            let status =
                NodeStatus { slot: agent.slot, role: Role::Leader.into(), term: 4, ..NodeStatus::default() };
            let reply = Some(admin_reply::Reply::Status(status));
            send(frame::Frame::AdminReply(AdminReply { id: asked.id, reply })).await;
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(frames))))
    }
}

/// The certificate's Secret, made by the operator's own hand.
fn certificate() -> Secret {
    let cluster: RauthyCluster = serde_json::from_value(json!({
        "apiVersion": "rauthy.dev/v1alpha1", "kind": "RauthyCluster", "spec": {},
        "metadata": { "name": "rauthy", "namespace": "idm", "uid": "uid-1" },
    }))
    .unwrap();
    let environment = Environment { agent_image: Some("agent:1".to_owned()), ..Environment::default() };
    let validated = validate(&cluster, &Observed::default(), &environment, &[]).unwrap();
    decide(&validated, &Observed::default(), Timestamp::now()).unwrap().tls.unwrap()
}

/// A server that asks for a certificate of the same CA.
fn acceptor(secret: &Secret) -> TlsAcceptor {
    let pem = |key| field(secret, key).unwrap().as_bytes();
    let certificates = |key| CertificateDer::pem_slice_iter(pem(key)).map(Result::unwrap).collect::<Vec<_>>();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    certificates("ca.crt").into_iter().for_each(|root| roots.add(root).unwrap());
    let clients =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .unwrap();
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients)
        .with_single_cert(certificates("tls.crt"), PrivateKeyDer::from_pem_slice(pem("tls.key")).unwrap())
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// An agent that knows `token` and says that it is `host`.
async fn serve(token: &str, host: &str, tls: Option<TlsAcceptor>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let agent = Agent { token: token.to_owned(), slot: format!("{host}:{}", address.port()) };
    let incoming = futures::stream::unfold(listener, move |listener| {
        let tls = tls.clone();
        async move {
            loop {
                let (tcp, _) = listener.accept().await.ok()?;
                let socket = match &tls {
                    None => Socket::Plain(tcp),
                    Some(tls) => match tls.accept(tcp).await {
                        Ok(stream) => Socket::Tls(Box::new(stream)),
                        Err(_) => continue,
                    },
                };
                return Some((Ok::<_, io::Error>(socket), listener));
            }
        }
    });
    let server = Server::builder().add_service(MeshServer::new(agent)).serve_with_incoming(incoming.boxed());
    tokio::spawn(server);
    address
}

async fn asked(address: SocketAddr, tls: Option<Secret>) -> Report {
    let access = Access {
        names: Names::new("idm", "rauthy"),
        port: i32::from(address.port()),
        tokens: vec![SecretString::from("a-token-that-comes-next-0123"), SecretString::from(TOKEN)],
        tls,
    };
    let pod: Pod = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "rauthy-2" }, "status": { "podIP": "127.0.0.1" },
    }))
    .unwrap();
    let mut reports = ask(&access, &[pod]).await;
    assert_eq!(reports.len(), 1);
    reports.remove(0)
}

#[tokio::test]
async fn an_agent_answers_with_tls_and_without() {
    let secret = certificate();
    for tls in [None, Some(secret)] {
        let address = serve(TOKEN, "rauthy-2.rauthy", tls.as_ref().map(acceptor)).await;
        let report = asked(address, tls).await;
        let node = report.answer.expect("an answer");
        assert_eq!((report.pod.as_str(), node.term, node.role()), ("rauthy-2", 4, Role::Leader));
    }
}

#[tokio::test]
async fn who_does_not_know_the_token_learns_nothing() {
    let address = serve("another-token-0123456789", "rauthy-2.rauthy", None).await;
    let error = asked(address, None).await.answer.unwrap_err();
    assert!(error.contains("could not prove"), "{error}");
    assert!(!error.contains(TOKEN));
}

#[tokio::test]
async fn another_slot_is_not_taken_for_the_one_that_was_dialled() {
    let address = serve(TOKEN, "rauthy-1.rauthy", None).await;
    let error = asked(address, None).await.answer.unwrap_err();
    assert!(error.contains("another slot"), "{error}");
}

#[tokio::test]
async fn a_foreign_certificate_is_refused() {
    let (ours, theirs) = (certificate(), certificate());
    let address = serve(TOKEN, "rauthy-2.rauthy", Some(acceptor(&theirs))).await;
    let error = asked(address, Some(ours)).await.answer.unwrap_err();
    assert!(error.contains("no TLS"), "{error}");
}

#[tokio::test]
async fn silence_ends_at_the_deadline_and_holds_up_nobody() {
    // Accepts, and never says a word.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let report = asked(silent.local_addr().unwrap(), None).await;
    assert!(report.answer.unwrap_err().contains("no answer within 2 s"));

    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert!(asked(closed, None).await.answer.unwrap_err().contains("no connection"));
}
