//! Where peers are, as other peers see them: hints for dialling.
//!
//! A DNS cache may tell an old address for 30 s, or hide a name that was asked for too early. Two peers could so be
//! without a link although a third has one to each, and the loss of that third would be the loss of the quorum. So
//! whoever has links to two peers tells each where the other is, and the operator tells what it knows from Kubernetes. A
//! hint is no proof: the handshake decides who answers.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use prost::Message as _;
use rauthy_core::Slot;
use rauthy_proto::mesh::frame::Frame as Kind;
use rauthy_proto::mesh::{Address, Addresses, Frame, Purpose};

use super::{Inner, Me};

/// A hint is used for this long: DNS caches know the truth by then.
const FRESH: Duration = Duration::from_secs(60);

/// Addresses that are remembered of one peer: those of both families, and of its last pod.
const ADDRESSES: usize = 4;

/// How a host is looked up: its name or address, and a port.
pub type Lookup = Arc<dyn Fn(String, u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> + Send + Sync>;

/// Asks the operating system.
#[must_use]
pub fn system() -> Lookup {
    Arc::new(|host, port| Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) }))
}

/// The pairs that a frame holds.
pub fn pairs(told: &Addresses) -> impl Iterator<Item = (&str, &str)> {
    told.peers.iter().map(|Address { slot, ip }| (slot.as_str(), ip.as_str()))
}

/// What peers told, at most one address for each slot.
#[derive(Debug, Default)]
pub struct Hints(Mutex<BTreeMap<Slot, (IpAddr, Instant)>>);

impl Hints {
    /// A peer or the operator told slots and their addresses; what is about nobody here, or makes no sense, is ignored.
    pub fn learn<'a>(&self, me: &Me, told: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (slot, ip) in told {
            if me.knows(slot)
                && slot != me.slot.as_str()
                && let Ok(ip) = ip.parse()
            {
                known.insert(Slot::new(slot), (ip, Instant::now()));
            }
        }
    }

    /// Nothing is known of this one any more.
    pub(super) fn forget(&self, peer: &Slot) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(peer);
    }

    /// Where the peer was seen lately.
    #[must_use]
    pub fn get(&self, peer: &Slot) -> Option<IpAddr> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(peer).filter(|(_, since)| since.elapsed() < FRESH).map(|(ip, _)| *ip)
    }
}

/// Where peers have proven themselves lately. Who comes from there may still be anybody, but need not wait among all the
/// strangers that there are.
#[derive(Debug, Default)]
pub(super) struct Whereabouts(Mutex<BTreeMap<Slot, VecDeque<IpAddr>>>);

impl Whereabouts {
    /// The peer has proven itself from this address.
    pub(super) fn learn(&self, peer: &Slot, address: IpAddr) {
        let address = address.to_canonical();
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = known.entry(peer.clone()).or_default();
        of_peer.retain(|known| *known != address);
        of_peer.push_back(address);
        if of_peer.len() > ADDRESSES {
            of_peer.pop_front();
        }
    }

    /// This is a peer no more.
    pub(super) fn forget(&self, peer: &Slot) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(peer);
    }

    /// Whether some peer has proven itself from this address.
    pub(super) fn knows(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.values().flatten().any(|known| *known == address)
    }
}

/// Tells each peer where the others are, whenever a link comes or goes, until the mesh stops.
pub(super) async fn tell(mesh: Arc<Inner>) {
    let mut changes = mesh.links.watch();
    let forever = async {
        loop {
            changes.mark_unchanged();
            let seen = mesh.links.seen();
            for (to, _) in seen.iter().filter(|_| seen.len() > 1) {
                let frame = others(to, &seen);
                let size = frame.encoded_len();
                // What does not fit is left out: DNS will know in a while.
                let _ = mesh.links.send(to, Purpose::Control, frame, size);
            }
            if changes.changed().await.is_err() {
                return;
            }
        }
    };
    mesh.stop.clone().run_until_cancelled(forever).await;
}

fn others(to: &Slot, seen: &[(Slot, IpAddr)]) -> Frame {
    let others = seen.iter().filter(|(slot, _)| slot != to);
    let peers = others.map(|(slot, ip)| Address { slot: slot.to_string(), ip: ip.to_string() }).collect();
    Frame { frame: Some(Kind::Addresses(Addresses { peers })) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Tokens;

    fn me(slots: &[&str]) -> Me {
        let slots: Vec<_> = slots.iter().map(|s| Slot::new(s)).collect();
        Me::new(
            "c".into(),
            slots[0].clone(),
            [1; 16],
            slots,
            Tokens::parse("TOKEN", "0123456789abcdef").unwrap(),
        )
    }

    #[test]
    fn each_is_told_of_the_others_and_learns_what_concerns_it() {
        let (a, b, c) = ("a:1", "b:1", "c:1");
        let seen = [(Slot::new(b), [10, 0, 0, 2].into()), (Slot::new(c), [10, 0, 0, 3].into())];
        let Some(Kind::Addresses(mut told)) = others(&seen[0].0, &seen).frame else {
            panic!("another frame")
        };
        assert_eq!(told.peers, [Address { slot: c.into(), ip: "10.0.0.3".into() }]);
        told.peers.push(Address { slot: b.into(), ip: "10.0.0.9".into() });
        told.peers.push(Address { slot: "stranger:1".into(), ip: "10.0.0.9".into() });
        told.peers.push(Address { slot: a.into(), ip: "nowhere".into() });

        let hints = Hints::default();
        hints.learn(&me(&[b, a, c]), pairs(&told));
        assert_eq!(hints.get(&Slot::new(c)), Some([10, 0, 0, 3].into()));
        for nothing in [a, b, "stranger:1"] {
            assert_eq!(hints.get(&Slot::new(nothing)), None, "{nothing}");
        }
    }

    #[test]
    fn a_few_addresses_of_each_peer_are_known() {
        let (whereabouts, peer) = (Whereabouts::default(), Slot::new("a:1"));
        let ip = |n: u8| IpAddr::from([10, 0, 0, n]);
        for n in 0..5 {
            whereabouts.learn(&peer, ip(n));
            whereabouts.learn(&peer, ip(1));
        }
        assert!(!whereabouts.knows(ip(0)), "the oldest made room");
        assert!(whereabouts.knows(ip(1)) && whereabouts.knows("::ffff:10.0.0.4".parse().unwrap()));
        whereabouts.forget(&peer);
        assert!(!whereabouts.knows(ip(1)));
    }
}
