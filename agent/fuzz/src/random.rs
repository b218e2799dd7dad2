//! Randomness from a seed: SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).

/// A source of random numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The same seed gives the same numbers.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next one.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`; 0 if that is 0.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.draw() % (n.max(1) as u64)).unwrap_or(0)
    }

    /// True once in `n` times.
    pub fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub fn choose<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len()))
    }

    /// So many random bytes.
    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len.div_ceil(8)).flat_map(|_| self.draw().to_le_bytes()).take(len).collect()
    }

    /// A number with a preference for those at which something changes.
    pub fn number(&mut self) -> u64 {
        const BOUNDS: [u64; 12] = [
            0,
            1,
            2,
            127,
            1 << 20,
            (1 << 52) - 1,
            1 << 52,
            (1 << 52) + 1,
            1 << 60,
            (1 << 60) + 1,
            1 << 63,
            u64::MAX,
        ];
        match self.below(8) {
            0 => self.choose(&BOUNDS).copied().unwrap_or(0),
            1 => self.draw() >> self.below(64),
            2 => self.draw() >> 14,
            _ => self.draw() % 40,
        }
    }
}
