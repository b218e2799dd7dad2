//! Numbers and bytes, written.

use bytes::Bytes;

/// Room that a frame begins with.
const ROOM: usize = 1024;

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Writer(Vec<u8>);

impl Writer {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What was written; nothing is left.
    pub fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.0).into()
    }

    pub fn byte(&mut self, byte: u8) {
        if self.0.capacity() == 0 {
            self.0.reserve(ROOM);
        }
        self.0.push(byte);
    }

    pub fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }

    /// A number whose sign is in the lowest bit.
    pub fn signed(&mut self, number: i64) {
        self.number(((number << 1) ^ (number >> 63)).cast_unsigned());
    }

    /// By how much a number differs from another one.
    pub fn change(&mut self, from: u64, to: u64) {
        self.signed(to.wrapping_sub(from).cast_signed());
    }

    /// 16 bytes, big endian.
    pub fn name(&mut self, name: u128) {
        self.0.extend_from_slice(&name.to_be_bytes());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    /// Without saying how many.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}
