//! The denser form says the same, and nothing in it can do harm either.

use proptest::collection::vec;
use proptest::prelude::*;
use rauthy_proto::codec::MOST;

use super::super::packed::{Packer, Unpacker};
use super::*;

pub(super) fn write(messages: impl IntoIterator<Item = Message>) -> Bytes {
    let mut packer = Packer::default();
    messages.into_iter().for_each(|message| packer.put(message));
    packer.finish()
}

pub(super) fn read(frame: Bytes) -> Result<Vec<Message>, WireError> {
    Unpacker::new(frame).collect()
}

/// As a stream has them: mostly of the same sender, receiver and generation, and of few caches.
fn stream() -> impl Strategy<Value = Vec<Message>> {
    vec((message(), any::<bool>()), 0..8).prop_map(|messages| {
        let mut messages = messages.into_iter();
        let Some((first, _)) = messages.next() else { return Vec::new() };
        let mut all = vec![first.clone()];
        all.extend(messages.map(|(other, alike)| match alike {
            true => Message { body: other.body, ..first.clone() },
            false => other,
        }));
        all
    })
}

proptest! {
    #[test]
    fn what_is_said_arrives_packed(messages in stream()) {
        prop_assert_eq!(read(write(messages.clone())), Ok(messages));
    }

    #[test]
    fn damage_of_a_frame_is_an_error_or_says_something_else(
        messages in stream(), at in any::<usize>(), to in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut bytes = write(messages).to_vec();
        prop_assume!(!bytes.is_empty());
        let at = at % bytes.len();
        if cut { bytes.truncate(at) } else { bytes[at] = to }
        if let Ok(messages) = read(bytes.into()) {
            prop_assert_eq!(read(write(messages.clone())), Ok(messages));
        }
    }

    #[test]
    fn garbage_in_a_frame_does_no_harm(bytes in vec(any::<u8>(), 0..200)) {
        let _ = read(bytes.into());
    }
}

fn put(n: u64) -> Payload {
    let (cache, key): (Arc<str>, _) = ("sessions".into(), Bytes::from(n.to_be_bytes().to_vec()));
    let value = Bytes::from(vec![7; 100]);
    let op = Op::Put { cache, key, value, expires_at: None, condition: Condition::Always };
    Payload::Write { tag: Some(rauthy_core::log::Tag { session: 300, seq: n, floor: n }), op }
}

#[test]
fn what_is_the_same_is_said_once() {
    let one = write([append(vec![put(1)])]).len();
    let two = write([append(vec![put(1), put(2)])]).len();
    assert_eq!(two - one, 8 + 100 + 8, "an entry more: key, value, and a few bytes");
    let again = write([append(vec![put(1)]), append(vec![put(1)])]).len();
    assert!(again < 2 * one - 30, "{one}, {again}: the second one does not say again who speaks");
    let small = write([append(vec![])]).len();
    assert!(small < 48, "a heartbeat has {small} bytes");
}

#[test]
fn a_frame_after_another_stands_for_itself() {
    let mut packer = Packer::default();
    let messages = [append(vec![put(1)]), append(vec![put(2)])];
    let frames = messages.clone().map(|message| {
        assert!(packer.is_empty() && packer.messages() == 0);
        packer.put(message);
        assert_eq!(packer.messages(), 1);
        packer.finish()
    });
    assert_eq!(frames.map(|frame| read(frame).unwrap().remove(0)), messages);
}

#[test]
fn entries_that_do_not_follow_are_not_renumbered() {
    let mut message = append(vec![put(1), put(2)]);
    let Body::Append(body) = &mut message.body else { panic!() };
    body.prev_index = 1;
    assert_eq!(read(write([message])), Err(WireError::Bounds("the index of an entry")));
}

#[test]
fn parts_are_counted_before_there_is_room_for_them() {
    // An append that says it has so many entries.
    let frame = |entries: u64, bytes: usize| {
        let mut frame = write([append(vec![])]).to_vec();
        assert_eq!(frame.pop(), Some(0));
        let mut left = entries;
        while left >= 0x80 {
            frame.push(left.to_le_bytes()[0] | 0x80);
            left >>= 7;
        }
        frame.push(left.to_le_bytes()[0]);
        frame.extend(std::iter::repeat_n(0, bytes));
        read(frame.into())
    };
    assert_eq!(frame(u64::MAX, 0), Err(WireError::Bounds("the number of entries")));
    assert_eq!(frame(MOST as u64, MOST), Err(WireError::Bounds("the number of entries")));
    assert_eq!(frame(1000, 999), Err(WireError::Short));
    // Protocol buffers within are counted as those of a stream of their own.
    let empty = vec![proto::Entry::default(); 1000];
    let inner = proto::Message {
        body: Some(Wire::Append(proto::Append { entries: empty, ..Default::default() })),
        ..Default::default()
    };
    let inner = inner.encode_to_vec();
    let mut frame = vec![0];
    prost::encode_length_delimiter(inner.len(), &mut frame).unwrap();
    frame.extend(inner);
    assert_eq!(read(frame.into()), Err(WireError::Inner("a message")));
}

#[test]
fn what_no_version_has_is_named() {
    let frame = write([append(vec![put(1)])]);
    let changed = |at: usize, to: u8| {
        let mut frame = frame.to_vec();
        frame[at] = to;
        read(frame.into())
    };
    assert_eq!(changed(0, 5), Err(WireError::Unknown("the kind of a message")));
    assert_eq!(changed(0, 0x81), Err(WireError::Missing("an envelope")), "there is none before the first");
    assert_eq!(changed(1, 4), Err(WireError::Unknown("an envelope")));
    assert_eq!(changed(3, 0xff), Err(WireError::NotText("a slot")));
    let mut after = frame.to_vec();
    after.push(0x89);
    assert_eq!(read(after.into()), Err(WireError::Unknown("the kind of a message")));
    for length in 1..frame.len() {
        assert!(read(frame.slice(..length)).is_err(), "{length} bytes of it");
    }
}
