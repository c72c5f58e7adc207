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

/// One step of SplitMix64 (Steele, Lea and Flood, 2014): every number has another successor.
pub fn splitmix64(number: u64) -> u64 {
    let mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
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
        let mut state = 1_234_567_u64;
        let numbers: Vec<u64> = (0..3)
            .map(|_| {
                let number = splitmix64(state);
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                number
            })
            .collect();
        assert_eq!(numbers, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }
}
