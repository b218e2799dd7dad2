//! What applications send, and what their clients are answered.

use std::sync::Arc;

use bytes::Bytes;
use rauthy_agent::mesh::wire;
use rauthy_agent::serve::deadline::{LONGEST, time_left};
use rauthy_agent::serve::requests::{self, Mode, Wanted};
use rauthy_client::{Seen, limits};
use rauthy_core::message::{Body, Forward};
use rauthy_core::{Boot, Incarnation, Message, Slot};
use rauthy_proto::cache as proto;
use rauthy_proto::codec::Bounded;
use tonic::metadata::{MetadataMap, MetadataValue};

use crate::random::Random;
use crate::schema::{SLOTS, Schema};
use crate::{Check, Target, holds};

const REQUESTS: [&str; 7] = ["Get", "Put", "Delete", "Take", "Increment", "Clear", "Declare"];

/// Requests; the first byte says of which call. What is taken from an application can be forwarded to the leader.
pub struct Requests(pub Arc<Schema>);

fn read(kind: u8, bytes: Bytes) -> Option<Result<Wanted, proto::GetRequest>> {
    fn as_read<M: Bounded>(bytes: Bytes) -> Option<M> {
        M::bounded(bytes).ok()
    }
    Some(Ok(match kind % 7 {
        0 => return Some(Err(as_read(bytes)?)),
        1 => requests::put(as_read(bytes)?),
        2 => requests::delete(as_read(bytes)?),
        3 => requests::take(as_read(bytes)?),
        4 => requests::increment(as_read(bytes)?),
        5 => requests::clear(as_read(bytes)?),
        _ => requests::declare(as_read(bytes)?),
    }))
}

impl Target for Requests {
    fn name(&self) -> &'static str {
        "cache-request"
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        let kind = random.below(REQUESTS.len());
        let name = REQUESTS.get(kind).copied().unwrap_or_default();
        let mut out = vec![u8::try_from(kind).unwrap_or(0)];
        out.extend(self.0.message(&format!(".rauthy.cache.v1.{name}Request"), random));
        out
    }

    fn run<'a>(&'a self, bytes: &'a [u8]) -> Option<Check<'a>> {
        let (kind, bytes) = bytes.split_first()?;
        // Longer ones are refused by their length.
        let bytes = Some(bytes).filter(|bytes| bytes.len() <= limits::MESSAGE)?;
        match read(*kind, Bytes::copy_from_slice(bytes))? {
            Ok(wanted) => {
                let (request, level, stamp) = wanted.ok()?;
                Some(Box::new(move || {
                    let from = Incarnation { slot: Slot::new(SLOTS[1]), boot: Boot(1) };
                    let body = Body::Forward(Forward { id: 1, stamp, request, level });
                    let to = Slot::new(SLOTS[0]);
                    let message = Message { from, to, to_boot: None, generation: None, body };
                    let again = wire::decode(wire::encode(message.clone()));
                    holds(again.as_ref() == Ok(&message), || format!("{message:?} is forwarded as {again:?}"))
                }))
            }
            Err(get) => {
                let mode = requests::get(&get).ok()?;
                Some(Box::new(move || match mode {
                    Mode::Session(position) => holds(requests::token(Some(position)) == get.session, || {
                        format!("{position:?} is another")
                    }),
                    Mode::Local | Mode::Linearizable => Ok(()),
                }))
            }
        }
    }
}

/// Answers, as a client reads them; the first byte says which.
pub struct Answers(pub Arc<Schema>);

fn same<M: Bounded + PartialEq + std::fmt::Debug>(bytes: Bytes) -> Option<Check<'static>> {
    let message = M::bounded(bytes).ok()?;
    Some(Box::new(move || {
        let again = M::decode(message.encode_to_vec().as_slice());
        holds(again.as_ref() == Ok(&message), || format!("{message:?} is read as {again:?}"))
    }))
}

impl Target for Answers {
    fn name(&self) -> &'static str {
        "cache-answer"
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        let names = ["Get", "Status"];
        let kind = random.below(names.len());
        let mut out = vec![u8::try_from(kind).unwrap_or(0)];
        let name = names.get(kind).copied().unwrap_or_default();
        out.extend(self.0.message(&format!(".rauthy.cache.v1.{name}Response"), random));
        out
    }

    fn run<'a>(&'a self, bytes: &'a [u8]) -> Option<Check<'a>> {
        let (kind, bytes) = bytes.split_first()?;
        let bytes = Bytes::copy_from_slice(bytes);
        if kind % 2 == 1 {
            return same::<proto::StatusResponse>(bytes);
        }
        let token = proto::GetResponse::bounded(bytes).ok()?.session;
        let seen = Seen::parse(&token)?;
        Some(Box::new(move || holds(seen.to_bytes() == token, || format!("{seen:?} is another"))))
    }
}

/// The header `grpc-timeout`.
pub struct Deadlines;

impl Target for Deadlines {
    fn name(&self) -> &'static str {
        "deadline"
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        let unit = random.choose(&["H", "M", "S", "m", "u", "n", "x", ""]).copied().unwrap_or_default();
        format!("{}{unit}", random.number()).into_bytes()
    }

    fn run<'a>(&'a self, bytes: &'a [u8]) -> Option<Check<'a>> {
        let mut metadata = MetadataMap::new();
        metadata.insert("grpc-timeout", MetadataValue::try_from(bytes).ok()?);
        let left = time_left(&metadata);
        Some(Box::new(move || holds(left <= LONGEST, || format!("{left:?} is more than {LONGEST:?}"))))
    }
}
