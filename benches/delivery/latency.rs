//! The latency of requests in an open loop: each has a scheduled time, and its latency counts from then, so that a slow
//! answer shows in the requests that wait for it too.

use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// The distribution of latencies, in milliseconds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Percentiles {
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
}

impl Percentiles {
    pub fn of(mut latencies: Vec<Duration>) -> Self {
        latencies.sort_unstable();
        let at = |share: f64| {
            let rank = (latencies.len() as f64 * share).ceil() as usize;
            latencies[rank.clamp(1, latencies.len()) - 1].as_secs_f64() * 1000.0
        };
        Self { p50: at(0.5), p99: at(0.99), p999: at(0.999) }
    }

    /// Each percentile's median.
    pub fn median(rounds: &[Self]) -> Self {
        let of = |read: fn(&Self) -> f64| crate::figures::median(rounds.iter().map(read));
        Self { p50: of(|one| one.p50), p99: of(|one| one.p99), p999: of(|one| one.p999) }
    }
}

/// Signals each scheduled time when it arrives. A separate thread sleeps for it: the timers of the runtime are too
/// coarse.
pub fn pace(count: usize, per_second: f64) -> mpsc::Receiver<Instant> {
    let (due, times) = mpsc::channel(count.max(1));
    std::thread::spawn(move || {
        let began = Instant::now();
        for number in 0..count {
            let at = began + Duration::from_secs_f64(number as f64 / per_second);
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            if due.try_send(at).is_err() {
                return;
            }
        }
    });
    times
}
