//! What strangers send, on both sides of a handshake. Whatever it is: who does not know the token is nobody.
//!
//! The input is a sequence of frames, as the elements of a repeated field.

use std::sync::Arc;

use bytes::Bytes;
use rauthy_agent::config::Tokens;
use rauthy_agent::mesh::Me;
use rauthy_agent::mesh::handshake::{self, HandshakeError};
use rauthy_agent::mesh::queue::queue;
use rauthy_core::Slot;
use rauthy_proto::codec::Bounded;
use rauthy_proto::handshake::OPERATOR;
use rauthy_proto::mesh::refused::Reason;
use rauthy_proto::mesh::{Frame, Purpose};
use tokio::runtime::{Builder, Runtime};
use tonic::Status;

use crate::random::Random;
use crate::schema::{CLUSTER, SLOTS, Schema, put};
use crate::{Check, Target, holds};

/// Which side is this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It was called.
    Answer,
    /// It calls.
    Call,
}

/// A handshake with somebody who does not know the token.
pub struct Handshake {
    schema: Arc<Schema>,
    side: Side,
    me: Me,
    runtime: Runtime,
}

/// A member, the first of the slots.
pub(super) fn me() -> anyhow::Result<Me> {
    let slots: Vec<Slot> = SLOTS.iter().map(|slot| Slot::new(slot)).collect();
    let tokens = Tokens::parse("CACHE_AUTH_TOKEN", "a token that nobody can guess")?;
    Ok(Me::new(CLUSTER.into(), Slot::new(SLOTS[0]), [3; 16], slots, tokens))
}

impl Handshake {
    /// On this side.
    ///
    /// # Errors
    /// If it cannot be set up.
    pub fn new(schema: Arc<Schema>, side: Side) -> anyhow::Result<Self> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        Ok(Self { schema, side, me: me()?, runtime })
    }
}

/// The frames of an input, until one is none.
fn frames(mut bytes: Bytes) -> Vec<Result<Frame, Status>> {
    let mut out = Vec::new();
    while !bytes.is_empty() && out.len() < 8 {
        let key = prost::encoding::decode_varint(&mut bytes);
        let len = prost::encoding::decode_varint(&mut bytes).unwrap_or(u64::MAX);
        match usize::try_from(len) {
            Ok(len) if key.is_ok() && len <= bytes.len() => {
                let frame = Frame::bounded(bytes.split_to(len));
                out.push(frame.map_err(|e| Status::internal(e.to_string())));
            }
            _ => break,
        }
    }
    out
}

impl Target for Handshake {
    fn name(&self) -> &'static str {
        match self.side {
            Side::Answer => "handshake-answer",
            Side::Call => "handshake-call",
        }
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        let steps = match self.side {
            Side::Answer => [(1, ".rauthy.mesh.v1.Hello"), (3, ".rauthy.mesh.v1.Proof")],
            Side::Call => [(2, ".rauthy.mesh.v1.Challenge"), (4, ".rauthy.mesh.v1.Verdict")],
        };
        let mut out = Vec::new();
        for (number, name) in steps {
            let mut frame = Vec::new();
            put(number << 3 | 2, &self.schema.message(name, random), &mut frame);
            put(1 << 3 | 2, &frame, &mut out);
        }
        out
    }

    fn run<'a>(&'a self, bytes: &'a [u8]) -> Option<Check<'a>> {
        let mut rx = tokio_stream::iter(frames(Bytes::copy_from_slice(bytes)));
        let (tx, _out) = queue();
        let mut claimed = String::new();
        let result = self.runtime.block_on(async {
            let exporter = &[5; 32];
            match self.side {
                Side::Answer => {
                    handshake::answer(&self.me, exporter, &tx, &mut rx, &mut claimed, |_| Ok(())).await
                }
                Side::Call => {
                    let to = Slot::new(SLOTS[1]);
                    handshake::call(&self.me, Purpose::Control, &to, exporter, &tx, &mut rx, |_| Ok(())).await
                }
            }
        });
        let far = match &result {
            Ok(_) => true,
            Err(HandshakeError::Refused { reason, .. } | HandshakeError::RefusedByPeer { reason, .. }) => {
                *reason != Reason::Malformed
            }
            Err(HandshakeError::Ended(_)) => false,
        };
        if !far && claimed.is_empty() {
            return None;
        }
        Some(Box::new(move || {
            holds(result.is_err(), || format!("a stranger is {result:?}"))?;
            let known = claimed.is_empty() || claimed == OPERATOR || SLOTS.contains(&claimed.as_str());
            holds(known, || format!("a stranger chose what is shown: {claimed:?}"))?;
            let words = result.err().map(|e| e.to_string()).unwrap_or_default();
            let plain = words.len() < 1000 && !words.chars().any(char::is_control);
            holds(plain, || format!("a stranger chose what is logged: {words:?}"))
        }))
    }
}
