//! The streams between agents.
//!
//! ```text
//!  dial ──▶ connection (TLS) ──▶ handshake ──▶ links ◀── handshake ◀── serve ◀── connection ◀── listen
//!                                               │  one stream for each peer and purpose: control, forward, bulk
//!            core ── Mesh::send ── queue ───────┤
//!            core ◀─ Incoming ──── pump ────────┘        admin: the operator's own streams
//! ```
//!
//! * [`ask`]: a question to an agent, as the operator has them
//! * [`handshake`]: who is at the other end · [`links`]: which stream is the link · [`wire`]: messages as bytes
//! * [`peers`]: who is dialled and let in, while that changes
//! * [`pace`], [`room`], [`connection`], [`limit`]: what a stranger may cost · [`queue`]: what a slow peer may cost
//! * [`board`]: what is reported · [`addresses`]: where peers are when DNS does not know

pub mod addresses;
pub mod admin;
pub mod ask;
mod board;
mod connection;
mod dial;
pub mod handshake;
mod limit;
mod links;
pub mod listen;
mod me;
mod pace;
mod peers;
mod pump;
pub mod queue;
pub(crate) mod room;
mod serve;
pub mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prost::Message as _;
use rauthy_core::message::Class;
use rauthy_core::{Message, SizeChange, SizeProgress, SizeRefusal, Slot};
use rauthy_proto::cache::{NodeStatus, Report};
use rauthy_proto::handshake::PACKED;
use rauthy_proto::mesh::frame::Frame as Kind;
use rauthy_proto::mesh::{Batch, Frame, Purpose};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Server;

use crate::runtime::Metrics;
use crate::tls::Tls;
pub use board::{Board, Compared, LinkState};
pub use me::Me;

/// Largest message that is taken from a proven peer: an append of a full window, and then some.
const LARGEST: usize = 16 << 20;
/// A frame is closed when it holds this much, or so many messages: a reader counts the parts, see
/// [`rauthy_proto::codec`].
const FRAME: usize = 1 << 20;
const MESSAGES: usize = 1024;
/// Handshakes of accepted streams at a time, beside those from the addresses of peers.
const HANDSHAKES: usize = 128;
/// Of these, from one address. A peer opens three streams.
const HANDSHAKES_EACH: usize = 8;
/// Accepted connections with an authenticated stream. Nine members need three each.
const CONNECTIONS: usize = 256;
/// HTTP/2 pings: how often, and how long an answer may take. A dead peer is found in 3 s.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(2));
/// Bytes that may be on their way on a stream.
const WINDOW: u32 = 4 << 20;

/// What the mesh brings to the consensus task.
#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all of them are messages; a box would cost each of them"
)]
pub enum Incoming {
    /// A message of a proven peer.
    Message(Message),
    /// There is no link to this peer any more; what was forwarded on it has an unknown outcome.
    LinkLost(Slot),
}

/// What the operator asks, on its way to the runtime.
#[derive(Debug)]
pub enum Asked {
    /// How this node sees the cluster.
    Status(oneshot::Sender<NodeStatus>),
    /// To change the size.
    SetSize(SizeChange, oneshot::Sender<Result<SizeProgress, SizeRefusal>>),
    /// To give the leadership away; whether this node leads still.
    TransferLeadership(oneshot::Sender<bool>),
}

/// What the mesh works with.
pub struct Parts {
    /// Who this is.
    pub me: Arc<Me>,
    /// Certificates; `None`: no TLS.
    pub tls: Option<Arc<Tls>>,
    /// Shortest and longest wait before a redial.
    pub reconnect: (Duration, Duration),
    /// Where links and refusals are reported.
    pub board: Arc<Board>,
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
    /// How names are looked up; [`addresses::system`] asks the operating system.
    pub lookup: addresses::Lookup,
    /// Where messages go.
    pub incoming: mpsc::Sender<Incoming>,
    /// Where the operator's questions go.
    pub asked: mpsc::Sender<Asked>,
    /// Where connections are accepted or turned away, and where their TLS handshakes run: whoever comes, it takes nothing
    /// of the thread that this is started on.
    pub strangers: tokio::runtime::Handle,
}

pub(crate) struct Inner {
    me: Arc<Me>,
    tls: Option<Arc<Tls>>,
    reconnect: (Duration, Duration),
    board: Arc<Board>,
    metrics: Arc<Metrics>,
    lookup: addresses::Lookup,
    incoming: mpsc::Sender<Incoming>,
    asked: mpsc::Sender<Asked>,
    strangers: tokio::runtime::Handle,
    /// What the streams run on.
    own: tokio::runtime::Handle,
    /// Who is dialled, and what ends that.
    dialled: Mutex<BTreeMap<Slot, CancellationToken>>,
    links: links::Links,
    hints: addresses::Hints,
    whereabouts: addresses::Whereabouts,
    pace: pace::Pace,
    handshakes: Arc<room::Room>,
    connections: Arc<Semaphore>,
    stop: CancellationToken,
    /// Those that hold the port.
    listening: TaskTracker,
}

/// The running mesh; cheap to clone.
#[derive(Clone)]
pub struct Mesh(Arc<Inner>);

impl Mesh {
    /// Serves on the listeners and dials every other slot, until [`Self::stop`].
    #[must_use]
    pub fn start(parts: Parts, listeners: Vec<TcpListener>) -> Self {
        let Parts { me, tls, reconnect, board, metrics, lookup, incoming, asked, strangers } = parts;
        let inner = Arc::new(Inner {
            links: links::Links::new(me.slot.clone()),
            me,
            tls,
            reconnect,
            board,
            metrics,
            lookup,
            incoming,
            asked,
            strangers,
            own: tokio::runtime::Handle::current(),
            dialled: Mutex::default(),
            hints: addresses::Hints::default(),
            whereabouts: addresses::Whereabouts::default(),
            pace: pace::Pace::default(),
            handshakes: room::Room::new(HANDSHAKES, HANDSHAKES_EACH),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            stop: CancellationToken::new(),
            listening: TaskTracker::new(),
        });
        let connections = ReceiverStream::new(listen::accept(&inner, listeners));
        let server = Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE.0))
            .http2_keepalive_timeout(Some(KEEPALIVE.1))
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW * 2)
            // A proxy may carry the streams of all peers over one connection.
            .max_concurrent_streams(64)
            .http2_max_header_list_size(16 << 10)
            .add_service(serve::service(inner.clone()))
            .serve_with_incoming_shutdown(connections, inner.stop.clone().cancelled_owned());
        tokio::spawn(async move {
            if let Err(error) = server.await {
                tracing::error!(%error, "the mesh's server ended");
            }
        });
        tokio::spawn(addresses::tell(inner.clone()));
        peers::change(&inner, &inner.me.slots());
        Self(inner)
    }

    /// From now on these slots are dialled and let in, and no others. Streams of those that stay are not touched.
    pub fn set_peers(&self, slots: &BTreeSet<Slot>) {
        if *self.0.me.slots() != *slots {
            self.0.me.set_slots(slots.clone());
            peers::change(&self.0, slots);
        }
    }

    /// Puts messages for one peer into the queue of the link of their class; never waits. What does not fit, or
    /// has no link, is dropped and counted: the core sends again.
    pub fn send(&self, to: &Slot, class: Class, messages: Vec<Message>) {
        let purpose = match class {
            Class::Control => Purpose::Control,
            // A write need not wait for a stream that is only just being opened.
            Class::Forward if self.0.links.with(to, Purpose::Forward, |_| ()).is_none() => Purpose::Control,
            Class::Forward => Purpose::Forward,
            Class::Bulk => Purpose::Bulk,
        };
        let flush = |frame: Kind, size| {
            if let Err(why) = self.0.links.send(to, purpose, Frame { frame: Some(frame) }, size) {
                self.0.metrics.drop_message(why);
            }
        };
        let Some(version) = self.0.links.with(to, purpose, links::Link::version) else {
            self.0.metrics.drop_message("no_link");
            return;
        };
        if version >= PACKED {
            let mut packer = wire::packed::Packer::default();
            for message in messages {
                packer.put(message);
                if packer.len() >= FRAME || packer.messages() >= MESSAGES {
                    let size = packer.len();
                    flush(Kind::Packed(packer.finish()), size);
                }
            }
            if !packer.is_empty() {
                let size = packer.len();
                flush(Kind::Packed(packer.finish()), size);
            }
            return;
        }
        let (mut batch, mut size) = (Vec::with_capacity(messages.len()), 0);
        for message in messages {
            let message = wire::encode(message);
            size += message.encoded_len();
            batch.push(message);
            if size >= FRAME || batch.len() >= MESSAGES {
                let messages = std::mem::take(&mut batch);
                flush(Kind::Batch(Batch { messages }), std::mem::take(&mut size));
            }
        }
        if !batch.is_empty() {
            flush(Kind::Batch(Batch { messages: batch }), size);
        }
    }

    /// Tells all peers that there is a link to how this node is. What does not fit is left out: there is a newer report
    /// soon.
    pub fn report(&self, report: &Report) {
        for peer in self.0.links.peers(Purpose::Control) {
            let frame = Frame { frame: Some(Kind::Report(report.clone())) };
            let size = frame.encoded_len();
            let _ = self.0.links.send(&peer, Purpose::Control, frame, size);
        }
    }

    /// Ends all streams and takes no new ones.
    pub fn stop(&self) {
        self.0.stop.cancel();
        self.0.links.clear();
    }

    /// Waits after [`Self::stop`] until the port is free for a successor.
    pub async fn stopped(&self) {
        self.0.listening.close();
        self.0.listening.wait().await;
    }
}

impl Inner {
    /// Somebody was refused: count it, show it, and say it now and then.
    fn refuse(&self, from: &str, claimed: &str, reason: &'static str, why: &str) {
        self.metrics.refused(reason);
        if self.board.refused(from, claimed, reason) {
            tracing::warn!(from, claimed, reason, why, "refused");
        }
    }
}
