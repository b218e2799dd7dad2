//! Everything that can be said survives the wire, and nothing that a peer sends can do harm.

use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;
use rauthy_core::config::{Configuration, Seats};
use rauthy_core::log::{Entry, Payload};
use rauthy_core::message::{Base, Forward, ForwardReply, SnapshotChunk};
use rauthy_core::store::Record;
use rauthy_core::{AckLevel, Done, Incarnation, LogTime, Refusal, Request, Slot, Span, Time};

use super::*;

fn number() -> impl Strategy<Value = u64> + Clone {
    prop_oneof![0_u64..4, 0..=1_u64 << 52]
}
fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}
fn cache() -> impl Strategy<Value = Arc<str>> {
    "[a-zäß]{1,20}".prop_map(Arc::from)
}
fn slot() -> impl Strategy<Value = Slot> {
    "[a-z0-9.-]{1,30}:[0-9]{1,5}".prop_map(|s| Slot::new(&s))
}
fn who() -> impl Strategy<Value = Incarnation> {
    (slot(), any::<u128>()).prop_map(|(slot, boot)| Incarnation { slot, boot: Boot(boot) })
}
fn configuration() -> impl Strategy<Value = Arc<Configuration>> {
    let seats = vec((slot(), who()), 0..5).prop_map(|s| s.into_iter().collect::<Seats>());
    (vec(vec(slot(), 1..5), 1..=2), vec(seats, 1..=2))
        .prop_map(|(lists, maps)| Arc::new(Configuration { lists, maps }))
}
fn payload() -> impl Strategy<Value = Payload> {
    prop_oneof![
        Just(Payload::Noop),
        configuration().prop_map(Payload::Configuration),
        (cache(), bytes(), bytes(), option::of(number().prop_map(LogTime)))
            .prop_map(|(cache, key, value, expires_at)| Payload::Put { cache, key, value, expires_at }),
        (cache(), bytes()).prop_map(|(cache, key)| Payload::Delete { cache, key }),
        (cache(), bytes(), number()).prop_map(|(cache, key, version)| Payload::Expire {
            cache,
            key,
            version
        }),
    ]
}
fn append_body() -> impl Strategy<Value = Body> {
    let grant = (number(), number()).prop_map(|(e, r)| Grant { echo: Time(e), rest: Span(r) });
    (vec(number(), 6), number(), option::of(grant), vec((number(), number(), payload()), 0..4)).prop_map(
        |(n, log_time, grant, entries)| {
            let entries = entries.into_iter().enumerate().map(|(i, (term, time, payload))| {
                Arc::new(Entry { term, index: n[1] + 1 + i as u64, time: LogTime(time), payload })
            });
            Body::Append(Append {
                term: n[0],
                prev_index: n[1],
                prev_term: n[2],
                commit: n[3],
                founding_epoch: n[4],
                sent_at: Time(n[5]),
                log_time: LogTime(log_time),
                grant,
                entries: entries.collect(),
            })
        },
    )
}
fn chunk_body() -> impl Strategy<Value = Body> {
    let record = (cache(), bytes(), bytes(), number(), option::of(number().prop_map(LogTime))).prop_map(
        |(cache, key, value, version, expires_at)| Record { cache, key, value, version, expires_at },
    );
    (vec(number(), 7), any::<(u32, u32, bool, bool)>(), configuration(), vec(record, 0..4)).prop_map(
        |(n, (shard, part, shard_done, done), configuration, records)| {
            let base =
                Base { index: n[2], term: n[3], time: LogTime(n[4]), configuration, founding_epoch: n[5] };
            Body::SnapshotChunk(SnapshotChunk {
                term: n[0],
                id: n[1],
                base,
                shard,
                part,
                shard_done,
                done,
                shard_applied: n[6],
                records,
            })
        },
    )
}
fn forward_body() -> impl Strategy<Value = Body> {
    let request = prop_oneof![
        (cache(), bytes(), bytes(), option::of(number().prop_map(Span)))
            .prop_map(|(cache, key, value, ttl)| Request::Put { cache, key, value, ttl }),
        (cache(), bytes()).prop_map(|(cache, key)| Request::Delete { cache, key }),
    ];
    let level = prop_oneof![Just(AckLevel::Leader), Just(AckLevel::Quorum)];
    (any::<u64>(), request, level)
        .prop_map(|(id, request, level)| Body::Forward(Forward { id, request, level }))
}
fn reply_body() -> impl Strategy<Value = Body> {
    let result = prop_oneof![
        (number(), any::<bool>()).prop_map(|(version, existed)| Ok(Done { version, existed })),
        Just(Err(Refusal::NoQuorum)),
        Just(Err(Refusal::UnknownOutcome)),
        Just(Err(Refusal::Limit)),
        Just(Err(Refusal::NotLeader)),
    ];
    (any::<u64>(), result).prop_map(|(id, result)| Body::ForwardReply(ForwardReply { id, result }))
}
fn small_body() -> impl Strategy<Value = Body> {
    let ballot = (number(), who()).prop_map(|(round, founder)| Ballot { round, founder });
    (0..13, vec(number(), 6), any::<(bool, bool)>(), option::of(number()), ballot, any::<u128>()).prop_map(
        |(kind, n, (a, b), maybe, ballot, name)| {
            let revoke = Revoke { term: n[0] };
            match kind {
                0 => Body::Ping(Ping { free: a, leader_heard: maybe.map(Span), epoch: n[0], term: n[1] }),
                1 => Body::Found(Found { ballot, generation: Generation(name), epoch: n[0] }),
                2 => Body::Promise(Promise { ballot, granted: a, highest_round: n[0] }),
                3 => Body::PreVote(PreVote {
                    term: n[0],
                    last_index: n[1],
                    last_term: n[2],
                    founding_epoch: n[3],
                }),
                4 => Body::PreVoteReply(PreVoteReply { term: n[0], granted: a, leader_alive: b }),
                5 => Body::Vote(Vote {
                    term: n[0],
                    last_index: n[1],
                    last_term: n[2],
                    founding_epoch: n[3],
                    handed_over_by: maybe,
                }),
                6 => Body::VoteReply(VoteReply { term: n[0], granted: a }),
                7 => Body::AppendReply(AppendReply {
                    term: n[0],
                    accepted: a,
                    index: n[1],
                    sent_at: Time(n[2]),
                    clock: Time(n[3]),
                    applied: n[4],
                }),
                8 => Body::SnapshotReply(SnapshotReply {
                    term: n[0],
                    id: n[1],
                    shard: 3,
                    part: 7,
                    installed: a,
                    restart: b,
                }),
                9 => Body::Revoke(revoke),
                10 => Body::RevokeReply(revoke),
                11 => Body::TimeoutNow(revoke),
                _ => Body::Behind(revoke),
            }
        },
    )
}
fn message() -> impl Strategy<Value = Message> {
    let body = prop_oneof![
        4 => small_body(),
        2 => append_body(),
        1 => chunk_body(),
        1 => forward_body(),
        1 => reply_body(),
    ];
    (who(), slot(), option::of(any::<u128>()), option::of(any::<u128>()), body).prop_map(
        |(from, to, to_boot, generation, body)| Message {
            from,
            to,
            to_boot: to_boot.map(Boot),
            generation: generation.map(Generation),
            body,
        },
    )
}

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

#[test]
fn bounds_are_kept() {
    let from = Incarnation { slot: Slot::new("a:1"), boot: Boot(1) };
    let message =
        |body| Message { from: from.clone(), to: Slot::new("b:1"), to_boot: None, generation: None, body };
    let far = message(Body::Ping(Ping { free: true, leader_heard: Some(Span(u64::MAX)), epoch: 0, term: 0 }));
    assert_eq!(decode(encode(far)), Err(WireError::Bounds("a time")));
    let key = Bytes::from(vec![0; (64 << 10) + 1]);
    let request = Request::Delete { cache: "c".into(), key };
    let large = message(Body::Forward(Forward { id: 1, request, level: AckLevel::Quorum }));
    assert_eq!(decode(encode(large)), Err(WireError::Bounds("a key")));
    assert_eq!(decode(proto::Message::default()), Err(WireError::Missing("the receiver")));
}

#[test]
fn nothing_that_is_kept_holds_the_read_buffer() {
    let from = Incarnation { slot: Slot::new("a:1"), boot: Boot(1) };
    let (key, value) = (Bytes::from_static(b"key"), Bytes::from_static(b"value"));
    let payloads = [
        Payload::Put { cache: "c".into(), key: key.clone(), value: value.clone(), expires_at: None },
        Payload::Delete { cache: "c".into(), key: key.clone() },
        Payload::Expire { cache: "c".into(), key: key.clone(), version: 1 },
    ];
    let entries = payloads
        .into_iter()
        .zip(1..)
        .map(|(payload, index)| Arc::new(Entry { term: 1, index, time: LogTime(0), payload }));
    let append = Append {
        term: 1,
        prev_index: 0,
        prev_term: 0,
        commit: 0,
        founding_epoch: 0,
        sent_at: Time(0),
        log_time: LogTime(0),
        grant: None,
        entries: entries.collect(),
    };
    let configuration =
        Arc::new(Configuration { lists: vec![vec![Slot::new("a:1")]], maps: vec![Seats::default()] });
    let chunk = SnapshotChunk {
        term: 1,
        id: 1,
        base: Base { index: 1, term: 1, time: LogTime(0), configuration, founding_epoch: 0 },
        shard: 0,
        part: 0,
        shard_done: true,
        done: true,
        shard_applied: 1,
        records: vec![Record {
            cache: "c".into(),
            key: key.clone(),
            value: value.clone(),
            version: 1,
            expires_at: None,
        }],
    };
    let forward = |request| Body::Forward(Forward { id: 1, request, level: AckLevel::Quorum });
    let bodies = [
        Body::Append(append),
        Body::SnapshotChunk(chunk),
        forward(Request::Put { cache: "c".into(), key: key.clone(), value, ttl: None }),
        forward(Request::Delete { cache: "c".into(), key }),
    ];
    for body in bodies {
        let message =
            Message { from: from.clone(), to: Slot::new("b:1"), to_boot: None, generation: None, body };
        let mut buffer = Bytes::from(encode(message.clone()).encode_to_vec());
        // Makes the buffer one that counts who holds it.
        let whole = buffer.clone();
        let read = decode(proto::Message::decode(&mut buffer).unwrap()).unwrap();
        drop(buffer);
        assert!(whole.is_unique(), "{read:?} holds it");
        assert_eq!(read, message);
    }
}
