//! The only reader of the wall clock, so that tests and simulation can set the time; and of the machine's own clock.

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

/// Milliseconds since this machine was started. They also pass while the process is stopped or the machine sleeps
/// (`CLOCK_BOOTTIME`), and they never jump.
pub fn boot_ms() -> u64 {
    #[cfg(target_os = "linux")]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Boottime;
    // On macOS this clock does not stop during sleep either.
    #[cfg(not(target_os = "linux"))]
    const CLOCK: rustix::time::ClockId = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(CLOCK);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
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
    fn the_clock_of_the_machine_is_the_one_that_the_kernel_shows() {
        let uptime = || {
            let text = std::fs::read_to_string("/proc/uptime").unwrap();
            let seconds: f64 = text.split(' ').next().unwrap().parse().unwrap();
            (seconds * 1000.0) as u64
        };
        let (before, now, after) = (uptime(), boot_ms(), uptime());
        assert!((before..=after + 10).contains(&now), "{before} {now} {after}");
    }

    #[test]
    fn the_system_clock_shows_a_current_time_and_cannot_be_moved() {
        let clock = Clock::system();
        clock.advance(Duration::from_secs(1 << 40));
        let now = clock.unix_seconds();
        assert!((1_700_000_000..1 << 40).contains(&now), "{now}");
    }
}
