//! Which shard a key lives in, and digests: one hash that is the same on every node and in every version.
//!
//! Blocks of 16 bytes are folded in with a wide multiplication, as in wyhash (Wang Yi, "wyhash"). It is fast, not
//! secret: whoever knows it can choose keys of one shard. The tables inside a shard have their own, keyed hash.

use crate::store::SHARDS;

// The first bits of e, π and √2 behind the point: nothing up the sleeve.
const START: u64 = 0xb7e1_5162_8aed_2a6b;
const BLOCK: u64 = 0x243f_6a88_85a3_08d3;
const END: u64 = 0x6a09_e667_f3bc_c909;

const fn fold(a: u64, b: u64) -> u64 {
    let wide = (a as u128) * (b as u128);
    (wide as u64) ^ ((wide >> 64) as u64)
}

fn block(state: u64, bytes: &[u8; 16]) -> u64 {
    let both = u128::from_le_bytes(*bytes);
    fold(state ^ (both as u64), BLOCK ^ ((both >> 64) as u64))
}

/// Parts are told apart by their lengths: ("a", "bc") is not ("ab", "c").
pub(crate) fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut state = START;
    for part in parts {
        let (blocks, tail) = part.as_chunks::<16>();
        for bytes in blocks {
            state = block(state, bytes);
        }
        let mut last = [0; 16];
        last[..tail.len()].copy_from_slice(tail);
        state = fold(block(state, &last) ^ (part.len() as u64), END);
    }
    fold(state ^ END, BLOCK)
}

pub(crate) fn shard_of(cache: &str, key: &[u8]) -> u32 {
    (hash([cache.as_bytes(), key]) % u64::from(SHARDS)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ];
        for (i, one) in all.iter().enumerate() {
            assert!(!all[..i].contains(one), "{i}");
        }
    }

    #[test]
    fn it_is_the_same_in_every_version() {
        // Nodes of two versions that run side by side must agree on where a key lives and on what a digest means.
        assert_eq!(hash([b"codes".as_slice(), b"4f1e"]), 0x93da_1938_859e_c3a6);
        assert_eq!(hash([[7_u8; 100].as_slice()]), 0x40c7_ae27_ec4f_90a0);
        assert_eq!(shard_of("sessions", b"a"), 0);
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
