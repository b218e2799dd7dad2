//! What strangers do with sockets of their own, and that it gets them nothing: each is cut off by what it does, while a
//! peer's link stands and another peer comes in.

use rauthy_core::Slot;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::http2::*;
use super::streams::{closed, stranger};
use super::support::*;

/// Peers are connected before, and one that comes later is let in, too.
async fn unimpressed(a: &Node, b: &Node, late: Spec) {
    assert!(a.board.link(&b.slot).connected && b.board.link(&a.slot).connected);
    assert_eq!((a.opened(&b.slot), b.opened(&a.slot)), (1, 1), "the link never fell");
    let late = late.start();
    late.connected(&a.slot).await;
}

/// Two that are connected, and one that knows both and does not run yet.
async fn three() -> (Node, Node, Spec) {
    let (a, b) = two();
    let c = Slot::new(&format!("127.0.0.1:{}", port()));
    let spec =
        |slot: &Slot| Spec { slots: vec![a.clone(), b.clone(), c.clone()], ..Spec::new(slot, [&a, &b]) };
    let (one, other) = (spec(&a).start(), spec(&b).start());
    one.connected(&b).await;
    other.connected(&a).await;
    (one, other, spec(&c))
}

#[tokio::test]
async fn who_stops_in_the_middle_is_cut_off() {
    let (a, b, late) = three().await;
    let mut waiting = Vec::new();
    for (what, said) in half_sentences() {
        let mut tcp = stranger(&a.slot).await.unwrap();
        tcp.write_all(&said).await.unwrap();
        waiting.push((what, tcp));
    }
    for (what, mut tcp) in waiting {
        println!("{what}");
        closed(&mut tcp).await;
    }
    assert!(a.refused("TIMEOUT") > 0);
    unimpressed(&a, &b, late).await;
}

#[tokio::test]
async fn half_a_tls_hello_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let files = tls(dir.path());
    let (a, b) = two();
    let spec = |slot| Spec { tls: Some(files.clone()), ..Spec::new(slot, [&a, &b]) };
    let (a, b) = (spec(&a).start(), spec(&b).start());
    b.connected(&a.slot).await;
    let before = a.refused("TIMEOUT");
    let mut waiting = Vec::new();
    // A record of a ClientHello that says it has 512 bytes.
    for said in [&[][..], &[22], &[22, 3, 1, 2, 0, 1, 0, 1, 0xfc]] {
        let mut tcp = stranger(&a.slot).await.unwrap();
        tcp.write_all(said).await.unwrap();
        waiting.push(tcp);
    }
    for tcp in &mut waiting {
        closed(tcp).await;
    }
    assert_eq!(a.refused("TIMEOUT"), before + 3);
    assert_eq!(a.opened(&b.slot), 1);
}

#[tokio::test]
async fn nonsense_is_cut_off() {
    let (a, b, late) = three().await;
    for (what, said) in nonsense() {
        println!("{what}");
        let mut tcp = stranger(&a.slot).await.unwrap();
        // It may be gone before all is said.
        let _ = tcp.write_all(&said).await;
        closed(&mut tcp).await;
    }
    unimpressed(&a, &b, late).await;
}

/// Says something again and again, and reads or not, until the other side has had enough; says how much was said.
async fn flood(tcp: TcpStream, first: Vec<u8>, next: &mut dyn FnMut(u32) -> Vec<u8>, reads: bool) -> usize {
    let (mut rx, mut tx) = tcp.into_split();
    let mut said = 0;
    let talk = async {
        tx.write_all(&first).await?;
        for n in 0.. {
            let bytes = next(n);
            tx.write_all(&bytes).await?;
            said += bytes.len();
        }
        Ok::<_, std::io::Error>(())
    };
    let listen = async {
        let mut answers = [0; 4096];
        if reads {
            while matches!(rx.read(&mut answers).await, Ok(1..)) {}
        } else {
            std::future::pending::<()>().await;
        }
    };
    let both = async {
        tokio::select! {
            _ = talk => {}
            () = listen => {}
        }
    };
    tokio::time::timeout(DEADLINE, both).await.unwrap();
    said
}

#[tokio::test]
async fn floods_are_cut_off() {
    let (a, b, late) = three().await;
    let id = |n: u32| 1 + 2 * n;
    /// The n-th frames of a flood.
    type Frames = Box<dyn FnMut(u32) -> Vec<u8>>;
    let mut floods: Vec<(&str, Vec<u8>, Frames)> = vec![
        // CVE-2023-44487
        ("resets", hello(), Box::new(move |n| [open(id(n)), frame(RST_STREAM, 0, id(n), &[0; 4])].concat())),
        ("streams", hello(), Box::new(move |n| open(id(n)))),
        ("pings", hello(), Box::new(|n| frame(PING, 0, 0, &u64::from(n).to_be_bytes()))),
        ("settings", hello(), Box::new(|_| frame(SETTINGS, 0, 0, &[]))),
        // CVE-2024-27983 and its like
        (
            "headers without end",
            [hello(), frame(HEADERS, 0, 1, &[0x83])].concat(),
            Box::new(|_| frame(CONTINUATION, 0, 1, &[0x82; 1000])),
        ),
        ("data", [hello(), open(1)].concat(), Box::new(|_| frame(DATA, 0, 1, &[0; 16_000]))),
    ];
    for (what, first, next) in &mut floods {
        for reads in [true, false] {
            let tcp = stranger(&a.slot).await.unwrap();
            let said = flood(tcp, first.clone(), &mut **next, reads).await;
            println!("{what}, reads: {reads}: {said} bytes");
            // What the kernels of both ends hold is not read by anybody.
            assert!(said < 16 << 20, "{what}, reads: {reads}: {said} bytes were taken");
        }
    }
    unimpressed(&a, &b, late).await;
}

/// An address that knocks too often is not even listened to; the others are.
#[tokio::test]
async fn who_knocks_too_often_is_slowed_down() {
    let (a, b, late) = three().await;
    let knock = async {
        loop {
            // It may be reset before it is told that it stands.
            drop(stranger(&a.slot).await);
            let all = a.board.refusals();
            if all.iter().any(|r| r.from == "127.0.0.2" && r.reason == "TOO_MANY") {
                return;
            }
        }
    };
    tokio::time::timeout(DEADLINE, knock).await.unwrap();
    unimpressed(&a, &b, late).await;
}
