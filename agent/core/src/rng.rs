//! A small deterministic generator for jitter and names; the seed comes from outside.

/// xoshiro256** (Blackman and Vigna, 2018).
#[derive(Clone, Debug)]
pub(crate) struct Rng([u64; 4]);

impl Rng {
    pub(crate) fn new(seed: [u64; 4]) -> Self {
        // The all-zero state is the only one that stays where it is.
        Self(if seed == [0; 4] { [1, 2, 3, 4] } else { seed })
    }

    pub(crate) fn next(&mut self) -> u64 {
        let s = &mut self.0;
        let result = s[1].wrapping_mul(5).rotate_left(7).wrapping_mul(9);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    pub(crate) fn name(&mut self) -> u128 {
        (u128::from(self.next()) << 64) | u128::from(self.next())
    }

    /// Uniform in [low, high).
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of the authors' C program (prng.di.unimi.it/xoshiro256starstar.c) from this state.
    #[test]
    fn numbers_are_those_of_the_reference() {
        let mut rng = Rng::new([1, 2, 3, 4]);
        let reference = [
            11_520,
            0,
            1_509_978_240,
            1_215_971_899_390_074_240,
            1_216_172_134_540_287_360,
            607_988_272_756_665_600,
            16_172_922_978_634_559_625,
            8_476_171_486_693_032_832,
        ];
        assert_eq!(reference.map(|_| rng.next()), reference);
        assert_eq!(Rng::new([0; 4]).next(), 11_520, "all zeros would stay where they are");
    }

    #[test]
    fn a_range_is_kept_to_and_may_be_empty() {
        let mut rng = Rng::new([7; 4]);
        let mut seen = [false; 3];
        for _ in 0..200 {
            seen[(rng.between(5, 8) - 5) as usize] = true;
        }
        assert_eq!(seen, [true; 3]);
        assert_eq!(rng.between(5, 5), 5);
    }

    #[test]
    fn a_name_is_made_of_two_numbers() {
        let (mut one, mut other) = (Rng::new([7; 4]), Rng::new([7; 4]));
        let (high, low) = (one.next(), one.next());
        assert_eq!(other.name(), (u128::from(high) << 64) | u128::from(low));
    }
}
