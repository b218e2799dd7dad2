//! Names for certificates and tokens, by which the operator sees which of them an agent uses. Nothing secret: a
//! certificate is shown to everybody who connects, and of a token 32 bits of a hash remain.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

const LABEL: &[u8] = b"rauthy-token-id-v1";
/// Bytes of a certificate's name, and of a token's.
const LENGTHS: (usize, usize) = (16, 4);

/// Names a certificate in DER form: the first 16 bytes of its SHA-256, in hex.
#[must_use]
pub fn fingerprint(certificate: &[u8]) -> String {
    hex(&Sha256::digest(certificate)[..LENGTHS.0])
}

/// Names a token: the first 4 bytes of an HMAC with it, in hex.
#[must_use]
pub fn token_id(token: &[u8]) -> String {
    // HMAC takes a key of any length.
    let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(token) else { return String::new() };
    mac.update(LABEL);
    hex(&mac.finalize().into_bytes()[..LENGTHS.1])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_always_the_same() {
        // `printf x | sha256sum`, and an HMAC by Python's hmac module.
        assert_eq!(fingerprint(b"x"), "2d711642b726b04401627ca9fbac32f5");
        assert_eq!(token_id(b"0123456789abcdef"), "35249f6b");
        assert_ne!(token_id(b"0123456789abcdef"), token_id(b"0123456789abcdeg"));
    }
}
