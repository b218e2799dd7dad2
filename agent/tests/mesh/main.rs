//! The mesh over real sockets: who is let in, who is not, and what both sides say about it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod certificates;
mod http2;
mod middle;
mod places;
mod strangers;
mod streams;
mod support;
mod versions;

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
async fn messages_of_every_class_arrive_between_a_version_and_the_next() {
    for (older, newer) in [(0, 1), (1, 0)] {
        let (a, b) = two();
        let specs = [&a, &b].map(|slot| Spec::new(slot, [&a, &b]));
        let mut specs = specs.into_iter().enumerate().map(|(n, spec)| match n == older {
            true => Spec { versions: 2..=2, ..spec },
            false => spec,
        });
        let mut nodes: Vec<_> = specs.by_ref().map(Spec::start).collect();
        let (b, a) = (nodes.remove(older.max(newer)), nodes.remove(0));
        everything_arrives(a, b).await;
    }
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
    assert!(a.refused("WRONG_TOKEN") > 0 && b.refused("WRONG_TOKEN") > 0, "counted on both sides");
    // It is put right without a restart.
    assert!(a.me.set_tokens(Tokens::parse("CACHE_AUTH_TOKEN", TOKEN).unwrap()));
    a.connected(&b.slot).await;
    b.connected(&a.slot).await;
}

/// Whatever two members have in common is enough, in whatever order, and whoever dials.
#[tokio::test]
async fn several_tokens_are_valid_during_a_rotation() {
    let (old, new, else_) = (TOKEN, "new-token-0123456789", "third-token-0123456789");
    let table = [
        (vec![old, new], vec![new, old]),
        (vec![old], vec![new, old]),
        (vec![new], vec![old, new]),
        (vec![else_, old], vec![new, old]),
    ];
    for (one, other) in table {
        // Only one of them can be dialled, one after the other.
        for turned in [false, true] {
            let (a, b) = two();
            let (mine, theirs) = if turned { (&other, &one) } else { (&one, &other) };
            let a = Spec { tokens: mine.join("\n"), port: Some(port()), ..Spec::new(&a, [&a, &b]) }.start();
            let b = Spec { tokens: theirs.join("\n"), ..Spec::new(&b, [&a.slot, &b]) }.start();
            a.connected(&b.slot).await;
            b.connected(&a.slot).await;
            assert_eq!((a.refused("WRONG_TOKEN"), b.refused("WRONG_TOKEN")), (0, 0), "{mine:?} {theirs:?}");
        }
    }
}

/// A stream that stands stays when the token that opened it is taken away; only a new one needs the new token.
#[tokio::test]
async fn a_new_token_drops_no_stream() {
    let (a, b) = two();
    let (mut a, mut b) = (Spec::new(&a, [&a, &b]).start(), Spec::new(&b, [&a, &b]).start());
    a.connected(&b.slot).await;
    b.connected(&a.slot).await;
    for node in [&a, &b] {
        assert!(node.me.set_tokens(Tokens::parse("CACHE_AUTH_TOKEN", "new-token-0123456789").unwrap()));
    }
    a.say(&a.slot, &b.slot, ping());
    assert!(matches!(b.next().await, Incoming::Message(_)));
    b.say(&b.slot, &a.slot, ping());
    assert!(matches!(a.next().await, Incoming::Message(_)));
    assert_eq!((a.opened(&b.slot), b.opened(&a.slot)), (1, 1));
    // Who comes back needs the new one.
    let slot = a.slot.clone();
    a.mesh.stop();
    a.mesh.stopped().await;
    let old = Spec { boot: 2, ..Spec::new(&slot, [&slot, &b.slot]) }.start();
    old.link_error(&b.slot, "WRONG_TOKEN").await;
    old.mesh.stop();
    old.mesh.stopped().await;
    let new = Spec { boot: 3, tokens: "new-token-0123456789".into(), ..Spec::new(&slot, [&slot, &b.slot]) };
    new.start().connected(&b.slot).await;
}

#[tokio::test]
async fn another_cluster_is_refused() {
    let (a, b) = two();
    let other = Spec { cluster: "other", ..Spec::new(&a, [&a, &b]) };
    let (a, b) = (other.start(), Spec::new(&b, [&a, &b]).start());
    a.link_error(&b.slot, "WRONG_CLUSTER").await;
    b.refuses("WRONG_CLUSTER", a.slot.as_str()).await;
    assert!(a.refused("WRONG_CLUSTER") > 0 && b.refused("WRONG_CLUSTER") > 0, "counted on both sides");
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
    assert!(second.refused("DUPLICATE_SLOT") > 0 && b.refused("DUPLICATE_SLOT") > 0, "counted on both sides");
    assert!(b.board.link(&a).connected, "the first one keeps its link");
    talk.abort();
    first.mesh.stop();
    second.connected(&b.slot).await;
}

#[tokio::test]
async fn with_tls_strangers_get_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (tls(&dir.path().join("ours")), tls(&dir.path().join("theirs")));
    // What the other side has, and what it says itself. `b` also dials `a`, which is not looked at here.
    let table = [
        ("plain", None, "HTTP/2"),
        ("foreign authority", Some(theirs.clone()), "invalid peer certificate"),
        ("no certificate", Some(TlsFiles { client: None, ..ours.clone() }), "CertificateRequired"),
        (
            "foreign certificate",
            Some(TlsFiles { client: theirs.client.clone(), ..ours.clone() }),
            "received fatal alert",
        ),
        (
            "other name",
            Some(TlsFiles { validate_domain: Some("redhac.local".into()), ..ours.clone() }),
            "not valid for",
        ),
    ];
    for (what, files, error) in table {
        let (a, b) = two();
        let b = Spec { tls: Some(ours.clone()), ..Spec::new(&b, [&a, &b]) }.start();
        // Its own server is out of reach, so that it is judged as a client.
        let a = Spec { tls: files, port: Some(port()), ..Spec::new(&a, [&a, &b.slot]) }.start();
        a.link_error(&b.slot, error).await;
        b.refuses("TLS", "").await;
        assert!(b.refused("TLS") > 0, "{what}: counted");
        assert!(!a.board.link(&b.slot).connected && !b.board.link(&a.slot).connected, "{what}");
    }
}
