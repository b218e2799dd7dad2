//! Nodes that are a mesh and nothing else, and waiting for what they say.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rauthy_agent::config::{Pair, TlsFiles, Tokens};
use rauthy_agent::dev::certificates;
use rauthy_agent::mesh::{Asked, Board, Incoming, Me, Mesh, Parts, addresses, listen};
use rauthy_agent::runtime::{Metrics, PeerLabel, ReasonLabel};
use rauthy_agent::tls::Tls;
use rauthy_core::message::{Body, Class, Ping};
use rauthy_core::{Boot, Incarnation, Message, SizeProgress, SizeRefusal, Slot};
use rauthy_proto::cache::NodeStatus;
use rauthy_proto::handshake::VERSIONS;
use tokio::sync::mpsc;

pub const TOKEN: &str = "0123456789abcdef0123456789abcdef";
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Waits for a condition; fails with what was seen last.
pub async fn until<T: std::fmt::Debug>(what: &str, mut look: impl FnMut() -> Result<(), T>) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        match look() {
            Ok(()) => return,
            Err(seen) if tokio::time::Instant::now() > deadline => panic!("{what}: {seen:?}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// A port that nobody uses, below those that the system gives to outgoing connections: one of these could take it
/// while its node is down.
pub fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        // Two test programs that run at the same time begin at different places.
        let place = std::process::id().wrapping_mul(61) + u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = 10_000 + u16::try_from(place % 20_000).unwrap();
        if std::net::TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// Two slots, the one that dials first before the other.
pub fn two() -> (Slot, Slot) {
    let mut slots = [port(), port()].map(|port| Slot::new(&format!("127.0.0.1:{port}")));
    slots.sort();
    let [a, b] = slots;
    (a, b)
}

pub struct Spec {
    pub slot: Slot,
    pub slots: Vec<Slot>,
    pub cluster: &'static str,
    pub tokens: String,
    pub tls: Option<TlsFiles>,
    pub boot: u8,
    /// Where it listens, if that is not its slot's port.
    pub port: Option<u16>,
    /// How it looks names up, if not by the operating system.
    pub lookup: Option<addresses::Lookup>,
    /// Versions of the format that it speaks.
    pub versions: RangeInclusive<u32>,
}

impl Spec {
    pub fn new(slot: &Slot, slots: [&Slot; 2]) -> Self {
        Self {
            slot: slot.clone(),
            slots: slots.into_iter().cloned().collect(),
            cluster: "test",
            tokens: TOKEN.into(),
            tls: None,
            boot: 1,
            port: None,
            lookup: None,
            versions: VERSIONS,
        }
    }

    pub fn start(self) -> Node {
        let tokens = Tokens::parse("CACHE_AUTH_TOKEN", &self.tokens).unwrap();
        let me = Me::new(self.cluster.into(), self.slot.clone(), [self.boot; 16], self.slots, tokens);
        let me = Arc::new(me.speaking(self.versions));
        let (incoming, messages) = mpsc::channel(1024);
        let (asked, mut questions) = mpsc::channel::<Asked>(8);
        tokio::spawn(async move {
            while let Some(question) = questions.recv().await {
                match question {
                    Asked::Status(reply) => {
                        let status = NodeStatus { cluster: "answered".into(), ..NodeStatus::default() };
                        let _ = reply.send(status);
                    }
                    Asked::SetSize(change, reply) => {
                        let epoch = change.epoch;
                        let _ = reply.send(match change.next {
                            Some(_) => Ok(SizeProgress::UnderWay),
                            None => Err(SizeRefusal::OtherConfiguration { epoch }),
                        });
                    }
                    Asked::TransferLeadership(reply) => {
                        let _ = reply.send(true);
                    }
                }
            }
        });
        let (board, metrics) = (Arc::<Board>::default(), Arc::<Metrics>::default());
        let port = self.port.unwrap_or_else(|| rauthy_agent::config::hosts::port(&self.slot));
        let tls = self.tls.map(|files| Arc::new(Tls::load(files).unwrap()));
        let parts = Parts {
            me: me.clone(),
            tls: tls.clone(),
            reconnect: (Duration::from_millis(100), Duration::from_millis(300)),
            board: board.clone(),
            metrics: metrics.clone(),
            lookup: self.lookup.unwrap_or_else(addresses::system),
            incoming,
            asked,
            strangers: tokio::runtime::Handle::current(),
        };
        let mesh = Mesh::start(parts, listen::bind(port).unwrap());
        Node { slot: self.slot, me, mesh, board, metrics, messages, tls }
    }
}

pub struct Node {
    pub slot: Slot,
    pub me: Arc<Me>,
    pub mesh: Mesh,
    pub board: Arc<Board>,
    pub metrics: Arc<Metrics>,
    pub messages: mpsc::Receiver<Incoming>,
    pub tls: Option<Arc<Tls>>,
}

impl Node {
    pub async fn connected(&self, to: &Slot) {
        until("connected", || {
            let link = self.board.link(to);
            if link.connected { Ok(()) } else { Err(link) }
        })
        .await;
    }

    pub async fn link_error(&self, to: &Slot, wanted: &str) {
        until(wanted, || {
            let link = self.board.link(to);
            if !link.connected && link.error.contains(wanted) { Ok(()) } else { Err(link) }
        })
        .await;
    }

    pub async fn refuses(&self, reason: &str, claimed: &str) {
        until(reason, || {
            let all = self.board.refusals();
            if all.iter().any(|r| r.reason == reason && r.claimed == claimed) { Ok(()) } else { Err(all) }
        })
        .await;
    }

    /// How often something was refused here for this reason.
    pub fn refused(&self, reason: &'static str) -> u64 {
        self.metrics.refusals.get_or_create(&ReasonLabel { reason }).get()
    }

    /// How often a control stream to this peer came up.
    pub fn opened(&self, to: &Slot) -> u64 {
        self.metrics.links_opened.get_or_create(&PeerLabel { peer: to.to_string() }).get()
    }

    pub fn say(&self, from: &Slot, to: &Slot, body: Body) {
        let from = Incarnation { slot: from.clone(), boot: Boot(7) };
        let message = Message { from, to: to.clone(), to_boot: None, generation: None, body };
        let class = message.class();
        self.mesh.send(to, class, vec![message]);
    }

    /// Says hello now and then, as the core does.
    pub fn chatter(&self, to: &Slot) -> tokio::task::JoinHandle<()> {
        let (mesh, from, to) = (self.mesh.clone(), self.slot.clone(), to.clone());
        tokio::spawn(async move {
            loop {
                let from = Incarnation { slot: from.clone(), boot: Boot(7) };
                let message = Message { from, to: to.clone(), to_boot: None, generation: None, body: ping() };
                mesh.send(&to, Class::Control, vec![message]);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
    }

    pub async fn next(&mut self) -> Incoming {
        tokio::time::timeout(DEADLINE, self.messages.recv()).await.unwrap().unwrap()
    }
}

pub fn ping() -> Body {
    Body::Ping(Ping { free: true, leader_heard: None, epoch: 0, term: 0 })
}

pub fn tls(folder: &std::path::Path) -> TlsFiles {
    std::fs::create_dir_all(folder).unwrap();
    let files =
        certificates::generate(folder, &["localhost".into(), "127.0.0.1".into(), "::1".into()]).unwrap();
    let pair = Pair { cert: files.cert, key: files.key };
    TlsFiles {
        server: pair.clone(),
        client: Some(pair),
        ca_server: files.ca.clone(),
        ca_client: Some(files.ca),
        validate_domain: None,
    }
}
