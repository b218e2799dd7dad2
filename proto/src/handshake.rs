//! The mutual handshake: both sides prove that they know the cluster's token, without ever sending it.
//!
//! ```text
//! caller                                 callee
//!   Hello{cluster, purpose, from, to, nonce} ->
//!                        <- Challenge{from, nonce, HMAC(token, "callee" | transcript) for each valid token}
//!   Proof{HMAC(token, "caller" | transcript)} ->
//!                        <- Verdict
//! ```
//!
//! The transcript holds every field of Hello, the callee's identity and nonce, and the exporter of the TLS
//! session (RFC 5705, empty without TLS), so that a proof is worth nothing on another connection, for another
//! purpose, or between other identities. This is the challenge-response of ISO/IEC 9798-4 (mutual, keyed
//! check function); the two labels keep one side's proof from being reflected as the other's.

use std::ops::RangeInclusive;

use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::mesh::{Hello, Identity};

/// Format versions that this build speaks: its own and the one before, so that members and the operator can be updated
/// one at a time.
pub const VERSIONS: RangeInclusive<u32> = 2..=3;
/// From this version on the messages between members are packed, see `Frame.packed`.
pub const PACKED: u32 = 3;
/// Length of a nonce, in bytes.
pub const NONCE_LEN: usize = 32;
/// Label for the TLS exporter (RFC 5705 §4).
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-rauthy-mesh-v1";
/// Length of the exported keying material, in bytes.
pub const EXPORTER_LEN: usize = 32;
/// Slot name that the operator uses in its identity.
pub const OPERATOR: &str = "operator";
/// Shortest token that is accepted, in characters.
pub const TOKEN_MIN: usize = 16;

/// Most tokens that are valid at a time.
pub const TOKENS_MAX: usize = 4;

/// Which side of the stream a proof is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Who opened the stream.
    Caller,
    /// Who accepted it.
    Callee,
}

/// Everything that both sides must agree on.
#[derive(Clone, Copy, Debug)]
pub struct Transcript<'a> {
    /// The caller's first frame.
    pub hello: &'a Hello,
    /// The version that the callee chose.
    pub version: u32,
    /// Who answered.
    pub callee: &'a Identity,
    /// The callee's nonce.
    pub nonce: &'a [u8],
    /// Keying material of the TLS session; empty without TLS.
    pub exporter: &'a [u8],
}

impl Transcript<'_> {
    /// The proof of one side, keyed with the token.
    #[must_use]
    pub fn proof(&self, token: &[u8], side: Side) -> [u8; 32] {
        // HMAC takes a key of any length.
        let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(token) else { return [0; 32] };
        let label: &[u8] = match side {
            Side::Caller => b"rauthy-mesh-v1 caller",
            Side::Callee => b"rauthy-mesh-v1 callee",
        };
        // Each field with its length before it, so that no two transcripts share an encoding.
        let mut field = |bytes: &[u8]| {
            mac.update(&(bytes.len() as u64).to_be_bytes());
            mac.update(bytes);
        };
        field(label);
        field(&self.hello.version_min.to_be_bytes());
        field(&self.hello.version_max.to_be_bytes());
        field(&self.version.to_be_bytes());
        field(self.hello.cluster.as_bytes());
        field(&self.hello.purpose.to_be_bytes());
        let caller = self.hello.from.clone().unwrap_or_default();
        field(caller.slot.as_bytes());
        field(&caller.boot);
        field(self.hello.to.as_bytes());
        field(&self.hello.nonce);
        field(self.callee.slot.as_bytes());
        field(&self.callee.boot);
        field(self.nonce);
        field(self.exporter);
        mac.finalize().into_bytes().into()
    }

    /// Whether `proof` is that of `side` under any of the tokens (two are valid during a rotation), compared
    /// in constant time.
    #[must_use]
    pub fn verify<'t>(&self, tokens: impl IntoIterator<Item = &'t [u8]>, side: Side, proof: &[u8]) -> bool {
        let mut valid = false;
        for token in tokens {
            valid |= bool::from(self.proof(token, side).as_slice().ct_eq(proof));
        }
        valid
    }

    /// The first of the tokens under which one of the `proofs` is that of `side`. Proofs beyond [`TOKENS_MAX`] are not
    /// looked at.
    #[must_use]
    pub fn shared<'t>(
        &self,
        tokens: impl IntoIterator<Item = &'t [u8]>,
        side: Side,
        proofs: &[impl AsRef<[u8]>],
    ) -> Option<&'t [u8]> {
        let proofs = || proofs.iter().take(TOKENS_MAX);
        tokens.into_iter().find(|token| proofs().any(|proof| self.verify([*token], side, proof.as_ref())))
    }
}

/// The version that two sides speak: the highest that both know.
#[must_use]
pub fn version(mine: &RangeInclusive<u32>, theirs: &RangeInclusive<u32>) -> Option<u32> {
    let highest = *mine.end().min(theirs.end());
    (mine.contains(&highest) && theirs.contains(&highest)).then_some(highest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_understand_each_other_in_the_newer_one_that_both_know() {
        let table = [
            (2..=3, 2..=3, Some(3)),
            (2..=3, 1..=2, Some(2)),
            (2..=3, 3..=4, Some(3)),
            (2..=3, 2..=2, Some(2)),
            (2..=3, 4..=5, None),
            (2..=3, 0..=1, None),
            (2..=3, 1..=9, Some(3)),
            #[allow(clippy::reversed_empty_ranges, reason = "what a peer may send")]
            (2..=3, 3..=2, None),
        ];
        for (mine, theirs, wanted) in table {
            assert_eq!(version(&mine, &theirs), wanted, "{mine:?} {theirs:?}");
            assert_eq!(version(&theirs, &mine), wanted, "{theirs:?} {mine:?}");
        }
    }

    fn hello() -> Hello {
        Hello {
            version_min: 1,
            version_max: 1,
            cluster: "ns/rauthy".into(),
            purpose: 1,
            from: Some(Identity { slot: "rauthy-0.rauthy:8000".into(), boot: vec![1; 16].into() }),
            to: "rauthy-1.rauthy:8000".into(),
            nonce: vec![2; NONCE_LEN].into(),
        }
    }

    #[test]
    fn a_proof_is_bound_to_everything() {
        let (hello, callee) =
            (hello(), Identity { slot: "rauthy-1.rauthy:8000".into(), boot: vec![3; 16].into() });
        let transcript =
            Transcript { hello: &hello, version: 1, callee: &callee, nonce: &[4; 32], exporter: b"x" };
        let token: &[u8] = b"0123456789abcdef";
        let proof = transcript.proof(token, Side::Caller);
        assert!(transcript.verify([token], Side::Caller, &proof));
        assert!(transcript.verify([b"another-token-xx".as_slice(), token], Side::Caller, &proof));
        assert!(!transcript.verify([token], Side::Callee, &proof), "a proof cannot be reflected");
        assert!(!transcript.verify([b"another-token-xx".as_slice()], Side::Caller, &proof));
        assert!(!transcript.verify([token], Side::Caller, &proof[..31]));
        let other: &[u8] = b"another-token-xx";
        let proofs = [transcript.proof(other, Side::Caller), proof];
        assert_eq!(
            transcript.shared([b"unknown-token-xx".as_slice(), token], Side::Caller, &proofs),
            Some(token)
        );
        assert_eq!(transcript.shared([token], Side::Callee, &proofs), None);
        assert_eq!(transcript.shared([token], Side::Caller, &[[0; 32]; TOKENS_MAX]), None);
        let late = [[0; 32], [1; 32], [2; 32], [3; 32], proof];
        assert_eq!(transcript.shared([token], Side::Caller, &late), None, "too many");
        assert!(!Transcript { exporter: b"y", ..transcript }.verify([token], Side::Caller, &proof));
        assert!(!Transcript { nonce: &[5; 32], ..transcript }.verify([token], Side::Caller, &proof));
        for change in [
            |h: &mut Hello| h.cluster.push('x'),
            |h: &mut Hello| h.purpose = 4,
            |h: &mut Hello| h.to.push('x'),
            |h: &mut Hello| h.from = None,
            |h: &mut Hello| h.nonce = vec![9; NONCE_LEN].into(),
        ] {
            let mut other = hello.clone();
            change(&mut other);
            assert!(!Transcript { hello: &other, ..transcript }.verify([token], Side::Caller, &proof));
        }
    }
}
