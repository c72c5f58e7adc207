//! Which of an app's lanes a device token falls into. Pure.
//!
//! The answer is the same after every restart and on every node. Tokens are hashed with FNV-1a (64 bits) as lower-case
//! hex, and the hashes shared out by the jump consistent hash of Lamping and Veach (2014): each lane gets an equal
//! share, and another number of lanes moves only the tokens that new lanes need or old ones leave behind.

use crate::hash::fnv_1a;

/// The lane of a token in lower-case hex: from 0 to `lanes` - 1.
pub fn lane_of(token: &[u8], lanes: u16) -> u16 {
    jump(fnv_1a(token), lanes)
}

/// Follows the lanes that a hash would have moved to as their number grew one by one, in jumps.
fn jump(hash: u64, lanes: u16) -> u16 {
    const MULTIPLIER: u64 = 2_862_933_555_777_941_757;
    const RANGE: f64 = (1_u64 << 31) as f64;
    let (mut state, mut lane, mut next) = (hash, 0, 0.0);
    while next < f64::from(lanes) {
        lane = next as u16;
        state = state.wrapping_mul(MULTIPLIER).wrapping_add(1);
        let drawn = (state >> 33) + 1;
        next = (f64::from(lane + 1) * (RANGE / drawn as f64)).floor();
    }
    lane
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(number: u64) -> String {
        format!("{:064x}", u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835))
    }

    #[test]
    fn tokens_keep_the_lanes_they_have_always_had() {
        let lanes = |lanes: u16| (0..12).map(|number| lane_of(token(number).as_bytes(), lanes)).collect::<Vec<_>>();
        assert_eq!(lanes(2), [0, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0]);
        assert_eq!(lanes(4), [0, 3, 2, 1, 3, 0, 2, 3, 1, 1, 0, 0]);
        assert_eq!(lanes(64), [15, 42, 6, 28, 18, 46, 60, 56, 17, 28, 27, 14]);
    }

    #[test]
    fn lanes_get_equal_shares() {
        for lanes in [2, 3, 4, 16, 64] {
            let mut shares = vec![0; usize::from(lanes)];
            (0..64_000).for_each(|number| shares[usize::from(lane_of(token(number).as_bytes(), lanes))] += 1);
            let fair = 64_000 / i32::from(lanes);
            assert!(shares.iter().all(|share: &i32| (share - fair).abs() < fair / 5), "{lanes} lanes: {shares:?}");
        }
    }

    #[test]
    fn tokens_that_differ_a_little_are_spread_too() {
        let mut shares = [0; 4];
        (0..400).for_each(|number| shares[usize::from(lane_of(format!("{number:064x}").as_bytes(), 4))] += 1);
        assert!(shares.iter().all(|share| (70..130).contains(share)), "{shares:?}");
    }

    #[test]
    fn another_number_of_lanes_moves_as_few_tokens_as_can_be() {
        let lane = |number, lanes| lane_of(token(number).as_bytes(), lanes);
        for (before, after) in [(1, 2), (2, 3), (3, 4), (4, 64)] {
            let moved = (0..10_000).filter(|number| lane(*number, before) != lane(*number, after));
            assert!(moved.clone().all(|number| lane(number, after) >= before), "they move to new lanes only");
            let (count, fair) = (moved.count(), 10_000 * usize::from(after - before) / usize::from(after));
            assert!(count.abs_diff(fair) < 300, "{before} -> {after}: {count}");
        }
    }
}
