//! The codec of all services: protocol buffers, whose parts are counted before they are decoded.
//!
//! Two bytes on the wire are a repeated message without content, which takes hundreds of bytes in memory: what a peer
//! sends within the limits on its length could fill the memory by number. So a message may have one part for every
//! [`EACH`] bytes, and [`MOST`] in all; where it has more, nothing of it is decoded.

use std::marker::PhantomData;

use bytes::Buf;
use prost::Message;
use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic_prost::{ProstCodec, ProstEncoder};

/// Bytes for each part (element of a repeated field) that a message may have. The least that means something, an entry
/// without effect, has 8.
pub const EACH: usize = 4;
/// Parts that any message may have.
pub const SPARE: usize = 16;
/// Parts of one message, at most.
pub const MOST: usize = 1 << 18;

/// A message whose parts are counted.
pub trait Bounded: Message + Default + Send + 'static {
    /// Its place in the table of shapes, which the build writes.
    const SHAPE: usize;

    /// Decodes it from the beginning of a buffer to the end.
    ///
    /// # Errors
    /// If it has too many parts, or is no message of this type.
    fn bounded<B: Buf>(mut buffer: B) -> Result<Self, Excess> {
        let len = buffer.remaining();
        // What comes from a stream is in one piece.
        if buffer.chunk().len() == len {
            check::<Self>(buffer.chunk())?;
            Self::decode(buffer).map_err(|e| Excess::Malformed(e.to_string()))
        } else {
            Self::bounded(buffer.copy_to_bytes(len))
        }
    }
}

/// Why something is not decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    /// It is no message of this type.
    #[error("no message: {0}")]
    Malformed(String),
    /// It has too many parts.
    #[error("a message of {0} bytes with too many parts")]
    Parts(usize),
}

/// A field that is repeated, or holds such.
struct Field {
    number: u64,
    repeated: bool,
    /// The shape of what it holds; `None`: text or bytes.
    holds: Option<usize>,
}

include!(concat!(env!("OUT_DIR"), "/shapes.rs"));

fn check<M: Bounded>(bytes: &[u8]) -> Result<(), Excess> {
    let mut left = MOST.min(SPARE + bytes.len() / EACH);
    match count(bytes, M::SHAPE, &mut left) {
        Some(()) => Ok(()),
        None if left == 0 => Err(Excess::Parts(bytes.len())),
        None => Err(Excess::Malformed("it ends too early, or is none".into())),
    }
}

/// Takes the parts of a message off what is left; `None` if there are more, or this is no message.
fn count(mut bytes: &[u8], shape: usize, left: &mut usize) -> Option<()> {
    let shape = SHAPES.get(shape)?;
    while !bytes.is_empty() {
        let key = number(&mut bytes)?;
        let fixed = match key & 7 {
            0 => {
                number(&mut bytes)?;
                continue;
            }
            1 => 8,
            2 => usize::try_from(number(&mut bytes)?).ok()?,
            5 => 4,
            // Groups, which no version of the format has.
            _ => return None,
        };
        let (content, rest) = bytes.split_at_checked(fixed)?;
        bytes = rest;
        if key & 7 == 2
            && let Some(field) = shape.iter().find(|field| field.number == key >> 3)
        {
            if field.repeated {
                *left = left.checked_sub(1)?;
            }
            if let Some(holds) = field.holds {
                count(content, holds, left)?;
            }
        }
    }
    Some(())
}

/// A variable-length number of ten bytes at most.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f).checked_shl(7 * u32::try_from(at).ok()?)?;
        if byte & 0x80 == 0 {
            *bytes = bytes.get(at + 1..)?;
            return Some(value);
        }
    }
    None
}

/// Protocol buffers for a service that answers `T` with `U`, or the other way round.
#[derive(Clone, Debug)]
pub struct BoundedCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for BoundedCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for BoundedCodec<T, U>
where
    T: Message + Send + 'static,
    U: Bounded,
{
    type Encode = T;
    type Decode = U;
    type Encoder = ProstEncoder<T>;
    type Decoder = BoundedDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<T, U>::raw_encoder(BufferSettings::default())
    }

    fn decoder(&mut self) -> Self::Decoder {
        BoundedDecoder(PhantomData)
    }
}

/// Counts, then decodes.
#[derive(Clone, Debug)]
pub struct BoundedDecoder<U>(PhantomData<U>);

impl<U: Bounded> Decoder for BoundedDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        match U::bounded(buffer) {
            Ok(message) => Ok(Some(message)),
            Err(error @ Excess::Malformed(_)) => Err(Status::internal(error.to_string())),
            Err(error @ Excess::Parts(_)) => Err(Status::out_of_range(error.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{GetRequest, NodeStatus};
    use crate::mesh::frame::Frame as Kind;
    use crate::mesh::{Append, Batch, Entry, Frame, Message as Said, Nothing, SeatMap, entry, message};

    fn frame(messages: Vec<Said>) -> Frame {
        Frame { frame: Some(Kind::Batch(Batch { messages })) }
    }

    fn append(entries: Vec<Entry>) -> Said {
        let append = Append { entries, ..Append::default() };
        Said { body: Some(message::Body::Append(append)), ..Said::default() }
    }

    #[test]
    fn as_many_small_parts_as_there_can_be_are_taken() {
        let entry = Entry { term: 1, index: 1, time_us: 0, payload: Some(entry::Payload::Noop(Nothing {})) };
        for entries in [0, 1, 3, 1000, MOST - 1] {
            let wanted = frame(vec![append(vec![entry.clone(); entries])]);
            assert_eq!(Frame::bounded(wanted.encode_to_vec().as_slice()), Ok(wanted));
        }
        let many = frame(vec![append(vec![entry; MOST])]).encode_to_vec();
        assert_eq!(Frame::bounded(many.as_slice()), Err(Excess::Parts(many.len())));
    }

    #[test]
    fn parts_without_content_are_counted_wherever_they_stand() {
        let empty = |n| vec![Said::default(); n];
        assert!(Frame::bounded(frame(empty(SPARE)).encode_to_vec().as_slice()).is_ok());
        let many = [
            frame(empty(1000)).encode_to_vec(),
            frame(vec![append(vec![Entry::default(); 1000])]).encode_to_vec(),
        ];
        for bytes in many {
            assert_eq!(Frame::bounded(bytes.as_slice()), Err(Excess::Parts(bytes.len())));
        }
        let map = SeatMap { held_by: vec![Default::default(); 1000] }.encode_to_vec();
        assert_eq!(SeatMap::bounded(map.as_slice()), Err(Excess::Parts(map.len())));
        let members = NodeStatus { members: vec![Default::default(); 1000], ..Default::default() };
        assert!(NodeStatus::bounded(members.encode_to_vec().as_slice()).is_err());
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        let right = GetRequest { cache: "c".into(), key: "key".into(), ..Default::default() }.encode_to_vec();
        assert!(GetRequest::bounded(right.as_slice()).is_ok());
        let (half, group, long) = (&right[..right.len() - 1], &[0x0b, 0x0c][..], &[0x80; 11][..]);
        for wrong in [half, group, long, &[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]] {
            assert!(matches!(GetRequest::bounded(wrong), Err(Excess::Malformed(_))), "{wrong:?}");
        }
    }

    #[test]
    fn a_buffer_in_pieces_is_read_as_one() {
        let wanted = GetRequest { cache: "c".into(), key: "key".into(), ..Default::default() };
        let bytes = wanted.encode_to_vec();
        let (a, b) = bytes.split_at(3);
        assert_eq!(GetRequest::bounded(a.chain(b)), Ok(wanted));
    }
}
