//! The pauses between attempts to connect to a peer, and the budget of errands that take another way. Pure.

use crate::delivery::backoff::RetryBudget;
use std::time::Duration;
use tokio::time::Instant;

/// Pause after the first failure; it doubles up to [`PAUSE_MAX`].
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A link earns a tenth of a change of way in this time: ten in a second for the two links of a peer.
const TENTH_EVERY: Duration = Duration::from_millis(20);

/// The pause before the next attempt, after so many failures in a row: 0.25, 0.5, 1, 1, … seconds, less up to a fifth
/// by `jitter` (0 to 1), so that nodes do not come all at once.
pub fn reconnect(failures: u32, jitter: f64) -> Duration {
    let full = PAUSE_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(8)).min(PAUSE_MAX);
    full.mul_f64(1.0 - jitter.clamp(0.0, 1.0) / 5.0)
}

/// Pays for errands that take another way: a tenth of all errands, and five a second of each link.
#[derive(Debug)]
pub struct RerouteBudget {
    budget: RetryBudget,
    /// The time up to which seconds were paid out.
    earned_to: Instant,
}

impl RerouteBudget {
    pub fn new(now: Instant) -> Self {
        Self { budget: RetryBudget::default(), earned_to: now }
    }

    /// An errand came.
    pub fn earn(&mut self) {
        self.budget.earn(1);
    }

    /// Pays for one errand. Returns false if the budget does not cover it.
    #[must_use]
    pub fn spend(&mut self, now: Instant) -> bool {
        let past = now.saturating_duration_since(self.earned_to);
        let tenths = (past.as_millis() / TENTH_EVERY.as_millis()).min(1 << 20) as u32;
        self.earned_to += TENTH_EVERY * tenths;
        self.budget.earn(tenths);
        self.budget.spend()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_cannot_be_reached_is_tried_after_a_quarter_a_half_and_then_each_second() {
        let pauses = [0, 1, 2, 3, 4, 99].map(|failures| reconnect(failures, 0.0).as_millis());
        assert_eq!(pauses, [250, 250, 500, 1000, 1000, 1000]);
        assert_eq!(reconnect(1, 1.0), Duration::from_millis(200));
    }

    #[test]
    fn a_tenth_of_the_errands_and_five_a_second_may_take_another_way() {
        let start = Instant::now();
        let mut budget = RerouteBudget::new(start);
        let count = |budget: &mut RerouteBudget, now| (0..1000).take_while(|_| budget.spend(now)).count();
        assert_eq!(count(&mut budget, start), 10, "at the start");
        (0..50).for_each(|_| budget.earn());
        assert_eq!(count(&mut budget, start), 5);
        assert_eq!(count(&mut budget, start + Duration::from_secs(2)), 10);
        assert_eq!(count(&mut budget, start + Duration::from_secs(3600)), 100, "a calm saves up only so much");
    }
}
