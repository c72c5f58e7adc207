//! Pauses device tokens for which Apple answered 429 `TooManyRequests`. Pure.
//!
//! While a token rests, its notifications wait. Then one is sent, and the others wait for its answer.

use crate::delivery::backoff;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// The maximum number of tokens remembered; beyond that a 429 delays only its notification.
const TOKENS_MAX: usize = 4096;

/// A token is forgotten once its pause is below this.
const PAUSE_MIN: Duration = Duration::from_millis(200);

#[derive(Debug, Clone, Copy)]
struct Rest {
    until: Instant,
    pause: Duration,
    rejections: u32,
    /// A notification is in flight to test the token.
    trial: bool,
}

/// The tokens that rest, by their [`fingerprint`].
#[derive(Debug, Default)]
pub struct Throttle {
    tokens: HashMap<u64, Rest>,
}

/// The fingerprint of a token. Two tokens with the same fingerprint would only wait for each other.
pub fn fingerprint(token: &[u8]) -> u64 {
    // The multiplier of Steele and Vigna's LCG for 64 bits: odd, with well spread bits.
    const MULTIPLIER: u64 = 0xd134_2543_de82_ef95;
    let mix = |hash: u64, word: u64| (hash.rotate_left(23) ^ word).wrapping_mul(MULTIPLIER);
    let (words, rest) = token.as_chunks::<8>();
    let tail = rest.iter().fold(rest.len() as u64, |tail, byte| tail << 8 | u64::from(*byte));
    let hash = words.iter().fold(mix(0, tail), |hash, word| mix(hash, u64::from_le_bytes(*word)));
    hash ^ hash.rotate_left(32).wrapping_mul(MULTIPLIER)
}

impl Throttle {
    /// Returns true if no token rests, the usual case.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Records a 429 for this token. Returns the time of the next try, not before `asked` has passed. Several
    /// notifications in flight together count once.
    pub fn rejected(&mut self, token: u64, asked: Duration, now: Instant, jitter: f64) -> Instant {
        if self.tokens.len() >= TOKENS_MAX {
            self.tokens.retain(|_, rest| now < rest.until);
        }
        let before = self.tokens.get(&token).copied();
        if let Some(rest) = before.filter(|rest| now < rest.until && !rest.trial) {
            return rest.until;
        }
        let rejections = before.map_or(1, |rest| rest.rejections.saturating_add(1));
        let pause = backoff::token(rejections, jitter).max(asked);
        let until = now + pause;
        if before.is_some() || self.tokens.len() < TOKENS_MAX {
            self.tokens.insert(token, Rest { until, pause, rejections, trial: false });
        }
        until
    }

    /// The time until which this token rests.
    pub fn resting_until(&self, token: u64, now: Instant) -> Option<Instant> {
        self.tokens.get(&token).map(|rest| rest.until).filter(|until| now < *until)
    }

    /// Records a notification sent to this token: if the token rested, the others wait for its answer.
    pub fn mark_sent(&mut self, token: u64, now: Instant) {
        if let Some(rest) = self.tokens.get_mut(&token) {
            (rest.until, rest.trial) = (now + rest.pause, true);
        }
    }

    /// Records that Apple accepted a notification for this token: the others follow one by one, with shrinking pauses.
    pub fn accepted(&mut self, token: u64) {
        let Some(rest) = self.tokens.get_mut(&token) else { return };
        rest.pause /= 2;
        if rest.pause < PAUSE_MIN {
            self.tokens.remove(&token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_token_rests_for_growing_pauses_with_one_notification_after_each() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        assert_eq!(throttle.rejected(7, Duration::ZERO, start, 1.0), start + 2 * SECOND);
        assert_eq!(throttle.rejected(7, Duration::ZERO, start + SECOND, 1.0), start + 2 * SECOND, "of the same burst");
        assert_eq!(throttle.resting_until(7, start + SECOND), Some(start + 2 * SECOND));
        assert_eq!(throttle.resting_until(8, start + SECOND), None);
        assert_eq!(throttle.resting_until(7, start + 2 * SECOND), None);
        throttle.mark_sent(7, start + 2 * SECOND);
        assert_eq!(throttle.resting_until(7, start + 3 * SECOND), Some(start + 4 * SECOND), "the others wait for it");
        assert_eq!(throttle.rejected(7, Duration::ZERO, start + 3 * SECOND, 1.0), start + 7 * SECOND);
        throttle.mark_sent(7, start + 7 * SECOND);
        throttle.accepted(7);
        throttle.mark_sent(7, start + 11 * SECOND);
        assert_eq!(throttle.resting_until(7, start + 11 * SECOND), Some(start + 13 * SECOND), "half as long");
        (0..4).for_each(|_| throttle.accepted(7));
        assert!(throttle.is_empty());
    }

    #[test]
    fn apple_may_ask_for_more_time() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        assert_eq!(throttle.rejected(7, 60 * SECOND, start, 0.0), start + 60 * SECOND);
    }

    #[test]
    fn the_number_of_remembered_tokens_is_limited() {
        let (mut throttle, start) = (Throttle::default(), Instant::now());
        for token in 0..2 * TOKENS_MAX as u64 {
            assert_eq!(throttle.rejected(token, Duration::ZERO, start, 0.0), start + SECOND);
        }
        assert_eq!(throttle.tokens.len(), TOKENS_MAX);
        throttle.rejected(0, Duration::ZERO, start + SECOND, 0.0);
        assert_eq!(throttle.tokens.len(), 1, "those that have rested make room");
    }

    #[test]
    fn similar_tokens_have_different_fingerprints() {
        let prints: std::collections::HashSet<u64> =
            (0..100_000).map(|number| fingerprint(format!("{number:064x}").as_bytes())).collect();
        assert_eq!(prints.len(), 100_000);
        let buckets: std::collections::HashSet<u64> = prints.iter().map(|print| print >> 51).collect();
        assert_eq!(buckets.len(), 8192, "and fill all buckets");
        assert_ne!(fingerprint(b"00"), fingerprint(b"0000"));
    }
}
