//! What proven peers send.

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use rauthy_agent::mesh::addresses;
use rauthy_agent::mesh::wire::packed::{Packer, Unpacker};
use rauthy_agent::mesh::{Me, wire};
use rauthy_core::{Message, Slot};
use rauthy_proto::codec::Bounded;
use rauthy_proto::mesh::frame::Frame as Kind;
use rauthy_proto::mesh::{self as proto, Batch, Frame};

use super::handshake::me;
use crate::random::Random;
use crate::schema::{SLOTS, Schema};
use crate::{Check, Target, holds};

/// Frames of a control, forward or bulk stream.
pub struct Frames(pub Arc<Schema>);

impl Target for Frames {
    fn name(&self) -> &'static str {
        "frame"
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        if random.once_in(4) {
            return self.0.message(".rauthy.mesh.v1.Frame", random);
        }
        let batch = self.0.message(".rauthy.mesh.v1.Batch", random);
        let mut frame = Vec::new();
        crate::schema::put(5 << 3 | 2, &batch, &mut frame);
        frame
    }

    fn run<'a>(&'a self, bytes: &'a [u8]) -> Option<Check<'a>> {
        let frame = Frame::bounded(Bytes::copy_from_slice(bytes)).ok()?;
        match frame.frame? {
            Kind::Batch(Batch { messages }) => {
                let read: Result<Vec<Message>, _> = messages.into_iter().map(wire::decode).collect();
                let read = read.ok()?;
                Some(Box::new(move || {
                    for message in &read {
                        same(message)?;
                    }
                    // What this node may say to another must be taken there.
                    let messages = read.into_iter().map(wire::encode).collect();
                    let again = Frame { frame: Some(Kind::Batch(Batch { messages })) };
                    let bytes = again.encode_to_vec();
                    let read = Frame::bounded(bytes.as_slice());
                    holds(read.as_ref() == Ok(&again), || format!("{again:?} is read as {read:?}"))
                }))
            }
            kind => Some(Box::new(move || {
                let frame = Frame { frame: Some(kind) };
                let read = Frame::decode(frame.encode_to_vec().as_slice());
                holds(read.as_ref() == Ok(&frame), || format!("{frame:?} is read as {read:?}"))
            })),
        }
    }
}

fn same(message: &Message) -> Result<(), String> {
    let read = wire::decode(wire::encode(message.clone()));
    holds(read.as_ref() == Ok(message), || format!("{message:?} is read as {read:?}"))
}

/// Packed frames of such a stream.
pub struct Packed(pub Arc<Schema>);

fn pack(messages: impl IntoIterator<Item = Message>) -> Bytes {
    let mut packer = Packer::default();
    messages.into_iter().for_each(|message| packer.put(message));
    packer.finish()
}

impl Target for Packed {
    fn name(&self) -> &'static str {
        "packed"
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        let batch = self.0.message(".rauthy.mesh.v1.Batch", random);
        let messages = Batch::bounded(batch.as_slice()).map(|batch| batch.messages).unwrap_or_default();
        pack(messages.into_iter().filter_map(|message| wire::decode(message).ok())).to_vec()
    }

    fn run<'a>(&'a self, bytes: &'a [u8]) -> Option<Check<'a>> {
        let read: Result<Vec<Message>, _> = Unpacker::new(Bytes::copy_from_slice(bytes)).collect();
        let messages = read.ok().filter(|messages| !messages.is_empty())?;
        Some(Box::new(move || {
            let again: Result<Vec<Message>, _> = Unpacker::new(pack(messages.clone())).collect();
            holds(again.as_ref() == Ok(&messages), || format!("{messages:?} is read as {again:?}"))?;
            // And in the form of the version before.
            messages.iter().try_for_each(same)
        }))
    }
}

/// Single consensus messages.
pub struct Messages(pub Arc<Schema>);

impl Target for Messages {
    fn name(&self) -> &'static str {
        "message"
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        self.0.message(".rauthy.mesh.v1.Message", random)
    }

    fn run<'a>(&'a self, bytes: &'a [u8]) -> Option<Check<'a>> {
        let message = wire::decode(proto::Message::bounded(Bytes::copy_from_slice(bytes)).ok()?).ok()?;
        Some(Box::new(move || same(&message)))
    }
}

/// Where peers say that others are.
pub struct Hints {
    schema: Arc<Schema>,
    me: Me,
}

impl Hints {
    /// With a member that learns.
    ///
    /// # Errors
    /// If it cannot be set up.
    pub fn new(schema: Arc<Schema>) -> anyhow::Result<Self> {
        Ok(Self { schema, me: me()? })
    }
}

impl Target for Hints {
    fn name(&self) -> &'static str {
        "addresses"
    }

    fn generate(&self, random: &mut Random) -> Vec<u8> {
        self.schema.message(".rauthy.mesh.v1.Addresses", random)
    }

    fn run<'a>(&'a self, bytes: &'a [u8]) -> Option<Check<'a>> {
        let told = proto::Addresses::bounded(Bytes::copy_from_slice(bytes)).ok()?;
        let hints = addresses::Hints::default();
        hints.learn(&self.me, addresses::pairs(&told));
        let learned = SLOTS.iter().any(|slot| hints.get(&Slot::new(slot)).is_some());
        if !learned {
            return None;
        }
        Some(Box::new(move || {
            holds(hints.get(&self.me.slot).is_none(), || "it was told where it is itself".into())?;
            for told in &told.peers {
                let known = SLOTS.contains(&told.slot.as_str());
                let learned = hints.get(&Slot::new(&told.slot)).is_some();
                holds(known || !learned, || format!("{told:?} of a stranger was learned"))?;
            }
            Ok(())
        }))
    }
}
