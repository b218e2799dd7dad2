//! One hash, with two sets of keys: public ones for shards and digests, secret ones for the tables inside a shard.
//!
//! ```text
//! 16 bytes (a, b) ─▶ state = fold(state ^ a, key ^ b)      fold(x, y) = low half ^ high half of x · y
//! ```
//!
//! The scheme is that of wyhash (Wang Yi) and foldhash (Orson Peters). With the public keys it is the same on every node
//! and in every version, and not secret: whoever knows it can choose keys of one shard. Keys that collide within a table
//! would cost more; there both factors hold secrets from the node's seed.

use std::hash::{BuildHasher, Hasher};

use crate::store::SHARDS;

/// What a hash depends on beside its input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Keys {
    start: u64,
    block: u64,
    end: u64,
}

/// The first bits of e − 2, π − 3 and √2 − 1: nothing up the sleeve.
const PUBLIC: Keys =
    Keys { start: 0xb7e1_5162_8aed_2a6a, block: 0x243f_6a88_85a3_08d3, end: 0x6a09_e667_f3bc_c908 };

const fn fold(a: u64, b: u64) -> u64 {
    let wide = (a as u128) * (b as u128);
    (wide as u64) ^ ((wide >> 64) as u64)
}

/// Up to 16 bytes as two numbers; which bytes overlap or are missing follows from their length.
fn tail(bytes: &[u8]) -> (u64, u64) {
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
    }
    if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return (u64::from(u32::from_le_bytes(*first)), u64::from(u32::from_le_bytes(*last)));
    }
    match *bytes {
        [] => (0, 0),
        [a] => (u64::from(a), 0),
        [a, b] => (u64::from(a), u64::from(b)),
        [a, b, c, ..] => (u64::from(a) << 8 | u64::from(b), u64::from(c)),
    }
}

impl Keys {
    /// Keys that follow from a secret; the numbers are those of SplitMix64 (Steele, Lea and Flood, 2014).
    pub(super) fn secret(seed: u64) -> Self {
        let number = |n: u64| {
            let z = seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        Self { start: number(1), block: number(2), end: number(3) }
    }

    /// Takes in one part, with its length.
    fn part(&self, state: u64, bytes: &[u8]) -> u64 {
        self.last(state, bytes) ^ bytes.len() as u64
    }

    /// As [`Self::part`], of a part whose first 16 bytes lie elsewhere; it has more than these.
    fn part_after(&self, state: u64, [a, b]: [u64; 2], rest: &[u8]) -> u64 {
        let state = fold(state ^ a, self.block ^ b);
        self.last(state, rest) ^ (16 + rest.len() as u64)
    }

    fn last(&self, mut state: u64, mut bytes: &[u8]) -> u64 {
        while let Some((block, rest)) = bytes.split_first_chunk().filter(|(_, rest)| !rest.is_empty()) {
            let both = u128::from_le_bytes(*block);
            state = fold(state ^ (both as u64), self.block ^ ((both >> 64) as u64));
            bytes = rest;
        }
        let (a, b) = tail(bytes);
        fold(state ^ a, self.block ^ b)
    }

    fn finish(&self, state: u64) -> u64 {
        fold(state ^ self.block, self.end)
    }

    /// The hash of a key.
    pub(super) fn of(&self, key: &[u8]) -> u64 {
        self.finish(self.part(self.start, key))
    }
}

/// Parts are told apart by their lengths: ("a", "bc") is not ("ab", "c").
pub(super) fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    PUBLIC.finish(parts.into_iter().fold(PUBLIC.start, |state, part| PUBLIC.part(state, part)))
}

/// As [`hash`] of two parts, the second of which begins with two numbers and has more than these: one block of it.
pub(super) fn hash_after(first: &[u8], second: [u64; 2], rest: &[u8]) -> u64 {
    PUBLIC.finish(PUBLIC.part_after(PUBLIC.part(PUBLIC.start, first), second, rest))
}

pub(super) fn shard_of(cache: &str, key: &[u8]) -> u32 {
    (hash([cache.as_bytes(), key]) % u64::from(SHARDS)) as u32
}

/// A hash that a table is computing.
#[derive(Debug)]
pub(super) struct Keyed {
    keys: Keys,
    state: u64,
}

impl BuildHasher for Keys {
    type Hasher = Keyed;

    fn build_hasher(&self) -> Keyed {
        Keyed { keys: *self, state: self.start }
    }
}

impl Hasher for Keyed {
    fn write(&mut self, bytes: &[u8]) {
        self.state = self.keys.part(self.state, bytes);
    }

    fn write_u8(&mut self, _: u8) {} // follows a string: its length is in the hash
    fn write_usize(&mut self, _: usize) {} // as does the length of what is hashed next

    fn finish(&self) -> u64 {
        self.keys.finish(self.state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secret_keys_are_those_of_splitmix64() {
        // The first three numbers for the seed 1234567, as its authors' program prints them.
        let Keys { start, block, end } = Keys::secret(1_234_567);
        let known = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!([start, block, end], known);
    }

    #[test]
    fn parts_are_told_apart() {
        let all = [
            hash([b"a".as_slice(), b"bc"]),
            hash([b"ab".as_slice(), b"c"]),
            hash([b"abc".as_slice(), b""]),
            hash([b"abc".as_slice()]),
            hash([b"abc\0".as_slice()]),
            hash([[0_u8; 16].as_slice()]),
            hash([[0_u8; 17].as_slice()]),
            hash([[0_u8; 32].as_slice()]),
            hash([b"".as_slice()]),
            hash([b"\0".as_slice()]),
            hash([b"\0\0".as_slice()]),
            hash([]),
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(!all[..i].contains(one), "{i}");
        }
    }

    #[test]
    fn it_is_the_same_in_every_version() {
        // Nodes of two versions that run side by side must agree on where a key lives and on what a digest means.
        assert_eq!(hash([b"codes".as_slice(), b"4f1e"]), 0x3c6c_3263_519c_b143);
        assert_eq!(hash([[7_u8; 100].as_slice()]), 0xa8ed_57cb_54c3_629d);
        let parts: [&[u8]; 6] = [b"a", b"bc", b"def", b"12345678", b"0123456789abcdefg", b""];
        assert_eq!(hash(parts), 0x0cc9_750e_a9d3_1b65);
        assert_eq!(shard_of("sessions", b"a"), 5);
    }

    #[test]
    fn numbers_before_a_part_are_its_first_bytes() {
        for len in 1..100 {
            let rest: Vec<u8> = (0..len).collect();
            let second = [&5_u64.to_le_bytes()[..], &u64::MAX.to_le_bytes(), &rest].concat();
            assert_eq!(hash_after(b"codes", [5, u64::MAX], &rest), hash([b"codes", &second[..]]), "{len}");
        }
    }

    #[test]
    fn secret_keys_make_another_hash() {
        let of = |seed: u64| Keys::secret(seed).hash_one(b"key".as_slice());
        assert_eq!(of(1), of(1));
        assert!(of(1) != of(2) && of(1) != hash([b"key".as_slice()]));
        // A half that is the known key makes a product 0 and forgets what came before; only the known keys do that.
        let forgets = |first: u64| [first.to_le_bytes(), PUBLIC.block.to_le_bytes()].concat();
        assert_eq!(hash([forgets(1).as_slice()]), hash([forgets(2).as_slice()]));
        let of = |bytes: &[u8]| Keys::secret(1).hash_one(bytes);
        assert_ne!(of(&forgets(1)), of(&forgets(2)));
    }

    #[test]
    fn keys_spread_over_the_shards() {
        let mut held = [0_u32; SHARDS as usize];
        for i in 0..16_000_u32 {
            held[shard_of("codes", format!("key-{i}").as_bytes()) as usize] += 1;
        }
        assert!(held.iter().all(|n| (850..1150).contains(n)), "{held:?}");
    }
}
