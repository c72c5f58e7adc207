//! The status of an app: the sum over its lanes, on one node or on several. Pure.

use crate::delivery::bound::{self, Bound, Times};

/// The last error.
#[derive(Debug, Clone, PartialEq)]
pub struct LastError {
    /// UNIX seconds.
    pub at: f64,
    /// A sentence.
    pub what: String,
}

/// The state of an app. Ordered: a worse state is greater.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum AppState {
    #[default]
    Ok,
    Connecting,
    CannotConnect,
    BreakerOpen,
    CredentialError,
}

impl AppState {
    pub const ALL: [Self; 5] =
        [Self::Ok, Self::Connecting, Self::CannotConnect, Self::BreakerOpen, Self::CredentialError];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Connecting => "connecting",
            Self::CannotConnect => "cannot_connect",
            Self::BreakerOpen => "breaker_open",
            Self::CredentialError => "credential_error",
        }
    }
}

/// The status of an app, over lanes of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AppStatus {
    /// The worst state of its lanes.
    pub state: AppState,
    /// The latest error of its lanes.
    pub last_error: Option<LastError>,
    /// The time when Apple last accepted a notification, in UNIX seconds.
    pub last_success: Option<f64>,
    pub connections: usize,
    /// The number of concurrent requests that Apple allows on all connections.
    pub streams: usize,
    pub in_flight: usize,
    pub queued: usize,
    /// The recent time of its running lanes, by bound.
    pub recent: Times,
}

impl AppStatus {
    /// The bound with most of the lanes' time.
    pub fn bound_by(&self) -> Bound {
        bound::most(&self.recent)
    }

    /// Adds the status of further lanes.
    pub fn add(&mut self, other: Self) {
        self.state = self.state.max(other.state);
        let is_later = |error: &LastError| self.last_error.as_ref().is_none_or(|last| last.at <= error.at);
        if let Some(later) = other.last_error.filter(is_later) {
            self.last_error = Some(later);
        }
        let last_success = [self.last_success, other.last_success].into_iter().flatten();
        self.last_success = last_success.reduce(f64::max);
        self.connections = self.connections.saturating_add(other.connections);
        self.streams = self.streams.saturating_add(other.streams);
        self.in_flight = self.in_flight.saturating_add(other.in_flight);
        self.queued = self.queued.saturating_add(other.queued);
        self.recent.iter_mut().zip(other.recent).for_each(|(sum, time)| *sum = sum.saturating_add(time));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn error(at: f64) -> Option<LastError> {
        Some(LastError { at, what: format!("at {at}") })
    }

    #[test]
    fn a_sum_has_the_worst_state_the_latest_times_and_the_bound_of_most_time() {
        let second = Duration::from_secs(1);
        let one = AppStatus {
            state: AppState::BreakerOpen,
            last_error: error(2.0),
            last_success: Some(1.0),
            connections: 1,
            streams: usize::MAX,
            in_flight: 3,
            queued: 4,
            recent: [second, second, Duration::ZERO, Duration::ZERO, Duration::MAX],
        };
        let other = AppStatus {
            state: AppState::Connecting,
            last_error: error(1.0),
            last_success: Some(5.0),
            connections: 2,
            streams: 1,
            in_flight: 30,
            queued: 40,
            recent: [Duration::ZERO, second, Duration::ZERO, Duration::ZERO, second],
        };
        for (first, second) in [(one.clone(), other.clone()), (other, one)] {
            let mut sum = first;
            sum.add(second);
            assert_eq!((sum.state, &sum.last_error, sum.last_success), (AppState::BreakerOpen, &error(2.0), Some(5.0)));
            assert_eq!((sum.connections, sum.streams, sum.in_flight, sum.queued), (3, usize::MAX, 33, 44));
            assert_eq!(sum.bound_by(), Bound::Cpu);
            sum.add(AppStatus::default());
            assert_eq!(sum.state, AppState::BreakerOpen, "a node without a lane changes nothing");
        }
    }
}
