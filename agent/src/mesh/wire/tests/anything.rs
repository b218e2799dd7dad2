//! Everything that can be said.

use std::sync::Arc;

use bytes::Bytes;
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use rauthy_core::config::{Configuration, Seats};
use rauthy_core::log::{Entry, Op, Payload, Tag, Why};
use rauthy_core::message::{Base, Forward, ForwardReply, ReadIndex, ReadIndexReply, SnapshotChunk};
use rauthy_core::store::{Record, SHARDS};
use rauthy_core::{
    AckLevel, Condition, Done, Effect, Incarnation, Limit, Limits, LogTime, Refusal, Request, Slot, Span,
    Stamp, Time, WhenFull,
};

use super::super::*;

fn number() -> impl Strategy<Value = u64> + Clone {
    prop_oneof![0_u64..4, 0..=1_u64 << 52]
}
fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}
fn cache() -> impl Strategy<Value = Arc<str>> {
    "[a-zäß]{1,20}".prop_map(Arc::from)
}
fn key() -> impl Strategy<Value = (Arc<str>, Bytes)> {
    (cache(), bytes())
}
fn slot() -> impl Strategy<Value = Slot> {
    "[a-z0-9.-]{1,30}:[0-9]{1,5}".prop_map(|s| Slot::new(&s))
}
fn who() -> impl Strategy<Value = Incarnation> {
    (slot(), any::<u128>()).prop_map(|(slot, boot)| Incarnation { slot, boot: Boot(boot) })
}
fn span() -> impl Strategy<Value = Option<Span>> {
    option::of(number().prop_map(Span))
}
fn end() -> impl Strategy<Value = Option<LogTime>> {
    option::of(number().prop_map(LogTime))
}
fn configuration() -> impl Strategy<Value = Arc<Configuration>> {
    let seats = vec(who(), 1..5).prop_map(|s| s.into_iter().map(|w| (w.slot.clone(), w)).collect::<Seats>());
    let list = btree_set(slot(), 1..5).prop_map(|s| s.into_iter().collect());
    (number(), any::<bool>(), vec(list, 1..=2), vec(seats, 1..=2))
        .prop_map(|(epoch, resizing, lists, maps)| Arc::new(Configuration { epoch, resizing, lists, maps }))
}
fn condition() -> impl Strategy<Value = Condition> {
    prop_oneof![Just(Condition::Always), Just(Condition::Absent), number().prop_map(Condition::Version)]
}
fn limits() -> impl Strategy<Value = Limits> {
    (option::of(number()), option::of(number()), span(), any::<(bool, bool)>()).prop_map(
        |(entries, bytes, ttl, (evict, direct))| Limits {
            entries,
            bytes,
            ttl,
            when_full: if evict { WhenFull::Evict } else { WhenFull::Reject },
            direct,
        },
    )
}
fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        (key(), bytes(), end(), condition()).prop_map(|((cache, key), value, expires_at, condition)| {
            Op::Put { cache, key, value, expires_at, condition }
        }),
        key().prop_map(|(cache, key)| Op::Delete { cache, key }),
        key().prop_map(|(cache, key)| Op::Take { cache, key }),
        (key(), any::<i64>(), end()).prop_map(|((cache, key), by, expires_at)| Op::Increment {
            cache,
            key,
            by,
            expires_at
        }),
        cache().prop_map(|cache| Op::Clear { cache }),
        (cache(), limits()).prop_map(|(cache, limits)| Op::Declare { cache, limits }),
        Just(Op::OpenSession),
    ]
}
fn payload() -> impl Strategy<Value = Payload> {
    let tag = (number(), number(), number()).prop_map(|(session, seq, floor)| Tag { session, seq, floor });
    prop_oneof![
        Just(Payload::Noop),
        configuration().prop_map(Payload::Configuration),
        (option::of(tag), op()).prop_map(|(tag, op)| Payload::Write { tag, op }),
        (key(), number(), any::<bool>()).prop_map(|((cache, key), version, evicted)| Payload::Remove {
            cache,
            key,
            version,
            why: if evicted { Why::Evicted } else { Why::Expired },
        }),
        number().prop_map(|session| Payload::EndSession { session }),
        (number(), number()).prop_map(|(session, floor)| Payload::Floor { session, floor }),
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
fn done() -> impl Strategy<Value = Done> {
    let effect = prop_oneof![
        Just(Effect::Accepted),
        Just(Effect::Nothing),
        any::<bool>().prop_map(|existed| Effect::Put { existed }),
        any::<bool>().prop_map(|existed| Effect::Deleted { existed }),
        option::of(bytes()).prop_map(Effect::Taken),
        any::<i64>().prop_map(Effect::Number),
        number().prop_map(|values| Effect::Cleared { values }),
        option::of(number()).prop_map(|version| Effect::Unmet { version }),
        Just(Effect::NotANumber),
        Just(Effect::Declared),
        Just(Effect::Opened),
        Just(Effect::Unknown),
    ];
    (number(), effect).prop_map(|(version, effect)| Done { version, effect })
}
fn record() -> impl Strategy<Value = Record> {
    prop_oneof![
        (key(), bytes(), number(), end()).prop_map(|((cache, key), value, version, expires_at)| {
            Record::Value { cache, key, value, version, expires_at }
        }),
        (cache(), limits()).prop_map(|(cache, limits)| Record::Cache { cache, limits }),
        number().prop_map(|session| Record::Session { session }),
        (number(), number()).prop_map(|(session, floor)| Record::Floor { session, floor }),
        (number(), number(), done()).prop_map(|(session, seq, done)| Record::Outcome { session, seq, done }),
    ]
}
fn chunk_body() -> impl Strategy<Value = Body> {
    let flags = (0..SHARDS, any::<(u32, bool, bool)>());
    (vec(number(), 7), flags, configuration(), vec(record(), 0..4)).prop_map(
        |(n, (shard, (part, shard_done, done)), configuration, records)| {
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
        (key(), bytes(), span(), condition()).prop_map(|((cache, key), value, ttl, condition)| {
            Request::Put { cache, key, value, ttl, condition }
        }),
        key().prop_map(|(cache, key)| Request::Delete { cache, key }),
        key().prop_map(|(cache, key)| Request::Take { cache, key }),
        (key(), any::<i64>(), span()).prop_map(|((cache, key), by, ttl)| Request::Increment {
            cache,
            key,
            by,
            ttl
        }),
        cache().prop_map(|cache| Request::Clear { cache }),
        (cache(), limits()).prop_map(|(cache, limits)| Request::Declare { cache, limits }),
        Just(Request::OpenSession),
    ];
    let level = prop_oneof![
        Just(AckLevel::Direct),
        Just(AckLevel::Leader),
        Just(AckLevel::Once),
        Just(AckLevel::Quorum),
        Just(AckLevel::All),
    ];
    let stamp =
        (any::<u128>(), number(), number(), number()).prop_map(|(generation, session, seq, floor)| Stamp {
            generation: Generation(generation),
            session,
            seq,
            floor,
        });
    (any::<u64>(), option::of(stamp), request, level)
        .prop_map(|(id, stamp, request, level)| Body::Forward(Forward { id, stamp, request, level }))
}
fn refusal() -> impl Strategy<Value = Refusal> {
    let limit = prop_oneof![
        Just(Limit::Store),
        Just(Limit::Cache),
        Just(Limit::Pending),
        Just(Limit::Log),
        Just(Limit::Waiting),
        Just(Limit::Window),
        Just(Limit::Sessions),
        Just(Limit::Dedup),
        Just(Limit::Size),
    ];
    prop_oneof![
        Just(Refusal::NoQuorum),
        Just(Refusal::UnknownOutcome),
        Just(Refusal::Level),
        Just(Refusal::NotLeader),
        limit.prop_map(Refusal::Limit),
    ]
}
fn reply_body() -> impl Strategy<Value = Body> {
    let result = prop_oneof![done().prop_map(Ok), refusal().prop_map(Err)];
    (any::<u64>(), result).prop_map(|(id, result)| Body::ForwardReply(ForwardReply { id, result }))
}
fn read_body() -> impl Strategy<Value = Body> {
    let point = option::of((number(), number().prop_map(LogTime)));
    prop_oneof![
        any::<u64>().prop_map(|id| Body::ReadIndex(ReadIndex { id })),
        (any::<u64>(), point).prop_map(|(id, point)| Body::ReadIndexReply(ReadIndexReply { id, point })),
    ]
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

/// A message of any kind.
pub(super) fn message() -> impl Strategy<Value = Message> {
    let body = prop_oneof![
        4 => small_body(),
        3 => append_body(),
        2 => chunk_body(),
        2 => forward_body(),
        1 => reply_body(),
        1 => read_body(),
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
