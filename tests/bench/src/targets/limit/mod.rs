//! The least that a replicated write can cost here: one process writes into a map when a majority of three has it, over
//! plain TCP. Nobody is elected, nothing is repeated, nothing is checked, and whoever reads has no lease. The difference
//! to it is what safety costs.
//!
//! ```text
//! frame: length 4 | number of its last write 8 | (key's length 2 | value's length 2 | key | value)*    ack: number 8
//! ```

mod follower;
mod leader;

pub use follower::{Place as FollowerPlace, serve};
pub use leader::{Place, run};

use bytes::{BufMut, Bytes, BytesMut};

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pair {
    key: Bytes,
    value: Bytes,
}

/// Appends a frame.
fn put_frame(out: &mut BytesMut, last: u64, pairs: &[Pair]) {
    let start = out.len();
    out.put_u32_le(0);
    out.put_u64_le(last);
    for Pair { key, value } in pairs {
        // The load's own keys and values are short.
        out.put_u16_le(u16::try_from(key.len()).unwrap_or(u16::MAX));
        out.put_u16_le(u16::try_from(value.len()).unwrap_or(u16::MAX));
        out.put_slice(key);
        out.put_slice(value);
    }
    let length = u32::try_from(out.len() - start - 4).unwrap_or(u32::MAX);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
}

/// Takes the first frame off, if all of it is there; its pairs share its memory.
fn take_frame(buffer: &mut BytesMut) -> Option<(u64, Vec<Pair>)> {
    use bytes::Buf;
    let length = u32::from_le_bytes(*buffer.first_chunk()?) as usize;
    if buffer.len() < 4 + length {
        return None;
    }
    buffer.advance(4);
    let mut frame = buffer.split_to(length).freeze();
    let last = frame.try_get_u64_le().ok()?;
    let mut pairs = Vec::new();
    while frame.has_remaining() {
        let key = usize::from(frame.try_get_u16_le().ok()?);
        let value = usize::from(frame.try_get_u16_le().ok()?);
        if frame.len() < key + value {
            return None;
        }
        pairs.push(Pair { key: frame.split_to(key), value: frame.split_to(value) });
    }
    Some((last, pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_comes_out_again_and_half_of_one_waits() {
        let pair = |key: &str| Pair { key: key.to_owned().into(), value: "value".into() };
        let mut out = BytesMut::new();
        put_frame(&mut out, 2, &[pair("a"), pair("bc")]);
        put_frame(&mut out, 3, &[pair("")]);
        let mut half = BytesMut::from(&out[..10]);
        assert_eq!(take_frame(&mut half), None);
        assert_eq!(take_frame(&mut out), Some((2, vec![pair("a"), pair("bc")])));
        assert_eq!(take_frame(&mut out), Some((3, vec![pair("")])));
        assert_eq!(take_frame(&mut out), None);
    }
}
