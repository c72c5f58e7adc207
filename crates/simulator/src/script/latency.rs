//! The distributions of answer latency that a script can name.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Milliseconds between processing a request and answering it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Latency {
    FixedMs(f64),
    UniformMs(f64, f64),
    /// `median` and `max` in milliseconds; `sigma` is the deviation of the logarithm.
    LogNormalMs {
        median: f64,
        sigma: f64,
        max: f64,
    },
    /// One of these values, each equally likely, such as measured latencies.
    EmpiricalMs(Vec<f64>),
}

/// The maximum delay of an answer.
const LATENCY_MAX_MS: f64 = 3_600_000.0;

impl Latency {
    pub fn is_valid(&self) -> bool {
        let usable = |value: f64| value.is_finite() && value >= 0.0;
        match self {
            Self::FixedMs(fixed) => usable(*fixed),
            Self::UniformMs(low, high) => usable(*low) && usable(*high) && low <= high,
            Self::LogNormalMs { median, sigma, max } => usable(*median) && usable(*sigma) && usable(*max),
            Self::EmpiricalMs(measured) => !measured.is_empty() && measured.iter().all(|one| usable(*one)),
        }
    }

    pub fn draw(&self, random: &mut fastrand::Rng) -> Duration {
        let ms = match self {
            Self::FixedMs(fixed) => *fixed,
            Self::UniformMs(low, high) => low + (high - low) * random.f64(),
            Self::LogNormalMs { median, sigma, max } => (median * (sigma * normal(random)).exp()).min(*max),
            Self::EmpiricalMs(measured) => measured[random.usize(..measured.len())],
        };
        Duration::from_secs_f64(ms.clamp(0.0, LATENCY_MAX_MS) / 1000.0)
    }
}

/// A standard normal deviate (Box and Muller).
fn normal(random: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.f64()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_normal_latency_has_its_median_in_the_middle_and_keeps_below_its_maximum() {
        let latency = Latency::LogNormalMs { median: 30.0, sigma: 1.0, max: 200.0 };
        let mut random = fastrand::Rng::with_seed(7);
        let mut drawn: Vec<f64> = (0..2001).map(|_| latency.draw(&mut random).as_secs_f64() * 1000.0).collect();
        drawn.sort_by(f64::total_cmp);
        assert!((25.0..36.0).contains(&drawn[1000]), "median {}", drawn[1000]);
        assert!(drawn[2000] <= 200.001);
    }

    #[test]
    fn an_empirical_latency_has_the_measured_frequencies() {
        let latency = Latency::EmpiricalMs(vec![10.0, 10.0, 10.0, 900.0]);
        let mut random = fastrand::Rng::with_seed(7);
        let drawn: Vec<u128> = (0..1000).map(|_| latency.draw(&mut random).as_millis()).collect();
        let slow = drawn.iter().filter(|ms| **ms == 900).count();
        assert!((200..300).contains(&slow) && drawn.iter().all(|ms| [10, 900].contains(ms)), "{slow}");
        assert!(!Latency::EmpiricalMs(Vec::new()).is_valid());
    }

    #[test]
    fn a_uniform_latency_stays_within_its_bounds() {
        let latency = Latency::UniformMs(5.0, 10.0);
        let mut random = fastrand::Rng::with_seed(7);
        assert!((0..1000).all(|_| (5.0..=10.0).contains(&(latency.draw(&mut random).as_secs_f64() * 1000.0))));
    }
}
