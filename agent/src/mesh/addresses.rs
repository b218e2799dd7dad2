//! Where peers are, as other peers see them: hints for dialling.
//!
//! A DNS cache may tell an old address for 30 s, or hide a name that was asked for too early. Two peers could so be
//! without a link although a third has one to each, and the loss of that third would be the loss of the quorum. So
//! whoever has links to two peers tells each where the other is. A hint is no proof: the handshake decides who answers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prost::Message as _;
use rauthy_core::Slot;
use rauthy_proto::mesh::frame::Frame as Kind;
use rauthy_proto::mesh::{Address, Addresses, Frame, Purpose};

use super::{Inner, Me};

/// A hint is used for this long: DNS caches know the truth by then.
const FRESH: Duration = Duration::from_secs(60);

/// What peers told, at most one address for each slot.
#[derive(Debug, Default)]
pub(super) struct Hints(Mutex<BTreeMap<Slot, (IpAddr, Instant)>>);

impl Hints {
    /// A peer told; what is about nobody here, or makes no sense, is ignored.
    pub(super) fn learn(&self, me: &Me, told: &Addresses) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for Address { slot, ip } in &told.peers {
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
    pub(super) fn get(&self, peer: &Slot) -> Option<IpAddr> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(peer).filter(|(_, since)| since.elapsed() < FRESH).map(|(ip, _)| *ip)
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
        hints.learn(&me(&[b, a, c]), &told);
        assert_eq!(hints.get(&Slot::new(c)), Some([10, 0, 0, 3].into()));
        for nothing in [a, b, "stranger:1"] {
            assert_eq!(hints.get(&Slot::new(nothing)), None, "{nothing}");
        }
    }
}
