//! Who the peers are: those that are dialled and let in. The host list and the log name them, and both change while the
//! mesh runs.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

use rauthy_core::Slot;
use rauthy_proto::mesh::Purpose;

use super::{Incoming, Inner, dial};

/// Begins to dial those that are new, and forgets those that are gone. Who is let in, [`super::Me`] says already.
pub(super) fn change(mesh: &Arc<Inner>, slots: &BTreeSet<Slot>) {
    let wanted = |slot: &Slot| slots.contains(slot) && *slot != mesh.me.slot;
    let mut dialled = mesh.dialled.lock().unwrap_or_else(PoisonError::into_inner);
    dialled.retain(|peer, stop| {
        let stays = wanted(peer);
        if !stays {
            stop.cancel();
            forget(mesh, peer);
        }
        stays
    });
    for peer in slots.iter().filter(|slot| wanted(slot)) {
        if !dialled.contains_key(peer) {
            let stop = mesh.stop.child_token();
            mesh.metrics.link(peer.as_str(), false);
            for purpose in [Purpose::Control, Purpose::Forward, Purpose::Bulk] {
                tokio::spawn(dial::keep(mesh.clone(), peer.clone(), purpose, stop.clone()));
            }
            dialled.insert(peer.clone(), stop);
        }
    }
}

fn forget(mesh: &Arc<Inner>, peer: &Slot) {
    mesh.links.end(peer);
    mesh.hints.forget(peer);
    mesh.whereabouts.forget(peer);
    mesh.board.forget(peer);
    mesh.metrics.no_peer(peer.as_str());
    tracing::info!(%peer, "is no member any more");
    let (mesh, peer) = (mesh.clone(), peer.clone());
    tokio::spawn(async move { mesh.incoming.send(Incoming::LinkLost(peer)).await });
}
