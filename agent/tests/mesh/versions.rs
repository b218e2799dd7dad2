//! Members of one version of the format and the next understand each other, and others say what is to be done.

use rauthy_agent::mesh::Incoming;
use rauthy_agent::mesh::wire::{self, packed};
use rauthy_core::message::{Body, Message};
use rauthy_core::{Boot, Incarnation, Slot};
use rauthy_proto::handshake::VERSIONS;
use rauthy_proto::mesh::frame::Frame as Kind;
use rauthy_proto::mesh::{self, Batch, Frame, Hello, Purpose};

use super::streams::{hello, open};
use super::support::*;

fn ping_of(from: &Slot, to: &Slot) -> Message {
    let from = Incarnation { slot: from.clone(), boot: Boot(9) };
    Message { from, to: to.clone(), to_boot: None, generation: None, body: ping() }
}

#[tokio::test]
async fn a_peer_hears_what_it_understands() {
    for version in VERSIONS {
        let (a, b) = two();
        let mut node = Spec::new(&a, [&a, &b]).start();
        let first =
            Hello { version_min: version, version_max: version, ..hello(&a, b.as_str(), Purpose::Control) };
        let (tx, mut rx, last) = open(&a, TOKEN.as_bytes(), first).await;
        assert_eq!(last, Some(Kind::Verdict(mesh::Verdict { refused: None })), "version {version}");
        node.connected(&b).await;
        node.say(&a, &b, ping());
        let heard = loop {
            match rx.message().await.unwrap().unwrap().frame.unwrap() {
                Kind::Addresses(_) | Kind::Report(_) => {}
                kind => break kind,
            }
        };
        let (heard, frame): (Vec<_>, _) = match (version, heard) {
            (2, Kind::Batch(Batch { messages })) => {
                let messages = messages.into_iter().map(wire::decode);
                (messages.collect(), Kind::Batch(Batch { messages: vec![wire::encode(ping_of(&b, &a))] }))
            }
            (3, Kind::Packed(frame)) => {
                let mut packer = packed::Packer::default();
                packer.put(ping_of(&b, &a));
                (packed::Unpacker::new(frame).collect(), Kind::Packed(packer.finish()))
            }
            other => panic!("{other:?}"),
        };
        assert!(matches!(&heard[..], [Ok(Message { body: Body::Ping(_), .. })]), "{heard:?}");
        tx.send(Frame { frame: Some(frame) }).await.unwrap();
        assert!(matches!(node.next().await, Incoming::Message(message) if message == ping_of(&b, &a)));
    }
}

#[tokio::test]
async fn members_too_far_apart_say_so_on_both_sides() {
    let (a, b) = two();
    let newest = *VERSIONS.end();
    let old = Spec::new(&a, [&a, &b]).start();
    let new = Spec { versions: newest + 1..=newest + 2, ..Spec::new(&b, [&a, &b]) }.start();
    // Each hears it from the one that it dialled.
    let words = |mine: String, theirs: String| {
        format!(
            "speaks version {mine} of the format, the other one {theirs}: update the older one, version by version"
        )
    };
    let (old_words, new_words) =
        (format!("{} to {newest}", VERSIONS.start()), format!("{} to {}", newest + 1, newest + 2));
    let (told_old, told_new) = (words(new_words.clone(), old_words.clone()), words(old_words, new_words));
    tokio::join!(old.link_error(&b, &told_old), new.link_error(&a, &told_new));
}
