//! The monotonic clock of another node, and deadlines told in it. Pure.
//!
//! A batch names its deadline on its receiver's own monotonic clock, not as a duration: a duration would begin again when
//! a stopped process wakes up and reads what lay in its socket. The two clocks need not agree. A PONG carries the other
//! clock's time, which was read after its PING was sent and before it arrived: that bounds the difference on both sides,
//! a round trip apart. A deadline uses the lower bound, so that it is never later than the caller's, and earlier
//! by a round trip at most.

use std::collections::VecDeque;
use std::time::Duration;

/// PONGs that the estimate rests on. Older ones are forgotten, so that clocks may drift apart.
const SAMPLES_MAX: usize = 8;

/// One PING and its PONG.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// Their clock minus ours, in milliseconds, is more than this …
    above: i128,
    /// … and less than this.
    below: i128,
}

/// The monotonic clock of another node, as seen from this one. It is forgotten with its link.
#[derive(Debug, Default)]
pub struct PeerClock {
    samples: VecDeque<Sample>,
    round_trip: Option<Duration>,
}

impl PeerClock {
    pub fn new() -> Self {
        Self::default()
    }

    /// Learns from a PONG: when its PING was sent and when it arrived on our clock, and the time on theirs, all in
    /// milliseconds.
    pub fn pong(&mut self, sent_ms: u64, received_ms: u64, theirs_ms: u64) {
        let received_ms = received_ms.max(sent_ms);
        self.round_trip = Some(Duration::from_millis(received_ms - sent_ms));
        // Each number is rounded down by less than a millisecond.
        let above = i128::from(theirs_ms) - i128::from(received_ms) - 1;
        let below = i128::from(theirs_ms) - i128::from(sent_ms) + 1;
        // Bounds that contradict each other: one of the clocks stood still, as that of a machine which was moved.
        let agrees = |sample: &Sample| sample.above < below && above < sample.below;
        if !self.samples.iter().all(agrees) {
            self.samples.clear();
        }
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { above, below });
    }

    /// The time on their clock at `ours_ms` on ours, too early by a round trip at most and never too late. `None`
    /// before the first PONG.
    pub fn theirs_ms(&self, ours_ms: u64) -> Option<u64> {
        let above = self.samples.iter().map(|sample| sample.above).max()?;
        let theirs = (i128::from(ours_ms) + above).max(0);
        Some(u64::try_from(theirs).unwrap_or(u64::MAX))
    }

    /// The time between the last PING and its PONG.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }
}

/// The time left until a deadline on our own clock; `None` once it has passed. Nothing may be sent then.
pub fn time_left(deadline_ms: u64, now_ms: u64) -> Option<Duration> {
    deadline_ms.checked_sub(now_ms).filter(|left| *left > 0).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn before_the_first_pong_their_time_is_unknown() {
        assert_eq!((PeerClock::new().theirs_ms(5), PeerClock::new().round_trip()), (None, None));
    }

    #[test]
    fn a_deadline_is_told_in_their_time_and_early_by_a_round_trip_at_most() {
        let mut clock = PeerClock::new();
        // Theirs is 1,000,000 ahead. The way there takes 1 ms and the way back 9 ms.
        clock.pong(100, 110, 1_000_101);
        assert_eq!(clock.theirs_ms(500), Some(1_000_490));
        assert_eq!(clock.round_trip(), Some(Duration::from_millis(10)));
    }

    #[test]
    fn the_quickest_of_the_last_pongs_counts_and_a_slow_one_spoils_nothing() {
        let mut clock = PeerClock::new();
        clock.pong(0, 2, 5_001);
        let quick = clock.theirs_ms(1_000);
        // This process was stopped while the PONG lay in its socket.
        clock.pong(100, 30_100, 5_101);
        assert_eq!(clock.theirs_ms(1_000), quick);
        assert_eq!(quick, Some(5_998));
    }

    #[test]
    fn old_pongs_are_forgotten_so_that_clocks_may_drift() {
        let mut clock = PeerClock::new();
        // Their clock loses one millisecond of 1,000.
        for second in 0..60 {
            clock.pong(second * 1000, second * 1000 + 4, 10_000 + second * 999 + 2);
        }
        let truth = 10_000 + 60_000 * 999 / 1000;
        let told = clock.theirs_ms(60_000).unwrap();
        assert!((truth - 10..=truth + SAMPLES_MAX as u64).contains(&told), "{told} and it is {truth}");
    }

    #[test]
    fn a_clock_that_stood_still_is_learnt_again_from_the_next_pong() {
        let mut clock = PeerClock::new();
        (0..4).for_each(|at| clock.pong(at * 500, at * 500 + 2, 10_000 + at * 500 + 1));
        // Their machine was moved to another host, and its clock with it: 20 s are missing.
        clock.pong(30_000, 30_002, 20_001);
        assert_eq!(clock.theirs_ms(31_000), Some(20_998));
    }

    #[test]
    fn a_process_that_was_stopped_finds_the_deadline_passed() {
        let mut clock = PeerClock::new();
        clock.pong(1_000, 1_002, 9_001);
        let deadline = clock.theirs_ms(1_002 + 10_000).expect("a PONG");
        // Read at once; and 30 s later, when the receiver wakes up.
        assert!(time_left(deadline, 9_003).is_some_and(|left| left <= Duration::from_secs(10)));
        assert_eq!(time_left(deadline, 39_003), None);
        assert_eq!(time_left(5, 5), None);
    }

    #[test]
    fn no_time_is_out_of_range() {
        let mut clock = PeerClock::new();
        clock.pong(u64::MAX, 0, 0);
        assert_eq!(clock.theirs_ms(5), Some(0));
        clock.pong(0, 0, u64::MAX);
        assert_eq!(clock.theirs_ms(u64::MAX), Some(u64::MAX));
    }

    proptest! {
        #[test]
        fn whatever_the_network_does_a_deadline_is_never_told_too_late(
            offset in -1_000_000_i64..1_000_000,
            trips in prop::collection::vec((0_u64..10_000, 0_u64..3_000, 0_u64..3_000), 1..20),
        ) {
            let theirs = |ours: u64| ours.saturating_add_signed(offset);
            let (mut clock, mut now, mut quickest) = (PeerClock::new(), 2_000_000_u64, Vec::new());
            for (pause, there, back) in trips {
                now += pause;
                clock.pong(now, now + there + back, theirs(now + there));
                now += there + back;
                quickest.push(there + back);
            }
            let told = clock.theirs_ms(now).expect("a PONG");
            let most = quickest.iter().rev().take(SAMPLES_MAX).min().expect("one");
            prop_assert!(told <= theirs(now), "{told} after {}", theirs(now));
            prop_assert!(told + most + 1 >= theirs(now), "{told} is early by more than {most}");
        }
    }
}
