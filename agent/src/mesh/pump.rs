//! An authenticated stream to or from a peer: what it brings goes to the core, and when it ends the core is told.

use std::net::SocketAddr;
use std::sync::Arc;

use rauthy_core::{Message, Slot};
use rauthy_proto::mesh::frame::Frame as Kind;
use rauthy_proto::mesh::{Batch, Frame, Purpose};
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use super::handshake::Peer;
use super::links::{Heard, Joined, Stream as Joining};
use super::queue::Sender;
use super::wire::WireError;
use super::wire::packed::Unpacker;
use super::{Incoming, Inner, addresses, wire};

/// Runs the stream until it ends. `mine`: this side dialled it.
pub(super) async fn run<S>(
    mesh: &Arc<Inner>,
    peer: Peer,
    tx: Sender,
    mut rx: S,
    mine: bool,
    remote: Option<SocketAddr>,
) where
    S: Stream<Item = Result<Frame, Status>> + Unpin,
{
    let Peer { slot, boot, purpose, version } = peer;
    // The handshake has looked already; only two processes that came at the same moment differ here.
    let Ok(Joined { id, heard, end, replaced_process }) =
        mesh.links.join(&slot, purpose, Joining { boot, version, tx, mine, remote })
    else {
        return;
    };
    if !mesh.me.knows(slot.as_str()) {
        // It was forgotten while it came.
        mesh.links.leave(&slot, purpose, id);
        return;
    }
    if replaced_process {
        tracing::info!(peer = %slot, "a new process took the place of the one before");
        let _ = mesh.incoming.send(Incoming::LinkLost(slot.clone())).await;
    }
    if purpose == Purpose::Control {
        mesh.board.connected(&slot, true);
        mesh.metrics.link(slot.as_str(), true);
        mesh.metrics.link_opened(slot.as_str());
        tracing::info!(peer = %slot, dialled = mine, "connected");
    }
    let why = tokio::select! {
        why = read(mesh, &slot, &heard, &mut rx) => why,
        () = end.cancelled() => "another stream took its place".into(),
        () = mesh.stop.cancelled() => "this agent is stopping".into(),
    };
    if mesh.links.leave(&slot, purpose, id) {
        // What was forwarded may have been lost with it, or with the control stream that carried its leader's word.
        if purpose != Purpose::Bulk {
            let _ = mesh.incoming.send(Incoming::LinkLost(slot.clone())).await;
        }
        if purpose == Purpose::Control {
            mesh.board.connected(&slot, false);
            mesh.metrics.link(slot.as_str(), false);
            tracing::warn!(peer = %slot, why, "the link was lost");
        }
    }
}

/// Reads until the end; says why it ended.
async fn read<S>(mesh: &Inner, slot: &Slot, heard: &Heard, rx: &mut S) -> String
where
    S: Stream<Item = Result<Frame, Status>> + Unpin,
{
    loop {
        let frame = match rx.next().await {
            Some(Ok(frame)) => frame,
            Some(Err(status)) => return cause(&status),
            None => return "closed by the peer".into(),
        };
        heard.now();
        let taken = match frame.frame {
            Some(Kind::Packed(packed)) => take(mesh, slot, Unpacker::new(packed)).await,
            Some(Kind::Batch(Batch { messages })) => {
                take(mesh, slot, messages.into_iter().map(wire::decode)).await
            }
            Some(Kind::Addresses(told)) => {
                mesh.hints.learn(&mesh.me, addresses::pairs(&told));
                continue;
            }
            Some(Kind::Report(report)) => {
                mesh.board.reported(slot, report);
                continue;
            }
            _ => return "the peer sent a frame that has no place here".into(),
        };
        if let Err(why) = taken {
            return why.into();
        }
    }
}

/// Hands the messages of a frame to the core; says why the stream must end, if it must.
async fn take(
    mesh: &Inner,
    slot: &Slot,
    messages: impl Iterator<Item = Result<Message, WireError>>,
) -> Result<(), &'static str> {
    for message in messages {
        let message = message.map_err(|error| {
            mesh.metrics.drop_message("malformed");
            tracing::error!(peer = %slot, %error, "a message of a peer makes no sense");
            "the peer sent a message that makes no sense"
        })?;
        if message.from.slot != *slot {
            // Proven to be one slot, it speaks for another.
            mesh.metrics.drop_message("wrong_sender");
            continue;
        }
        // A full queue slows the peer down; nothing is lost.
        if mesh.incoming.send(Incoming::Message(message)).await.is_err() {
            return Err("this agent is stopping");
        }
    }
    Ok(())
}

/// What ended a stream: the innermost error says it best.
pub(super) fn cause(status: &Status) -> String {
    let mut error: &dyn std::error::Error = status;
    while let Some(source) = error.source() {
        error = source;
    }
    match error.downcast_ref::<Status>() {
        Some(status) => status.message().to_owned(),
        None => error.to_string(),
    }
}
