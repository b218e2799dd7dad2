//! Numbers and bytes, read: whatever is missing is an error.

use super::super::WireError;

/// What is not read yet.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// How many bytes are not read yet.
    pub fn left(&self) -> usize {
        self.0.len()
    }

    pub fn byte(&mut self) -> Result<u8, WireError> {
        let (byte, rest) = self.0.split_first().ok_or(WireError::Short)?;
        self.0 = rest;
        Ok(*byte)
    }

    pub fn number(&mut self) -> Result<u64, WireError> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // Of the tenth byte one bit is left.
            if shift == 63 && bits > 1 {
                return Err(WireError::Bounds("a number"));
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(WireError::Bounds("a number"))
    }

    pub fn signed(&mut self) -> Result<i64, WireError> {
        let number = self.number()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// The number that differs by this much from another one.
    pub fn change(&mut self, from: u64) -> Result<u64, WireError> {
        Ok(from.wrapping_add(self.signed()?.cast_unsigned()))
    }

    pub fn name(&mut self) -> Result<u128, WireError> {
        let (name, rest) = self.0.split_first_chunk().ok_or(WireError::Short)?;
        self.0 = rest;
        Ok(u128::from_be_bytes(*name))
    }

    pub fn raw(&mut self, length: u64) -> Result<&'a [u8], WireError> {
        let length = usize::try_from(length).map_err(|_| WireError::Short)?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(WireError::Short)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.number()?;
        self.raw(length)
    }

    pub fn text(&mut self, what: &'static str) -> Result<&'a str, WireError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| WireError::NotText(what))
    }
}
