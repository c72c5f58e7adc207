//! The only reader of the wall clock, so that tests and simulation can set the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time of day in UTC. It may jump: for deadlines and timers use `tokio::time::Instant` instead.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// Microseconds since the epoch of a clock moved by hand; clones share them. `None` = the system's clock.
    manual: Option<Arc<AtomicU64>>,
}

impl Clock {
    /// The clock of the machine.
    pub fn system() -> Self {
        Self { manual: None }
    }

    /// A clock that stays at `start` (UNIX seconds) until it is advanced, on this handle or any clone.
    pub fn manual(start: f64) -> Self {
        let start = Duration::try_from_secs_f64(start).unwrap_or_default();
        Self { manual: Some(Arc::new(AtomicU64::new(micros(start)))) }
    }

    /// Moves a manual clock forward. The system's clock moves by itself and is left alone.
    pub fn advance(&self, by: Duration) {
        if let Some(now) = &self.manual {
            now.fetch_add(micros(by), Ordering::Relaxed);
        }
    }

    /// UNIX time in whole seconds.
    pub fn unix_seconds(&self) -> u64 {
        self.since_epoch().as_secs()
    }

    /// UNIX time in seconds, to the microsecond.
    pub fn unix_time(&self) -> f64 {
        self.since_epoch().as_secs_f64()
    }

    #[expect(clippy::disallowed_methods, reason = "the only place that reads the wall clock")]
    fn since_epoch(&self) -> Duration {
        match &self.manual {
            Some(now) => Duration::from_micros(now.load(Ordering::Relaxed)),
            // A system clock before 1970 is read as 1970.
            None => SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_hand_and_its_clones_with_it() {
        let clock = Clock::manual(1_700_000_000.5);
        let clone = clock.clone();
        assert_eq!(clone.unix_seconds(), 1_700_000_000);
        clock.advance(Duration::from_millis(1_500));
        assert_eq!(clone.unix_seconds(), 1_700_000_002);
        assert_eq!(clone.unix_time(), 1_700_000_002.0);
    }

    #[test]
    fn the_system_clock_shows_a_current_time_and_cannot_be_moved() {
        let clock = Clock::system();
        clock.advance(Duration::from_secs(1 << 40));
        let now = clock.unix_seconds();
        assert!((1_700_000_000..1 << 40).contains(&now), "{now}");
    }
}
