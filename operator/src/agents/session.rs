//! The handshake as the operator, and the question.

use rauthy_proto::admin::{AdminReply, AdminRequest, admin_reply, admin_request};
use rauthy_proto::handshake::{NONCE_LEN, OPERATOR, Side, Transcript, VERSIONS};
use rauthy_proto::mesh::mesh_client::MeshClient;
use rauthy_proto::mesh::{Challenge, Frame, Hello, Identity, Proof, Purpose, Refused, Verdict, frame};
use secrecy::ExposeSecret;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::connect::Connection;
use super::{Access, AgentError};

const QUESTION: u64 = 1;

/// Asks the agent at the other end, which must be `slot`.
pub(super) async fn ask(
    connection: Connection,
    access: &Access,
    slot: &str,
    question: admin_request::Request,
) -> Result<admin_reply::Reply, AgentError> {
    let Connection { channel, exporter } = connection;
    let (to_agent, frames) = mpsc::channel(4);
    let hello = Hello {
        version_min: *VERSIONS.start(),
        version_max: *VERSIONS.end(),
        cluster: access.names.cluster_id(),
        purpose: Purpose::Admin.into(),
        from: Some(Identity { slot: OPERATOR.to_owned(), boot: random::<16>()?.to_vec().into() }),
        to: slot.to_owned(),
        nonce: random::<NONCE_LEN>()?.to_vec().into(),
    };
    send(&to_agent, frame::Frame::Hello(hello.clone())).await?;
    let opened = MeshClient::new(channel).open(ReceiverStream::new(frames)).await.map_err(broken)?;
    let mut from_agent = opened.into_inner();

    let Challenge { version, from, nonce, proofs } = match receive(&mut from_agent).await? {
        frame::Frame::Challenge(challenge) => challenge,
        frame::Frame::Verdict(Verdict { refused: Some(refused) }) => return Err(refusal(&refused)),
        _ => return Err(AgentError::Protocol("it answered Hello by something else than a challenge")),
    };
    let callee = from.ok_or(AgentError::Protocol("its challenge names nobody"))?;
    if !VERSIONS.contains(&version) {
        return Err(AgentError::Protocol("it chose a version that the operator does not speak"));
    }
    if callee.slot != slot {
        return Err(AgentError::Protocol("it is another slot than the one that was dialled"));
    }
    if nonce.len() != NONCE_LEN {
        return Err(AgentError::Protocol("its nonce has a wrong length"));
    }
    let transcript =
        Transcript { hello: &hello, version, callee: &callee, nonce: &nonce, exporter: &exporter };
    let tokens = access.tokens.iter().map(|token| token.expose_secret().as_bytes());
    let token = transcript.shared(tokens, Side::Callee, &proofs).ok_or(AgentError::Impostor)?;
    let proof = transcript.proof(token, Side::Caller).to_vec().into();
    send(&to_agent, frame::Frame::Proof(Proof { proof })).await?;
    match receive(&mut from_agent).await? {
        frame::Frame::Verdict(Verdict { refused: None }) => {}
        frame::Frame::Verdict(Verdict { refused: Some(refused) }) => return Err(refusal(&refused)),
        _ => return Err(AgentError::Protocol("it answered the proof by something else than a verdict")),
    }

    let request = AdminRequest { id: QUESTION, request: Some(question) };
    send(&to_agent, frame::Frame::AdminRequest(request)).await?;
    match receive(&mut from_agent).await? {
        frame::Frame::AdminReply(AdminReply { reply: Some(admin_reply::Reply::Error(error)), .. }) => {
            Err(AgentError::Unable(error))
        }
        frame::Frame::AdminReply(AdminReply { id: QUESTION, reply: Some(reply) }) => Ok(reply),
        _ => Err(AgentError::Protocol("it did not answer the question")),
    }
}

async fn send(to_agent: &mpsc::Sender<Frame>, frame: frame::Frame) -> Result<(), AgentError> {
    let closed = |_| AgentError::Stream("it closed the stream".to_owned());
    to_agent.send(Frame { frame: Some(frame) }).await.map_err(closed)
}

async fn receive(from_agent: &mut Streaming<Frame>) -> Result<frame::Frame, AgentError> {
    let frame = from_agent.message().await.map_err(broken)?;
    let frame = frame.ok_or_else(|| AgentError::Stream("it closed the stream".to_owned()))?;
    frame.frame.ok_or(AgentError::Protocol("it sent an empty or unknown frame"))
}

fn broken(status: tonic::Status) -> AgentError {
    AgentError::Stream(format!("{:?}: {}", status.code(), status.message()))
}

fn refusal(refused: &Refused) -> AgentError {
    AgentError::Refused(format!("{}: {}", refused.reason().as_str_name(), refused.message))
}

fn random<const N: usize>() -> Result<[u8; N], AgentError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| AgentError::Random)?;
    Ok(bytes)
}
