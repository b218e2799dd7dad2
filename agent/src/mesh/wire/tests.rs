//! Everything that can be said survives the wire, and nothing that a peer sends can do harm.

use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message as _;
use rauthy_core::config::{Configuration, Seats};
use rauthy_core::log::{Entry, Op, Payload, Why};
use rauthy_core::message::{Base, Forward, ForwardReply, SnapshotChunk};
use rauthy_core::store::{Record, SHARDS};
use rauthy_core::{AckLevel, Condition, Done, Effect, Incarnation, LogTime, Request, Slot, Span, Time};

use super::*;

mod anything;
mod packed;
use anything::message;

proptest! {
    #[test]
    fn what_is_said_arrives(message in message()) {
        let bytes = encode(message.clone()).encode_to_vec();
        let read = decode(proto::Message::decode(bytes.as_slice()).unwrap());
        prop_assert_eq!(read, Ok(message));
    }

    #[test]
    fn damage_is_an_error_or_another_message(message in message(), at in any::<usize>(), to in any::<u8>()) {
        let mut bytes = encode(message).encode_to_vec();
        let at = at % bytes.len();
        bytes[at] = to;
        if let Ok(damaged) = proto::Message::decode(bytes.as_slice())
            && let Ok(read) = decode(damaged)
        {
            // Whatever was understood is something that can be said.
            prop_assert_eq!(decode(encode(read.clone())), Ok(read));
        }
    }

    #[test]
    fn garbage_does_no_harm(bytes in vec(any::<u8>(), 0..200)) {
        if let Ok(message) = proto::Message::decode(bytes.as_slice()) {
            let _ = decode(message);
        }
    }
}

fn from() -> Incarnation {
    Incarnation { slot: Slot::new("a:1"), boot: Boot(1) }
}

fn said(body: Body) -> Message {
    Message { from: from(), to: Slot::new("b:1"), to_boot: None, generation: None, body }
}

fn forward(request: Request) -> Message {
    said(Body::Forward(Forward { id: 1, stamp: None, request, level: AckLevel::Quorum }))
}

fn append(payloads: Vec<Payload>) -> Message {
    let entries = payloads
        .into_iter()
        .zip(1..)
        .map(|(payload, index)| Arc::new(Entry { term: 1, index, time: LogTime(0), payload }));
    said(Body::Append(Append {
        term: 1,
        prev_index: 0,
        prev_term: 0,
        commit: 0,
        founding_epoch: 0,
        sent_at: Time(0),
        log_time: LogTime(0),
        grant: None,
        entries: entries.collect(),
    }))
}

fn configuration() -> Configuration {
    let seats = Seats::from([(from().slot, from())]);
    Configuration { epoch: 0, resizing: false, lists: vec![vec![from().slot]], maps: vec![seats] }
}

fn chunk(shard: u32, records: Vec<Record>) -> Message {
    let configuration = Arc::new(configuration());
    said(Body::SnapshotChunk(SnapshotChunk {
        term: 1,
        id: 1,
        base: Base { index: 1, term: 1, time: LogTime(0), configuration, founding_epoch: 0 },
        shard,
        part: 0,
        shard_done: true,
        done: true,
        shard_applied: 1,
        records,
    }))
}

#[test]
fn bounds_are_kept() {
    let far = Body::Ping(Ping { free: true, leader_heard: Some(Span(u64::MAX)), epoch: 0, term: 0 });
    let large = Bytes::from(vec![0; (1 << 20) + 1]);
    let name: Arc<str> = "c".repeat(257).into();
    let a: Arc<str> = "c".into();
    let key = Bytes::from_static(b"k");
    let configured = |change: fn(&mut Configuration)| {
        let mut configuration = configuration();
        change(&mut configuration);
        append(vec![Payload::Configuration(Arc::new(configuration))])
    };
    let taken = Done { version: 1, effect: Effect::Taken(Some(large.clone())) };
    let table = [
        (said(far), "a time"),
        (forward(Request::Delete { cache: a.clone(), key: large.slice(..(64 << 10) + 1) }), "a key"),
        (forward(Request::Clear { cache: name.clone() }), "a cache's name"),
        (forward(Request::Clear { cache: "".into() }), "a cache's name"),
        (
            forward(Request::Put {
                cache: a.clone(),
                key: key.clone(),
                value: large.clone(),
                ttl: None,
                condition: Condition::Always,
            }),
            "a value",
        ),
        (
            forward(Request::Put {
                cache: a.clone(),
                key: key.clone(),
                value: key.clone(),
                ttl: Some(Span(u64::MAX)),
                condition: Condition::Always,
            }),
            "a time",
        ),
        (
            forward(Request::Put {
                cache: a.clone(),
                key: key.clone(),
                value: key.clone(),
                ttl: None,
                condition: Condition::Version(u64::MAX),
            }),
            "a number",
        ),
        (said(Body::ForwardReply(ForwardReply { id: 1, result: Ok(taken) })), "a value"),
        (append(vec![Payload::EndSession { session: u64::MAX }]), "a number"),
        (chunk(SHARDS, Vec::new()), "a shard"),
        (chunk(0, vec![Record::Floor { session: 1, floor: u64::MAX }]), "a number"),
        (configured(|c| c.lists.clear()), "a configuration"),
        (configured(|c| c.maps = vec![Seats::default(); 3]), "a configuration"),
        (configured(|c| c.maps = vec![Seats::default()]), "a seat map"),
        (configured(|c| c.lists = vec![Vec::new()]), "a slot list"),
        (configured(|c| c.lists = vec![vec![from().slot; 2]]), "a slot list"),
        (
            configured(|c| c.lists = vec![(0..33).map(|n| Slot::new(&format!("n{n}:1"))).collect()]),
            "a slot list",
        ),
    ];
    for (message, part) in table {
        assert_eq!(decode(encode(message.clone())), Err(WireError::Bounds(part)), "{message:?}");
        assert_eq!(
            packed::read(packed::write([message.clone()])),
            Err(WireError::Bounds(part)),
            "{message:?}"
        );
    }
}

#[test]
fn what_is_missing_or_unknown_is_named() {
    assert_eq!(decode(proto::Message::default()), Err(WireError::Missing("the receiver")));
    let right = encode(forward(Request::OpenSession));
    assert!(decode(right.clone()).is_ok());
    let changed = |change: fn(&mut proto::Forward)| {
        let mut message = right.clone();
        let Some(Wire::Forward(forward)) = &mut message.body else { panic!("{message:?}") };
        change(forward);
        decode(message)
    };
    assert_eq!(changed(|f| f.level = 0), Err(WireError::Unknown("an ack level")));
    assert_eq!(changed(|f| f.level = 6), Err(WireError::Unknown("an ack level")));
    assert_eq!(changed(|f| f.request = None), Err(WireError::Missing("what is to be written")));
    let request = Some(proto::forward::Request::OpenSession(proto::Nothing {}));
    let stamp = proto::Stamp { generation: vec![1; 15].into(), ..Default::default() };
    let mut message = right.clone();
    message.body =
        Some(Wire::Forward(proto::Forward { stamp: Some(stamp), level: 4, request, ..Default::default() }));
    assert_eq!(decode(message), Err(WireError::NotAName("a generation")));
    let reply = |result| proto::ForwardReply { id: 1, result };
    for (code, wanted) in [(0, false), (1, true), (5, false), (10, true), (18, true), (19, false)] {
        let result = Some(proto::forward_reply::Result::Refusal(code));
        assert_eq!(results::reply(reply(result)).is_ok(), wanted, "{code}");
    }
    assert_eq!(results::reply(reply(None)), Err(WireError::Missing("a result")));
}

#[test]
fn nothing_that_is_kept_holds_the_read_buffer() {
    let (key, value) = (Bytes::from_static(b"key"), Bytes::from_static(b"value"));
    let cache: Arc<str> = "c".into();
    let write = |op| Payload::Write { tag: None, op };
    let (c, k, v) = (|| cache.clone(), || key.clone(), || value.clone());
    let entries = append(vec![
        write(Op::Put { cache: c(), key: k(), value: v(), expires_at: None, condition: Condition::Always }),
        write(Op::Delete { cache: c(), key: k() }),
        write(Op::Take { cache: c(), key: k() }),
        write(Op::Increment { cache: c(), key: k(), by: -1, expires_at: None }),
        Payload::Remove { cache: c(), key: k(), version: 1, why: Why::Expired },
    ]);
    let done = Done { version: 1, effect: Effect::Taken(Some(v())) };
    let records = vec![
        Record::Value { cache: c(), key: k(), value: v(), version: 1, expires_at: None },
        Record::Outcome { session: 1, seq: 1, done: done.clone() },
    ];
    let messages = [
        entries,
        chunk(0, records),
        forward(Request::Put { cache: c(), key: k(), value: v(), ttl: None, condition: Condition::Always }),
        forward(Request::Delete { cache: c(), key: k() }),
        forward(Request::Take { cache: c(), key: k() }),
        forward(Request::Increment { cache: c(), key: k(), by: 1, ttl: None }),
        said(Body::ForwardReply(ForwardReply { id: 1, result: Ok(done) })),
    ];
    for message in messages {
        let mut buffer = Bytes::from(encode(message.clone()).encode_to_vec());
        // Makes the buffer one that counts who holds it.
        let whole = buffer.clone();
        let read = decode(proto::Message::decode(&mut buffer).unwrap()).unwrap();
        drop(buffer);
        assert!(whole.is_unique(), "{read:?} holds it");
        assert_eq!(read, message);
        let frame = packed::write([message.clone()]);
        let whole = frame.clone();
        let read = packed::read(frame).unwrap();
        assert!(whole.is_unique(), "{read:?} holds it");
        assert_eq!(read, [message]);
    }
}
