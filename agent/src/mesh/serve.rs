//! The accepting side: every stream proves itself before it is anything.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::Map;
use rauthy_proto::mesh::mesh_server::{Mesh, MeshServer};
use rauthy_proto::mesh::refused::Reason;
use rauthy_proto::mesh::{Frame, Purpose};
use tonic::{Request, Response, Status, Streaming};

use super::connection::Origin;
use super::handshake::{self, HandshakeError, Peer};
use super::limit::{Gate, Guarded};
use super::queue::{Receiver, Sender, queue};
use super::{Inner, LARGEST, admin, pump};

/// The gRPC service of the mesh.
pub(super) struct Service(Arc<Inner>);

/// Ready to be served.
pub(super) fn service(mesh: Arc<Inner>) -> Guarded<MeshServer<Service>> {
    Guarded(MeshServer::new(Service(mesh)).max_decoding_message_size(LARGEST))
}

type Frames = Map<Receiver, fn(Frame) -> Result<Frame, Status>>;

#[tonic::async_trait]
impl Mesh for Service {
    type OpenStream = Frames;

    async fn open(&self, request: Request<Streaming<Frame>>) -> Result<Response<Frames>, Status> {
        let mesh = self.0.clone();
        let extensions = request.extensions();
        let (Some(origin), Some(gate)) = (extensions.get::<Origin>(), extensions.get::<Gate>()) else {
            return Err(Status::internal("a stream without a connection"));
        };
        let (origin, gate) = (origin.clone(), gate.clone());
        let from = origin.remote.ip();
        let (place, _) = mesh.handshakes.enter(from, mesh.whereabouts.knows(from));
        let rx = request.into_inner();
        let (tx, out) = queue();
        tokio::spawn(async move {
            let mut rx = rx;
            let proven = tokio::select! {
                proven = authenticate(&mesh, &origin, &tx, &mut rx) => proven.ok(),
                () = place.away().cancelled() => {
                    mesh.refuse(&from.to_string(), "", "TOO_MANY", "too many handshakes at a time");
                    None
                }
                () = mesh.stop.cancelled() => None,
            };
            drop(place);
            let Some(peer) = proven else { return };
            if !origin.authenticated(|| mesh.connections.clone().try_acquire_owned().ok()) {
                let why = "too many authenticated connections";
                mesh.refuse(&from.to_string(), peer.slot.as_str(), "TOO_MANY", why);
                return;
            }
            gate.open();
            if peer.purpose == Purpose::Admin {
                admin::serve(&mesh, &tx, &mut rx).await;
            } else {
                mesh.whereabouts.learn(&peer.slot, from);
                pump::run(&mesh, peer, tx, rx, false, Some(origin.remote)).await;
            }
        });
        Ok(Response::new(out.map(Ok as fn(Frame) -> Result<Frame, Status>)))
    }
}

async fn authenticate(
    mesh: &Inner,
    origin: &Origin,
    tx: &Sender,
    rx: &mut Streaming<Frame>,
) -> Result<Peer, HandshakeError> {
    let mut claimed = String::new();
    let result =
        handshake::answer(&mesh.me, &origin.exporter, tx, rx, &mut claimed, |peer| mesh.accept(peer)).await;
    match &result {
        // A peer that went away in the middle was refused by nobody.
        Err(HandshakeError::Ended(why)) => {
            mesh.metrics.dial_failed("ENDED");
            tracing::debug!(from = %origin.remote, claimed, why, "a stream ended during the handshake");
        }
        Err(error) => {
            mesh.refuse(&origin.remote.ip().to_string(), &claimed, error.reason(), &error.to_string())
        }
        Ok(_) => {}
    }
    result
}

impl Inner {
    /// Whether a proven peer may have a stream.
    pub(super) fn accept(&self, peer: &Peer) -> Result<(), HandshakeError> {
        if peer.purpose != Purpose::Admin && !self.me.knows(peer.slot.as_str()) {
            // It left the host list during the handshake.
            let message = "it is not in the host list of this member any more".into();
            return Err(HandshakeError::Refused { reason: Reason::UnknownSlot, message });
        }
        if peer.purpose != Purpose::Admin && self.links.duplicate(&peer.slot, &peer.boot) {
            let message = format!("another live process is {} already: stop one of them", peer.slot);
            return Err(HandshakeError::Refused { reason: Reason::DuplicateSlot, message });
        }
        Ok(())
    }
}
