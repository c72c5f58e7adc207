//! The difference between this node's clock and the shared store's, as a beat shows it. Pure.

use crate::store::members::CLOCKS_APART_MAX;
use std::time::Duration;

/// The difference of two clocks, known to half a round trip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClockOffset {
    /// This node's time less the store's, in seconds: negative if this node is behind.
    pub seconds: f64,
    /// The most by which `seconds` is wrong.
    error: f64,
}

/// The meaning of an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agreement {
    /// At most [`CLOCKS_APART_MAX`].
    Agree,
    /// More than that.
    Apart,
    /// The round trip took too long to say.
    Unsure,
}

impl ClockOffset {
    /// Compares this node's clock at the arrival of an answer, in UNIX seconds, with the store's time in the answer, in
    /// UNIX microseconds. The store read its clock at an unknown moment of the round trip.
    pub fn of(arrival: f64, round_trip: Duration, store_micros: i64) -> Self {
        let error = round_trip.as_secs_f64() / 2.0;
        Self { seconds: arrival - error - store_micros as f64 / 1e6, error }
    }

    pub fn agreement(self) -> Agreement {
        let (apart, max) = (self.seconds.abs(), CLOCKS_APART_MAX.as_secs_f64());
        if apart - self.error > max {
            Agreement::Apart
        } else if apart + self.error <= max {
            Agreement::Agree
        } else {
            Agreement::Unsure
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offset(seconds: f64, round_trip_ms: u64) -> ClockOffset {
        let round_trip = Duration::from_millis(round_trip_ms);
        ClockOffset::of(1_000.0 + seconds + round_trip.as_secs_f64() / 2.0, round_trip, 1_000_000_000)
    }

    #[test]
    fn the_offset_is_that_of_the_middle_of_the_round_trip() {
        for seconds in [-30.0, -0.25, 0.0, 7.5] {
            assert!((offset(seconds, 400).seconds - seconds).abs() < 1e-6, "{seconds}");
        }
    }

    #[test]
    fn clocks_are_apart_beyond_5_seconds_in_either_direction() {
        for sign in [-1.0, 1.0] {
            for (seconds, agreement) in [
                (0.0, Agreement::Agree),
                (4.99, Agreement::Agree),
                (5.0, Agreement::Unsure),
                (5.01, Agreement::Apart),
                (1e9, Agreement::Apart),
            ] {
                assert_eq!(offset(sign * seconds, 2).agreement(), agreement, "{seconds}");
            }
        }
    }

    #[test]
    fn a_slow_answer_neither_raises_the_alarm_nor_ends_it() {
        for seconds in [4.6, 5.4] {
            assert_eq!(offset(seconds, 1_000).agreement(), Agreement::Unsure, "{seconds}");
        }
        assert_eq!(offset(5.6, 1_000).agreement(), Agreement::Apart);
        assert_eq!(offset(4.4, 1_000).agreement(), Agreement::Agree);
    }
}
