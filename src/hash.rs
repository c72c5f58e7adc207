//! Hashes that are the same after every restart, on every node and in every release. None of them keeps a secret.

/// FNV-1a with 64 bits (Fowler, Noll, Vo), byte by byte.
#[derive(Debug, Clone, Copy)]
pub struct Fnv(u64);

impl Fnv {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;

    pub fn new() -> Self {
        Self(Self::OFFSET_BASIS)
    }

    /// Appends bytes.
    #[must_use]
    pub fn and(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(Self::PRIME)))
    }

    pub fn hash(self) -> u64 {
        self.0
    }
}

impl Default for Fnv {
    fn default() -> Self {
        Self::new()
    }
}

/// The FNV-1a hash of these bytes.
pub fn fnv_1a(bytes: &[u8]) -> u64 {
    Fnv::new().and(bytes).hash()
}

/// The generator SplitMix64 (Steele, Lea and Flood, 2014): from each seed another sequence.
#[derive(Debug, Clone, Copy)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }
}

impl Iterator for SplitMix64 {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.0 = self.0.wrapping_add(Self::STEP);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Some(mixed ^ (mixed >> 31))
    }
}

/// The first number of SplitMix64 with this seed: every seed has another one.
pub fn splitmix64(seed: u64) -> u64 {
    SplitMix64::seeded(seed).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fnv_is_the_published_one_in_one_piece_or_several() {
        let hashes = ["", "a", "foobar"].map(|text| fnv_1a(text.as_bytes()));
        assert_eq!(hashes, [0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c, 0x8594_4171_f739_67e8]);
        assert_eq!(Fnv::new().and(b"foo").and(b"").and(b"bar").hash(), fnv_1a(b"foobar"));
    }

    #[test]
    fn splitmix_is_the_published_one() {
        // Vigna's splitmix64.c, seeded with 1234567.
        let numbers: Vec<u64> = SplitMix64::seeded(1_234_567).take(3).collect();
        assert_eq!(numbers, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }
}
