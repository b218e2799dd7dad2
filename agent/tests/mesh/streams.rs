//! Single streams, opened with nothing but the generated client and the proofs.

use std::sync::Arc;

use rauthy_agent::mesh::addresses::Lookup;
use rauthy_core::Slot;
use rauthy_proto::admin::size_refusal::Reason as Size;
use rauthy_proto::handshake::{OPERATOR, Side, Transcript, VERSIONS};
use rauthy_proto::mesh::frame::Frame as Kind;
use rauthy_proto::mesh::mesh_client::MeshClient;
use rauthy_proto::mesh::{Frame, Hello, Identity, Proof, Purpose, refused::Reason};
use rauthy_proto::{admin, mesh};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Endpoint;

use super::support::*;

/// Somebody else on this host: not where peers come from.
const STRANGER: &str = "127.0.0.2:0";

/// A connection from somewhere else.
pub async fn stranger(to: &Slot) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(STRANGER.parse().map_err(std::io::Error::other)?)?;
    socket.connect(to.as_str().parse().map_err(std::io::Error::other)?).await
}

/// Waits until the other side has closed it, whatever it says before.
pub async fn closed(tcp: &mut TcpStream) {
    let mut bytes = [0; 4096];
    let end = async { while matches!(tcp.read(&mut bytes).await, Ok(1..)) {} };
    tokio::time::timeout(DEADLINE, end).await.unwrap();
}

/// Opens a stream with nothing but the generated client and the proofs; with it, what was said last.
pub async fn open(
    to: &Slot,
    token: &[u8],
    first: Hello,
) -> (mpsc::Sender<Frame>, tonic::Streaming<Frame>, Option<Kind>) {
    let mut client = MeshClient::connect(format!("http://{to}")).await.unwrap();
    let (tx, out) = mpsc::channel(8);
    let mut rx = client.open(ReceiverStream::new(out)).await.unwrap().into_inner();
    let frame = |kind| Frame { frame: Some(kind) };
    tx.send(frame(Kind::Hello(first.clone()))).await.unwrap();
    let last = match rx.message().await.unwrap().and_then(|f| f.frame) {
        Some(Kind::Challenge(challenge)) => {
            let callee = challenge.from.clone().unwrap();
            let transcript = Transcript {
                hello: &first,
                version: first.version_max,
                callee: &callee,
                nonce: &challenge.nonce,
                exporter: &[],
            };
            assert_eq!(transcript.shared([token], Side::Callee, &challenge.proofs), Some(token));
            let proof = transcript.proof(token, Side::Caller).to_vec().into();
            tx.send(frame(Kind::Proof(Proof { proof }))).await.unwrap();
            rx.message().await.unwrap().and_then(|f| f.frame)
        }
        other => other,
    };
    (tx, rx, last)
}

pub fn hello(to: &Slot, slot: &str, purpose: Purpose) -> Hello {
    Hello {
        version_min: *VERSIONS.start(),
        version_max: *VERSIONS.end(),
        cluster: "test".into(),
        purpose: purpose.into(),
        from: Some(Identity { slot: slot.into(), boot: vec![9; 16].into() }),
        to: to.to_string(),
        nonce: vec![3; 32].into(),
    }
}

#[tokio::test]
async fn the_operator_is_answered_on_its_own_stream() {
    let (a, b) = two();
    let a = Spec::new(&a, [&a, &b]).start();
    let (tx, mut rx, last) = open(&a.slot, TOKEN.as_bytes(), hello(&a.slot, OPERATOR, Purpose::Admin)).await;
    assert_eq!(last, Some(Kind::Verdict(mesh::Verdict { refused: None })));
    let request = admin::admin_request::Request::Status(admin::StatusRequest::default());
    let request = admin::AdminRequest { id: 7, request: Some(request) };
    tx.send(Frame { frame: Some(Kind::AdminRequest(request)) }).await.unwrap();
    match rx.message().await.unwrap().and_then(|f| f.frame) {
        Some(Kind::AdminReply(admin::AdminReply {
            id: 7,
            reply: Some(admin::admin_reply::Reply::Status(s)),
        })) => {
            assert_eq!(s.cluster, "answered");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_operator_says_where_a_peer_is_that_dns_hides() {
    let (port_a, port_b) = (port(), port());
    let (a, b) = (Slot::new(&format!("127.0.0.1:{port_a}")), Slot::new(&format!("b.test:{port_b}")));
    let nowhere: Lookup = Arc::new(|_, _| Box::pin(async { Err(std::io::ErrorKind::NotFound.into()) }));
    let one = Spec { lookup: Some(nowhere.clone()), ..Spec::new(&a, [&a, &b]) }.start();
    let other = Spec { lookup: Some(nowhere), ..Spec::new(&b, [&a, &b]) }.start();
    one.link_error(&b, "b.test").await;
    let (tx, mut rx, _) = open(&a, TOKEN.as_bytes(), hello(&a, OPERATOR, Purpose::Admin)).await;
    let told = admin::MemberAddress { slot: b.to_string(), ip: "127.0.0.1".to_owned() };
    let request = admin::admin_request::Request::Status(admin::StatusRequest { addresses: vec![told] });
    let request = admin::AdminRequest { id: 1, request: Some(request) };
    tx.send(Frame { frame: Some(Kind::AdminRequest(request)) }).await.unwrap();
    assert!(rx.message().await.unwrap().is_some());
    one.connected(&b).await;
    other.connected(&a).await;
}

#[tokio::test]
async fn the_operator_changes_the_size() {
    let (a, b) = two();
    let a = Spec::new(&a, [&a, &b]).start();
    let (tx, mut rx, _) = open(&a.slot, TOKEN.as_bytes(), hello(&a.slot, OPERATOR, Purpose::Admin)).await;
    let change = admin::SetSizeRequest { epoch: 3, now: vec!["a:1".into()], next: vec!["b:1".into()] };
    let table = [
        (change.clone(), Ok(admin::SizeProgress::UnderWay)),
        (admin::SetSizeRequest { next: Vec::new(), ..change.clone() }, Err(Size::OtherConfiguration)),
        (admin::SetSizeRequest { now: vec![String::new()], ..change }, Err(Size::Malformed)),
    ];
    for (id, (request, wanted)) in (1..).zip(table) {
        let request = Some(admin::admin_request::Request::SetSize(request));
        tx.send(Frame { frame: Some(Kind::AdminRequest(admin::AdminRequest { id, request })) })
            .await
            .unwrap();
        let answer = match rx.message().await.unwrap().and_then(|f| f.frame) {
            Some(Kind::AdminReply(admin::AdminReply {
                id: same,
                reply: Some(admin::admin_reply::Reply::SetSize(answer)),
            })) if same == id => answer.result.unwrap(),
            other => panic!("{other:?}"),
        };
        match answer {
            admin::set_size_reply::Result::Progress(progress) => {
                assert_eq!(Ok(admin::SizeProgress::try_from(progress).unwrap()), wanted);
            }
            admin::set_size_reply::Result::Refusal(refusal) => {
                assert!(!refusal.message.is_empty());
                assert_eq!(Err(refusal.reason()), wanted);
            }
        }
    }
}

#[tokio::test]
async fn the_operator_moves_the_leadership() {
    let (a, b) = two();
    let a = Spec::new(&a, [&a, &b]).start();
    let (tx, mut rx, _) = open(&a.slot, TOKEN.as_bytes(), hello(&a.slot, OPERATOR, Purpose::Admin)).await;
    let request = admin::admin_request::Request::TransferLeadership(admin::TransferLeadershipRequest {});
    let request = admin::AdminRequest { id: 3, request: Some(request) };
    tx.send(Frame { frame: Some(Kind::AdminRequest(request)) }).await.unwrap();
    let reply = rx.message().await.unwrap().and_then(|f| f.frame);
    let leads = admin::TransferLeadershipReply { leads: true };
    let leads = Some(admin::admin_reply::Reply::TransferLeadership(leads));
    assert_eq!(reply, Some(Kind::AdminReply(admin::AdminReply { id: 3, reply: leads })));
}

#[tokio::test]
async fn each_wrong_first_frame_has_its_reason() {
    let (a, b) = two();
    let a = Spec::new(&a, [&a, &b]).start();
    let good = hello(&a.slot, b.as_str(), Purpose::Control);
    let identity = |slot: &str, boot: usize| Some(Identity { slot: slot.into(), boot: vec![9; boot].into() });
    let table = [
        (
            Hello { version_min: VERSIONS.end() + 1, version_max: VERSIONS.end() + 2, ..good.clone() },
            Reason::WrongVersion,
        ),
        (Hello { version_min: 1, version_max: VERSIONS.start() - 1, ..good.clone() }, Reason::WrongVersion),
        (Hello { nonce: vec![3; 31].into(), ..good.clone() }, Reason::Malformed),
        (Hello { purpose: 0, ..good.clone() }, Reason::Malformed),
        (Hello { purpose: 99, ..good.clone() }, Reason::Malformed),
        (Hello { from: None, ..good.clone() }, Reason::Malformed),
        (Hello { from: identity(b.as_str(), 15), ..good.clone() }, Reason::Malformed),
        (Hello { to: b.to_string(), ..good.clone() }, Reason::WrongSlot),
        (Hello { cluster: String::new(), ..good.clone() }, Reason::WrongCluster),
        (Hello { from: identity("x:1", 16), ..good.clone() }, Reason::UnknownSlot),
        (Hello { from: identity(OPERATOR, 16), ..good.clone() }, Reason::UnknownSlot),
        (Hello { purpose: Purpose::Admin.into(), ..good.clone() }, Reason::UnknownSlot),
        (Hello { from: identity(a.slot.as_str(), 16), ..good.clone() }, Reason::DuplicateSlot),
    ];
    for (first, reason) in table {
        match open(&a.slot, TOKEN.as_bytes(), first.clone()).await.2 {
            Some(Kind::Verdict(mesh::Verdict { refused: Some(refused) })) => {
                assert_eq!(refused.reason(), reason, "{first:?}");
            }
            other => panic!("{first:?}: {other:?}"),
        }
    }
    let (tx, mut rx, last) = open(&a.slot, TOKEN.as_bytes(), good).await;
    assert_eq!(last, Some(Kind::Verdict(mesh::Verdict { refused: None })), "and the good one passes");
    // A frame that has no place here ends the stream.
    tx.send(Frame { frame: Some(Kind::Verdict(mesh::Verdict::default())) }).await.unwrap();
    while let Ok(Some(_)) = tokio::time::timeout(DEADLINE, rx.message()).await.unwrap() {}
}

#[tokio::test]
async fn a_stranger_cannot_send_much() {
    let (a, b) = two();
    let a = Spec::new(&a, [&a, &b]).start();
    let mut client = MeshClient::connect(format!("http://{}", a.slot)).await.unwrap();
    let (tx, out) = mpsc::channel(8);
    let mut rx = client.open(ReceiverStream::new(out)).await.unwrap().into_inner();
    let cluster = "x".repeat(1 << 20);
    tx.send(Frame { frame: Some(Kind::Hello(Hello { cluster, ..Hello::default() })) }).await.unwrap();
    // Cut off before it is decoded: as a hello it would have been refused for its empty identity.
    match tokio::time::timeout(DEADLINE, rx.message()).await.unwrap().unwrap().and_then(|f| f.frame) {
        Some(Kind::Verdict(mesh::Verdict { refused: Some(refused) })) => {
            assert!(refused.message.contains("too much"), "{refused:?}");
        }
        other => panic!("{other:?}"),
    }
    a.refuses("MALFORMED", "").await;
}

#[tokio::test]
async fn silent_connections_of_one_address_leave_places_for_others() {
    let (a, b) = two();
    let a = Spec::new(&a, [&a, &b]).start();
    let mut held = Vec::new();
    // The one that is too many takes the place of the oldest of them.
    let refused = async {
        loop {
            held.push(stranger(&a.slot).await.unwrap());
            let refusals = a.board.refusals();
            if refusals.iter().any(|r| r.reason == "TOO_MANY" && r.from == "127.0.0.2") {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, refused).await.unwrap();
    let mut oldest = held.remove(0);
    closed(&mut oldest).await;
    let b = Spec::new(&b, [&a.slot, &b]).start();
    b.connected(&a.slot).await;
    assert!(held.len() > 32, "they were taken as long as there was room");
}

#[tokio::test]
async fn silent_streams_of_one_address_leave_places_for_others() {
    let (a, b) = two();
    let a = Spec::new(&a, [&a, &b]).start();
    let to = a.slot.clone();
    let from_elsewhere = tower::service_fn(move |_: http::Uri| {
        let to = to.clone();
        async move { stranger(&to).await.map(hyper_util::rt::TokioIo::new) }
    });
    let channel =
        Endpoint::from_static("http://stranger").connect_with_connector(from_elsewhere).await.unwrap();
    let mut client = MeshClient::new(channel);
    // As many as one connection may have, which is more than the handshakes that one address may have.
    let mut held = Vec::new();
    for _ in 0..60 {
        let (tx, out) = mpsc::channel::<Frame>(1);
        let stream = tokio::time::timeout(DEADLINE, client.open(ReceiverStream::new(out))).await.unwrap();
        held.push((tx, stream.unwrap().into_inner()));
    }
    let (_, oldest) = &mut held[0];
    assert!(!matches!(tokio::time::timeout(DEADLINE, oldest.message()).await.unwrap(), Ok(Some(_))));
    a.refuses("TOO_MANY", "").await;
    let (_tx, _rx, last) =
        open(&a.slot, TOKEN.as_bytes(), hello(&a.slot, b.as_str(), Purpose::Control)).await;
    assert_eq!(last, Some(Kind::Verdict(mesh::Verdict { refused: None })), "another address has its place");
}
