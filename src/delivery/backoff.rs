//! Back-off with jitter, and a budget that keeps retries below a tenth of the traffic. Pure.

use std::time::Duration;
use tokio::time::Instant;

/// The number of fresh notifications that pay for one retry after "not now".
const FRESH_PER_RETRY: u32 = 10;
/// The burst of retries of an app, so that an app with little traffic can retry.
const RETRIES_SAVED_MAX: u32 = 100;
const RETRIES_AT_START: u32 = 10;

/// A pause that doubles from attempt to attempt, up to its cap.
#[derive(Clone, Copy)]
struct BackoffCurve {
    first: Duration,
    cap: Duration,
}

const SERVICE: BackoffCurve = BackoffCurve { first: Duration::from_millis(200), cap: Duration::from_secs(8) };
const TOKEN: BackoffCurve = BackoffCurve { first: Duration::from_secs(2), cap: Duration::from_secs(300) };
const RESEND: BackoffCurve = BackoffCurve { first: Duration::from_millis(50), cap: Duration::from_secs(2) };
const RECONNECT: BackoffCurve = BackoffCurve { first: Duration::from_secs(1), cap: Duration::from_secs(60) };
const CREDENTIAL: BackoffCurve = BackoffCurve { first: Duration::from_secs(60), cap: Duration::from_secs(3600) };

/// The number of connections that an app may open in a row, and the interval of further ones.
const CONNECTS_UNPACED: u32 = 3;
const CONNECT_EVERY: Duration = Duration::from_secs(1);

/// The `step`-th pause of a curve (from 0), scaled by `jitter` (0 to 1) to between half of it and all of it.
fn backoff_step(BackoffCurve { first, cap }: BackoffCurve, step: u32, jitter: f64) -> Duration {
    let full = first.saturating_mul(1 << step.min(20)).min(cap);
    full.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
}

/// The pause before the next attempt after the service answered "not now"; `attempts` were made.
pub fn later(attempts: u16, jitter: f64) -> Duration {
    backoff_step(SERVICE, u32::from(attempts.saturating_sub(1)), jitter)
}

/// The pause of a token after this number of 429 answers in a row: at least one second.
pub fn token(rejections: u32, jitter: f64) -> Duration {
    backoff_step(TOKEN, rejections.saturating_sub(1), jitter)
}

/// The pause before a resend of provably unprocessed notifications: none the first time, then growing, so that a peer
/// that refuses everything is not flooded.
pub fn resend(attempts: u16, jitter: f64) -> Option<Duration> {
    (attempts > 1).then(|| backoff_step(RESEND, u32::from(attempts) - 2, jitter))
}

/// The pause before an address is tried again: none after the first failure, then 1 s growing to 60 s.
pub fn reconnect(failures: u32, jitter: f64) -> Option<Duration> {
    (failures > 1).then(|| backoff_step(RECONNECT, failures - 2, jitter))
}

/// The pause before a broken credential is probed again: 1 min growing to 1 h.
pub fn credential_probe(failures: u32, jitter: f64) -> Duration {
    backoff_step(CREDENTIAL, failures.saturating_sub(1), jitter)
}

/// Limits the rate of an app's new connections: the first few immediately, then at most one a second, even if they
/// fail.
#[derive(Debug, Default)]
pub struct Pace {
    begun: u32,
    last: Option<Instant>,
}

impl Pace {
    /// The time at which the next connection may be opened; `None` is any time.
    pub fn next(&self) -> Option<Instant> {
        self.last.filter(|_| self.begun >= CONNECTS_UNPACED).map(|last| last + CONNECT_EVERY)
    }

    /// Records that a connection is being opened.
    pub fn begin(&mut self, now: Instant) {
        (self.begun, self.last) = (self.begun.saturating_add(1), Some(now));
    }
}

/// The retry budget: fresh traffic pays for retries.
#[derive(Debug)]
pub struct RetryBudget {
    /// In tenths of a retry.
    tenths: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self { tenths: RETRIES_AT_START * FRESH_PER_RETRY }
    }
}

impl RetryBudget {
    /// Records that `count` notifications were sent for the first time.
    pub fn earn(&mut self, count: u32) {
        self.tenths = self.tenths.saturating_add(count).min(RETRIES_SAVED_MAX * FRESH_PER_RETRY);
    }

    /// Pays for a retry. Returns false if the budget does not cover it.
    #[must_use]
    pub fn spend(&mut self) -> bool {
        let left = self.tenths.checked_sub(FRESH_PER_RETRY);
        self.tenths = left.unwrap_or(self.tenths);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_cap_and_vary_by_half() {
        assert_eq!(later(1, 1.0), Duration::from_millis(200));
        assert_eq!(later(1, 0.0), Duration::from_millis(100));
        assert_eq!(later(3, 1.0), Duration::from_millis(800));
        assert_eq!(later(u16::MAX, 1.0), Duration::from_secs(8));
        assert_eq!((token(1, 0.0), token(99, 1.0)), (Duration::from_secs(1), Duration::from_secs(300)));
    }

    #[test]
    fn unprocessed_notifications_are_resent_immediately_and_then_with_growing_pauses() {
        assert_eq!(resend(1, 0.5), None);
        assert_eq!(resend(2, 1.0), Some(Duration::from_millis(50)));
        assert_eq!(resend(u16::MAX, 1.0), Some(Duration::from_secs(2)));
    }

    #[test]
    fn an_unreachable_gateway_is_tried_with_growing_pauses() {
        assert_eq!(reconnect(1, 1.0), None);
        assert_eq!(reconnect(2, 1.0), Some(Duration::from_secs(1)));
        assert_eq!(reconnect(99, 1.0), Some(Duration::from_secs(60)));
        assert_eq!(credential_probe(1, 1.0), Duration::from_secs(60));
        assert_eq!(credential_probe(99, 1.0), Duration::from_secs(3600));
    }

    #[test]
    fn after_three_connections_each_waits_a_second_for_the_one_before() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        for _ in 0..3 {
            assert_eq!(pace.next(), None);
            pace.begin(start);
        }
        assert_eq!(pace.next(), Some(start + Duration::from_secs(1)));
        pace.begin(start + Duration::from_secs(60));
        assert_eq!(pace.next(), Some(start + Duration::from_secs(61)), "no calm saves anything up");
    }

    #[test]
    fn retries_stay_below_a_tenth_of_fresh_traffic() {
        let mut budget = RetryBudget::default();
        let retries =
            |budget: &mut RetryBudget| std::iter::repeat_with(|| budget.spend()).take_while(|paid| *paid).count();
        assert_eq!(retries(&mut budget), 10);
        budget.earn(95);
        assert_eq!(retries(&mut budget), 9);
        budget.earn(u32::MAX);
        assert_eq!(retries(&mut budget), 100);
    }
}
