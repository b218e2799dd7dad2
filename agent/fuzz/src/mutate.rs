//! Damage: to bytes, and to the fields of a message, whose lengths are put right so that what is around them is still
//! understood.

use crate::random::Random;

/// Longest input that is made.
pub const LONGEST: usize = 2 << 20;

/// Changes an input in one to four places; `other` is another one to take from.
pub fn mutate(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        match random.below(10) {
            0..=3 => fields(input, other, random),
            4 => flip(input, random),
            5 => set(input, random),
            6 => input.truncate(random.below(input.len() + 1)),
            7 => remove(input, random),
            8 => insert(input, other, random),
            _ => duplicate(input, random),
        }
    }
    input.truncate(LONGEST);
}

fn flip(input: &mut [u8], random: &mut Random) {
    let at = random.below(input.len());
    if let Some(byte) = input.get_mut(at) {
        *byte ^= 1 << random.below(8);
    }
}

fn set(input: &mut [u8], random: &mut Random) {
    let at = random.below(input.len());
    if let Some(byte) = input.get_mut(at) {
        *byte = random.choose(&[0, 1, 0x7f, 0x80, 0xff, b'"', b'{']).copied().unwrap_or(0);
    }
}

/// A piece of at most 64 bytes, or any.
fn piece(len: usize, random: &mut Random) -> std::ops::Range<usize> {
    let start = random.below(len);
    let most = if random.once_in(4) { len } else { 64 };
    start..(start + random.below(most)).min(len)
}

fn remove(input: &mut Vec<u8>, random: &mut Random) {
    input.drain(piece(input.len(), random));
}

fn insert(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let piece = other.get(piece(other.len(), random)).unwrap_or(&[]).to_vec();
    input.splice(at..at, piece);
}

fn duplicate(input: &mut Vec<u8>, random: &mut Random) {
    let range = piece(input.len(), random);
    let times = if random.once_in(10) { random.below(1000) } else { 1 };
    let piece = input.get(range.clone()).unwrap_or(&[]).repeat(times);
    if input.len() + piece.len() <= LONGEST {
        input.splice(range.end..range.end, piece);
    }
}

/// One field of a message: its key, and the bytes after it, a length included.
#[derive(Clone, Debug)]
struct Field {
    key: u64,
    content: Content,
}

#[derive(Clone, Debug)]
enum Content {
    Number(u64),
    Fixed(Vec<u8>),
    Sized(Vec<u8>),
}

/// Takes a message apart; `None` if it is none.
fn parse(mut bytes: &[u8]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = prost::encoding::decode_varint(&mut bytes).ok()?;
        let content = match key & 7 {
            0 => Content::Number(prost::encoding::decode_varint(&mut bytes).ok()?),
            wire @ (1 | 5) => {
                let (fixed, rest) = bytes.split_at_checked(if wire == 1 { 8 } else { 4 })?;
                bytes = rest;
                Content::Fixed(fixed.to_vec())
            }
            2 => {
                let len = prost::encoding::decode_varint(&mut bytes).ok()?;
                let (sized, rest) = bytes.split_at_checked(usize::try_from(len).ok()?)?;
                bytes = rest;
                Content::Sized(sized.to_vec())
            }
            _ => return None,
        };
        fields.push(Field { key, content });
    }
    Some(fields)
}

fn write(fields: &[Field], out: &mut Vec<u8>) {
    for field in fields {
        match &field.content {
            Content::Sized(bytes) => crate::schema::put(field.key, bytes, out),
            Content::Number(number) => {
                prost::encoding::encode_varint(field.key, out);
                prost::encoding::encode_varint(*number, out);
            }
            Content::Fixed(bytes) => {
                prost::encoding::encode_varint(field.key, out);
                out.extend_from_slice(bytes);
            }
        }
    }
}

/// Changes the fields of a message, or of one inside it.
fn fields(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let Some(mut all) = parse(input).filter(|all| !all.is_empty()) else { return flip(input, random) };
    let at = random.below(all.len());
    // Down into what is inside, most of the time.
    if let Some(Field { content: Content::Sized(inside), .. }) = all.get_mut(at)
        && !random.once_in(4)
        && !inside.is_empty()
    {
        fields(inside, other, random);
    } else {
        change(&mut all, at, other, random);
    }
    let mut out = Vec::with_capacity(input.len() + 16);
    write(&all, &mut out);
    *input = out;
}

fn change(all: &mut Vec<Field>, at: usize, other: &[u8], random: &mut Random) {
    let Some(field) = all.get(at).cloned() else { return };
    match random.below(6) {
        0 => {
            all.remove(at);
        }
        1 => {
            let times = if random.once_in(10) { random.below(3000) } else { 1 };
            let size = if let Content::Sized(bytes) = &field.content { bytes.len() + 2 } else { 10 };
            let times = times.min(LONGEST / size);
            all.splice(at..at, std::iter::repeat_n(field, times));
        }
        2 => {
            let to = random.below(all.len());
            all.swap(at, to);
        }
        3 => {
            // From somewhere else, under this key or its own.
            let mut from = parse(other).unwrap_or_default();
            let from_at = random.below(from.len());
            if from_at < from.len() {
                all.insert(at, from.swap_remove(from_at));
            }
        }
        4 => {
            if let Some(field) = all.get_mut(at) {
                let number = random.number() % 32;
                field.key = number << 3 | field.key & 7;
            }
        }
        _ => {
            if let Some(field) = all.get_mut(at) {
                match &mut field.content {
                    Content::Number(number) => *number = random.number(),
                    Content::Fixed(bytes) | Content::Sized(bytes) => {
                        let len = random.below(bytes.len() * 2 + 2);
                        bytes.resize(len, 0x61);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;

    #[test]
    fn what_is_taken_apart_can_be_put_together() {
        let (schema, mut random) = (Schema::new().unwrap(), Random::new(1));
        for _ in 0..200 {
            let bytes = schema.message(".rauthy.mesh.v1.Frame", &mut random);
            let mut again = Vec::new();
            write(&parse(&bytes).unwrap(), &mut again);
            assert_eq!(again, bytes);
        }
    }

    #[test]
    fn damage_is_bounded_and_changes_something() {
        let (schema, mut random) = (Schema::new().unwrap(), Random::new(2));
        let mut changed = 0;
        for _ in 0..500 {
            let bytes = schema.message(".rauthy.mesh.v1.Frame", &mut random);
            let mut damaged = bytes.clone();
            mutate(&mut damaged, &bytes, &mut random);
            assert!(damaged.len() <= LONGEST);
            changed += usize::from(damaged != bytes);
        }
        assert!(changed > 400, "{changed} of 500");
    }
}
