//! Which shard a key lives in, and digests: FNV-1a with a final mix, the same on every node and in every version.

use crate::store::SHARDS;

pub(crate) fn hash<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for part in parts {
        for byte in part {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
        hash = (hash ^ 0xff).wrapping_mul(0x0000_0100_0000_01b3); // ("a","bc") is not ("ab","c")
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

pub(crate) fn shard_of(cache: &str, key: &[u8]) -> u32 {
    (hash([cache.as_bytes(), key]) % u64::from(SHARDS)) as u32
}
