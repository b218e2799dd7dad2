//! What nearly all messages are, appends, forwarded writes and their answers, in a form of their own: several messages one
//! after the other, that share what they have in common. As protocol buffers they took more time than all of the
//! consensus, see docs/decisions.
//!
//! ```text
//! frame     message*
//! message   kind, unless SAME is set in it: envelope, then what the kind says
//! envelope  flags, slot and boot of the sender, slot and maybe boot of the receiver, maybe a generation
//! number    seven bits in a byte, the lowest first (LEB128)
//! change    a number that says by how much another number differs, its sign in the lowest bit
//! bytes     a number: how many, then these
//! cache     bytes, unless the flag says that it is the one that was named last
//! ```
//!
//! What is rare stands in it as a protocol buffer ([`OTHER`], and entries of that kind).
//!
//! * [`write`], [`read`]: numbers and bytes · [`append`], [`entry`]: appends · [`forward`]: writes on their way, answers

mod append;
mod entry;
mod forward;
mod read;
mod write;

use std::sync::Arc;

use bytes::Bytes;
use prost::Message as _;
use rauthy_core::message::{Body, Message};
use rauthy_core::{Boot, Generation, Incarnation, Slot};
use rauthy_proto::codec::{Bounded, MOST};
use rauthy_proto::mesh as proto;

use super::WireError;
use super::parts::slot;
use read::Reader;
use write::Writer;

/// The message stands here as a protocol buffer, its envelope within.
const OTHER: u8 = 0;
const APPEND: u8 = 1;
const APPEND_REPLY: u8 = 2;
const FORWARD: u8 = 3;
const FORWARD_REPLY: u8 = 4;
/// In a kind: its envelope is that of the message before.
const SAME: u8 = 0x80;

/// In the flags of an envelope.
const TO_BOOT: u8 = 1;
const GENERATION: u8 = 2;

/// Who speaks to whom.
#[derive(Clone, Debug, PartialEq)]
struct Envelope {
    from: Incarnation,
    to: Slot,
    to_boot: Option<Boot>,
    generation: Option<Generation>,
}

impl Envelope {
    fn is_of(&self, message: &Message) -> bool {
        let Self { from, to, to_boot, generation } = self;
        *to_boot == message.to_boot
            && *generation == message.generation
            && *from == message.from
            && *to == message.to
    }

    fn put(&self, out: &mut Writer) {
        let flag = |is: bool, flag| if is { flag } else { 0 };
        out.byte(flag(self.to_boot.is_some(), TO_BOOT) | flag(self.generation.is_some(), GENERATION));
        out.bytes(self.from.slot.as_str().as_bytes());
        out.name(self.from.boot.0);
        out.bytes(self.to.as_str().as_bytes());
        if let Some(boot) = self.to_boot {
            out.name(boot.0);
        }
        if let Some(generation) = self.generation {
            out.name(generation.0);
        }
    }

    fn read(from: &mut Reader<'_>) -> Result<Self, WireError> {
        let flags = from.byte()?;
        if flags & !(TO_BOOT | GENERATION) != 0 {
            return Err(WireError::Unknown("an envelope"));
        }
        let sender = Incarnation { slot: slot(from.text("a slot")?)?, boot: Boot(from.name()?) };
        Ok(Self {
            from: sender,
            to: slot(from.text("a slot")?)?,
            to_boot: if flags & TO_BOOT == 0 { None } else { Some(Boot(from.name()?)) },
            generation: if flags & GENERATION == 0 { None } else { Some(Generation(from.name()?)) },
        })
    }
}

/// What messages of a frame have in common with those before them.
#[derive(Debug, Default)]
struct Shared {
    envelope: Option<Envelope>,
    cache: Option<Arc<str>>,
}

impl Shared {
    /// Whether this is the cache that was named last; from now on it is.
    fn names(&mut self, cache: &Arc<str>) -> bool {
        let same = self.cache.as_ref().is_some_and(|last| Arc::ptr_eq(last, cache) || last == cache);
        if !same {
            self.cache = Some(cache.clone());
        }
        same
    }

    /// The cache that is meant: the one named last, or the one that follows.
    fn cache(&mut self, same: bool, from: &mut Reader<'_>) -> Result<Arc<str>, WireError> {
        if !same {
            self.cache = Some(super::parts::cache(from.text("a cache's name")?)?);
        }
        self.cache.clone().ok_or(WireError::Missing("a cache's name"))
    }
}

/// Writes messages into one frame after the other.
#[derive(Debug, Default)]
pub struct Packer {
    out: Writer,
    messages: usize,
    shared: Shared,
}

impl Packer {
    /// Adds a message to the frame.
    pub fn put(&mut self, message: Message) {
        self.messages += 1;
        match &message.body {
            Body::Append(append) if append::follows(append) => {
                self.head(APPEND, &message);
                append::put(append, &mut self.shared, &mut self.out);
            }
            Body::AppendReply(reply) => {
                self.head(APPEND_REPLY, &message);
                append::put_reply(reply, &mut self.out);
            }
            Body::Forward(write) if forward::is_common(&write.request) => {
                self.head(FORWARD, &message);
                forward::put(write, &mut self.shared, &mut self.out);
            }
            Body::ForwardReply(reply) if forward::is_common_reply(reply) => {
                self.head(FORWARD_REPLY, &message);
                forward::put_reply(reply, &mut self.out);
            }
            _ => {
                self.out.byte(OTHER);
                self.out.bytes(&super::encode(message).encode_to_vec());
            }
        }
    }

    fn head(&mut self, kind: u8, message: &Message) {
        if self.shared.envelope.as_ref().is_some_and(|envelope| envelope.is_of(message)) {
            self.out.byte(kind | SAME);
            return;
        }
        let envelope = Envelope {
            from: message.from.clone(),
            to: message.to.clone(),
            to_boot: message.to_boot,
            generation: message.generation,
        };
        self.out.byte(kind);
        envelope.put(&mut self.out);
        self.shared.envelope = Some(envelope);
    }

    /// Bytes of the frame.
    #[must_use]
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.out.len() == 0
    }

    /// How many messages are in the frame.
    #[must_use]
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// The frame; what is put from now on is in another one.
    #[must_use]
    pub fn finish(&mut self) -> Bytes {
        self.messages = 0;
        self.shared = Shared::default();
        self.out.take()
    }
}

/// The messages of a frame. After an error there are no more.
#[derive(Debug)]
pub struct Unpacker {
    frame: Bytes,
    /// Read up to here.
    at: usize,
    /// Parts that the frame may have yet, as [`rauthy_proto::codec`] counts them.
    left: usize,
    shared: Shared,
}

impl Unpacker {
    /// Those of this frame.
    #[must_use]
    pub fn new(frame: Bytes) -> Self {
        Self { frame, at: 0, left: MOST, shared: Shared::default() }
    }

    fn message(&mut self) -> Result<Message, WireError> {
        let mut from = Reader::new(self.frame.get(self.at..).unwrap_or_default());
        self.left = self.left.checked_sub(1).ok_or(WireError::Bounds("the number of messages"))?;
        let kind = from.byte()?;
        let message = if kind == OTHER {
            inner::<proto::Message>(&mut from, "a message").and_then(super::decode)?
        } else {
            if kind & SAME == 0 {
                self.shared.envelope = Some(Envelope::read(&mut from)?);
            }
            let envelope = self.shared.envelope.clone().ok_or(WireError::Missing("an envelope"))?;
            let body = match kind & !SAME {
                APPEND => Body::Append(append::read(&mut self.left, &mut self.shared, &mut from)?),
                APPEND_REPLY => Body::AppendReply(append::read_reply(&mut from)?),
                FORWARD => Body::Forward(forward::read(&mut self.shared, &mut from)?),
                FORWARD_REPLY => Body::ForwardReply(forward::read_reply(&mut from)?),
                _ => return Err(WireError::Unknown("the kind of a message")),
            };
            let Envelope { from, to, to_boot, generation } = envelope;
            Message { from, to, to_boot, generation, body }
        };
        self.at = self.frame.len() - from.left();
        Ok(message)
    }
}

impl Iterator for Unpacker {
    type Item = Result<Message, WireError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.frame.len() {
            return None;
        }
        let message = self.message();
        if message.is_err() {
            self.at = self.frame.len();
        }
        Some(message)
    }
}

/// A protocol buffer within.
fn inner<M: Bounded>(from: &mut Reader<'_>, what: &'static str) -> Result<M, WireError> {
    M::bounded(from.bytes()?).map_err(|_| WireError::Inner(what))
}
