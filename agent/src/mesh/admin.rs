//! What the operator asks, on a stream of its own.

use rauthy_proto::admin::admin_reply::Reply;
use rauthy_proto::admin::admin_request::Request;
use rauthy_proto::admin::{AdminReply, AdminRequest};
use rauthy_proto::mesh::Frame;
use rauthy_proto::mesh::frame::Frame as Kind;
use tokio::sync::oneshot;
use tonic::Streaming;

use super::Inner;
use super::queue::Sender;

/// Answers one request after the other until the stream ends.
pub(super) async fn serve(mesh: &Inner, tx: &Sender, rx: &mut Streaming<Frame>) {
    let requests = async {
        while let Ok(Some(Frame { frame: Some(Kind::AdminRequest(request)) })) = rx.message().await {
            let reply = Some(Kind::AdminReply(answer(mesh, request).await));
            if tx.send(Frame { frame: reply }).await.is_err() {
                return;
            }
        }
    };
    mesh.stop.run_until_cancelled(requests).await;
}

async fn answer(mesh: &Inner, request: AdminRequest) -> AdminReply {
    let reply = match request.request {
        Some(Request::Status(_)) => {
            let (reply, status) = oneshot::channel();
            let asked = mesh.status.send(reply).await.is_ok();
            match status.await {
                Ok(status) if asked => Reply::Status(status),
                _ => Reply::Error("this agent is stopping".into()),
            }
        }
        None => Reply::Error("this agent does not know such a request: it is older than who asks".into()),
    };
    AdminReply { id: request.id, reply: Some(reply) }
}
