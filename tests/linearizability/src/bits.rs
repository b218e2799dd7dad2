//! A set of small numbers that is cheap to copy, compare and hash.

/// Numbers below 128 in place, the others in a list without trailing zeros, so that equal sets are equal.
#[derive(Clone, PartialEq, Eq, Hash, Default, Debug)]
pub(crate) struct Bits {
    low: u128,
    high: Vec<u64>,
}

impl Bits {
    pub(crate) fn contains(&self, number: u32) -> bool {
        match number.checked_sub(128) {
            None => self.low >> number & 1 == 1,
            Some(rest) => self.high.get(rest as usize / 64).is_some_and(|word| word >> (rest % 64) & 1 == 1),
        }
    }

    pub(crate) fn insert(&mut self, number: u32) {
        match number.checked_sub(128) {
            None => self.low |= 1 << number,
            Some(rest) => {
                let word = rest as usize / 64;
                if self.high.len() <= word {
                    self.high.resize(word + 1, 0);
                }
                self.high[word] |= 1 << (rest % 64);
            }
        }
    }

    pub(crate) fn remove(&mut self, number: u32) {
        match number.checked_sub(128) {
            None => self.low &= !(1 << number),
            Some(rest) => {
                if let Some(word) = self.high.get_mut(rest as usize / 64) {
                    *word &= !(1 << (rest % 64));
                }
                while self.high.last() == Some(&0) {
                    self.high.pop();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_sets_are_equal_whatever_was_in_them_before() {
        let mut bits = Bits::default();
        for number in [0, 127, 128, 191, 192, 1000] {
            assert!(!bits.contains(number));
            bits.insert(number);
            assert!(bits.contains(number), "{number}");
        }
        for number in [1000, 128, 191, 192, 127] {
            bits.remove(number);
            assert!(!bits.contains(number), "{number}");
        }
        let mut other = Bits::default();
        other.insert(0);
        assert_eq!(bits, other);
        bits.remove(0);
        bits.remove(500);
        assert_eq!(bits, Bits::default());
    }
}
