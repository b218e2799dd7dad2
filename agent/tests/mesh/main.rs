//! The mesh over real sockets: who is let in, who is not, and what both sides say about it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod streams;
mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use rauthy_agent::config::{TlsFiles, Tokens};
use rauthy_agent::mesh::Incoming;
use rauthy_core::message::{Body, Forward, SnapshotReply};
use rauthy_core::{AckLevel, Condition, Request};

use support::*;

async fn everything_arrives(a: Node, mut b: Node) {
    a.connected(&b.slot).await;
    b.connected(&a.slot).await;
    let forward = Body::Forward(Forward {
        id: 5,
        stamp: None,
        request: Request::Put {
            cache: "c".into(),
            key: vec![1].into(),
            value: vec![2; 1 << 20].into(),
            ttl: None,
            condition: Condition::Always,
        },
        level: AckLevel::Quorum,
    });
    let reply = SnapshotReply { term: 1, id: 2, shard: 3, part: 4, installed: false, restart: false };
    for body in [ping(), forward, Body::SnapshotReply(reply)] {
        // A stream of its own may come a moment after the control stream; the core would send again, too.
        loop {
            a.say(&a.slot, &b.slot, body.clone());
            match tokio::time::timeout(Duration::from_millis(200), b.messages.recv()).await {
                Ok(Some(Incoming::Message(message))) if message.body == body => break,
                Ok(Some(Incoming::Message(_))) | Err(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }
    // A proven peer speaks for itself only.
    a.say(&b.slot, &b.slot, ping());
    until("counted", || {
        let dropped =
            b.metrics.dropped.get_or_create(&rauthy_agent::runtime::ReasonLabel { reason: "wrong_sender" });
        if dropped.get() == 1 { Ok(()) } else { Err(dropped.get()) }
    })
    .await;
    a.mesh.stop();
    while !matches!(b.next().await, Incoming::LinkLost(slot) if slot == a.slot) {}
    b.link_error(&a.slot, "").await;
}

#[tokio::test]
async fn messages_of_every_class_arrive_without_tls() {
    let (a, b) = two();
    everything_arrives(Spec::new(&a, [&a, &b]).start(), Spec::new(&b, [&a, &b]).start()).await;
}

#[tokio::test]
async fn messages_of_every_class_arrive_with_tls() {
    let dir = tempfile::tempdir().unwrap();
    let files = tls(dir.path());
    let (a, b) = two();
    let spec = |slot| Spec { tls: Some(files.clone()), ..Spec::new(slot, [&a, &b]) };
    everything_arrives(spec(&a).start(), spec(&b).start()).await;
}

#[tokio::test]
async fn only_one_side_needs_to_reach_the_other() {
    let (a, b) = two();
    // Nobody can dial `a`: it listens elsewhere. It dials out, and that is the link for both.
    let a = Spec { port: Some(port()), ..Spec::new(&a, [&a, &b]) }.start();
    let b = Spec::new(&b, [&a.slot, &b]).start();
    b.connected(&a.slot).await;
    everything_arrives(b, a).await;
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_both_sides_say_so() {
    let (a, b) = two();
    let other = Spec { tokens: "another-token-of-the-right-length".into(), ..Spec::new(&a, [&a, &b]) };
    let (a, b) = (other.start(), Spec::new(&b, [&a, &b]).start());
    a.link_error(&b.slot, "WRONG_TOKEN").await;
    b.refuses("WRONG_TOKEN", a.slot.as_str()).await;
    b.link_error(&a.slot, "WRONG_TOKEN").await;
    // It is put right without a restart.
    assert!(a.me.set_tokens(Tokens::parse("CACHE_AUTH_TOKEN", TOKEN).unwrap()));
    a.connected(&b.slot).await;
    b.connected(&a.slot).await;
}

#[tokio::test]
async fn two_tokens_are_valid_during_a_rotation() {
    let (a, b) = two();
    let new = "new-token-0123456789";
    let a = Spec { tokens: format!("{TOKEN}\n{new}"), ..Spec::new(&a, [&a, &b]) }.start();
    let b = Spec { tokens: format!("{new}\n{TOKEN}"), ..Spec::new(&b, [&a.slot, &b]) }.start();
    a.connected(&b.slot).await;
    b.connected(&a.slot).await;
}

#[tokio::test]
async fn another_cluster_is_refused() {
    let (a, b) = two();
    let other = Spec { cluster: "other", ..Spec::new(&a, [&a, &b]) };
    let (a, b) = (other.start(), Spec::new(&b, [&a, &b]).start());
    a.link_error(&b.slot, "WRONG_CLUSTER").await;
    b.refuses("WRONG_CLUSTER", a.slot.as_str()).await;
}

#[tokio::test]
async fn a_slot_that_is_not_in_the_list_is_refused() {
    let (a, b) = two();
    let (a, b) = (Spec::new(&a, [&a, &b]).start(), Spec::new(&b, [&b, &b]).start());
    a.link_error(&b.slot, "UNKNOWN_SLOT").await;
    // It is not shown what a stranger calls itself.
    b.refuses("UNKNOWN_SLOT", "").await;
}

#[tokio::test]
async fn members_come_and_go_while_the_mesh_runs() {
    let (a, b) = two();
    // Neither knows the other.
    let a = Spec::new(&a, [&a, &a]).start();
    let b = Spec::new(&b, [&b, &b]).start();
    let both: BTreeSet<_> = [a.slot.clone(), b.slot.clone()].into();
    // `b` dials, and is refused until it is a member for `a`, too.
    b.mesh.set_peers(&both);
    a.refuses("UNKNOWN_SLOT", "").await;
    a.mesh.set_peers(&both);
    a.connected(&b.slot).await;
    b.connected(&a.slot).await;
    let mut a = a;
    a.mesh.set_peers(&[a.slot.clone()].into());
    while !matches!(a.next().await, Incoming::LinkLost(slot) if slot == b.slot) {}
    b.link_error(&a.slot, "UNKNOWN_SLOT").await;
    assert!(!a.board.link(&b.slot).connected);
    let links = a.metrics.encode().await.unwrap();
    assert!(!links.contains(b.slot.as_str()), "it is counted no more: {links}");
    // And back.
    a.mesh.set_peers(&both);
    a.connected(&b.slot).await;
    b.connected(&a.slot).await;
}

#[tokio::test]
async fn a_second_process_of_a_slot_is_refused_until_the_first_is_gone() {
    let (a, b) = two();
    let b = Spec::new(&b, [&a, &b]).start();
    let first = Spec::new(&a, [&a, &b.slot]).start();
    b.connected(&first.slot).await;
    let talk = first.chatter(&b.slot);
    let second = Spec { boot: 2, port: Some(port()), ..Spec::new(&a, [&a, &b.slot]) }.start();
    second.link_error(&b.slot, "DUPLICATE_SLOT").await;
    b.refuses("DUPLICATE_SLOT", a.as_str()).await;
    assert!(b.board.link(&a).connected, "the first one keeps its link");
    talk.abort();
    first.mesh.stop();
    second.connected(&b.slot).await;
}

#[tokio::test]
async fn with_tls_strangers_get_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (tls(&dir.path().join("ours")), tls(&dir.path().join("theirs")));
    // What the other side has, and what both say. `b` also dials `a`, which is not looked at here.
    let table = [
        ("plain", None, "HTTP/2"),
        ("foreign authority", Some(theirs.clone()), "TLS"),
        ("no certificate", Some(TlsFiles { client: None, ..ours.clone() }), ""),
        ("foreign certificate", Some(TlsFiles { client: theirs.client.clone(), ..ours.clone() }), ""),
        (
            "other name",
            Some(TlsFiles { validate_domain: Some("redhac.local".into()), ..ours.clone() }),
            "TLS",
        ),
    ];
    for (what, files, error) in table {
        let (a, b) = two();
        let b = Spec { tls: Some(ours.clone()), ..Spec::new(&b, [&a, &b]) }.start();
        // Its own server is out of reach, so that it is judged as a client.
        let a = Spec { tls: files, port: Some(port()), ..Spec::new(&a, [&a, &b.slot]) }.start();
        a.link_error(&b.slot, error).await;
        b.refuses("TLS", "").await;
        assert!(!a.board.link(&b.slot).connected && !b.board.link(&a.slot).connected, "{what}");
    }
}
