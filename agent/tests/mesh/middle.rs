//! Somebody between two peers: who relays, who listens in, and who says nothing any more.

use std::sync::Arc;

use rauthy_agent::mesh::Incoming;
use rauthy_agent::mesh::addresses::Lookup;
use rauthy_agent::tls::Tls;
use rauthy_core::message::{Base, Body, SnapshotChunk};
use rauthy_core::store::Record;
use rauthy_core::{Boot, Configuration, Incarnation, LogTime, Slot};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::support::*;

/// Every name leads to this port of this host.
fn detour(port: u16) -> Lookup {
    Arc::new(move |_, _| Box::pin(async move { Ok(vec![([127, 0, 0, 1], port).into()]) }))
}

/// A man in the middle of TLS, with a certificate that both sides trust.
async fn intercept(tls: Arc<Tls>, to: Slot) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (tls, to) = (tls.clone(), to.clone());
            tokio::spawn(async move {
                let mut left = TlsAcceptor::from(tls.server()).accept(tcp).await?;
                let tcp = TcpStream::connect(to.as_str()).await?;
                let name = tls.server_name("127.0.0.1").map_err(std::io::Error::other)?;
                let mut right = TlsConnector::from(tls.client()).connect(name, tcp).await?;
                copy_bidirectional(&mut left, &mut right).await
            });
        }
    });
    port
}

/// What a relay does with the bytes that it takes.
#[derive(Clone, Copy, PartialEq)]
enum Relay {
    /// Passes them on.
    On,
    /// Keeps those of every connection but the first, until it passes on again.
    First,
    /// Drops them, and tells nobody.
    Off,
}

/// A relay between two peers.
async fn relay(to: Slot) -> (u16, watch::Sender<Relay>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (switch, now) = watch::channel(Relay::On);
    tokio::spawn(async move {
        let mut first = true;
        while let Ok((left, _)) = listener.accept().await {
            let Ok(right) = TcpStream::connect(to.as_str()).await else { continue };
            let ((left_rx, left_tx), (right_rx, right_tx)) = (left.into_split(), right.into_split());
            for (mut rx, mut tx) in [(left_rx, right_tx), (right_rx, left_tx)] {
                let mut now = now.clone();
                tokio::spawn(async move {
                    let mut bytes = vec![0; 1 << 16];
                    while let Ok(n @ 1..) = rx.read(&mut bytes).await {
                        let _ = now.wait_for(|now| first || *now != Relay::First).await;
                        let drops = *now.borrow() == Relay::Off;
                        if !drops && tx.write_all(&bytes[..n]).await.is_err() {
                            return;
                        }
                    }
                    // While it drops everything, nobody learns either that the other end is gone.
                    let _ = now.wait_for(|now| *now != Relay::Off).await;
                });
            }
            first = false;
        }
    });
    (port, switch)
}

#[tokio::test]
async fn a_proof_is_worth_nothing_on_another_channel() {
    let dir = tempfile::tempdir().unwrap();
    let files = tls(dir.path());
    let (a, b) = two();
    let middle = intercept(Arc::new(Tls::load(files.clone()).unwrap()), b.clone()).await;
    let spec = |slot| Spec { tls: Some(files.clone()), ..Spec::new(slot, [&a, &b]) };
    // `a` is led to the one in the middle, and cannot be dialled.
    let one = Spec { lookup: Some(detour(middle)), port: Some(port()), ..spec(&a) }.start();
    let other = spec(&b).start();
    one.link_error(&b, "WRONG_TOKEN").await;
    other.refuses("WRONG_TOKEN", a.as_str()).await;
    assert!(one.refused("WRONG_TOKEN") > 0 && other.refused("WRONG_TOKEN") > 0, "counted on both sides");
    assert_eq!((one.opened(&b), other.opened(&a)), (0, 0));
}

/// A snapshot is stuck on its way; what is said afterwards on the control stream is not.
#[tokio::test]
async fn a_big_snapshot_does_not_delay_a_heartbeat() {
    let (a, b) = two();
    let (between, switch) = relay(b.clone()).await;
    let one = Spec { lookup: Some(detour(between)), port: Some(port()), ..Spec::new(&a, [&a, &b]) }.start();
    let mut other = Spec::new(&b, [&a, &b]).start();
    one.connected(&b).await;
    // It is there when its messages arrive.
    let small = || snapshot(16);
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        one.say(&a, &b, small());
        if tokio::time::timeout(std::time::Duration::from_millis(200), other.next()).await.is_ok() {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "no stream for snapshots");
    }
    switch.send(Relay::First).unwrap();
    for _ in 0..8 {
        one.say(&a, &b, snapshot(1 << 20));
    }
    one.say(&a, &b, ping());
    loop {
        match other.next().await {
            Incoming::Message(message) if message.body == ping() => break,
            Incoming::LinkLost(_) => {}
            // A small one that was still on its way.
            Incoming::Message(message) if message.body == small() => {}
            other => panic!("before the heartbeat: {other:?}"),
        }
    }
    assert!(one.board.link(&b).connected && other.board.link(&a).connected);
}

fn snapshot(bytes: usize) -> Body {
    let me = Incarnation { slot: Slot::new("a:1"), boot: Boot(1) };
    let seats = [(me.slot.clone(), me.clone())].into();
    let configuration =
        Configuration { epoch: 0, resizing: false, lists: vec![vec![me.slot]], maps: vec![seats] };
    let base = Base {
        index: 1,
        term: 1,
        time: LogTime(0),
        configuration: Arc::new(configuration),
        founding_epoch: 0,
    };
    let value = Record::Value {
        cache: "c".into(),
        key: vec![1].into(),
        value: vec![7; bytes].into(),
        version: 1,
        expires_at: None,
    };
    Body::SnapshotChunk(SnapshotChunk {
        term: 1,
        id: 1,
        base,
        shard: 0,
        part: 0,
        shard_done: false,
        done: false,
        shard_applied: 1,
        records: vec![value],
    })
}

#[tokio::test]
async fn who_only_passes_bytes_on_is_no_harm_and_a_silent_one_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let files = tls(dir.path());
    let (a, b) = two();
    let (between, switch) = relay(b.clone()).await;
    let spec = |slot| Spec { tls: Some(files.clone()), ..Spec::new(slot, [&a, &b]) };
    let one = Spec { lookup: Some(detour(between)), port: Some(port()), ..spec(&a) }.start();
    let other = spec(&b).start();
    one.connected(&b).await;
    other.connected(&a).await;
    switch.send(Relay::Off).unwrap();
    // No end of any connection is seen by anybody; only answers stay away.
    for (node, peer) in [(&one, &b), (&other, &a)] {
        until("noticed", || {
            let link = node.board.link(peer);
            if link.connected { Err(link) } else { Ok(()) }
        })
        .await;
    }
    switch.send(Relay::On).unwrap();
    one.connected(&b).await;
    other.connected(&a).await;
    assert!(one.opened(&b) >= 2);
}
