//! The connection-rate guard, like a firewall in front of the gateway: blocks a source that connects too often.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{ConnectRate, ConnectionAct, Point};

/// The limit on new connections of one source.
pub struct Guard {
    rate: ConnectRate,
    sources: Mutex<HashMap<IpAddr, Source>>,
}

#[derive(Default)]
struct Source {
    recent: VecDeque<Instant>,
    blocked_until: Option<Instant>,
}

impl Guard {
    pub fn new(rate: ConnectRate) -> Self {
        Self { rate, sources: Mutex::default() }
    }

    /// Counts a connection of `source`. Returns its breakage if the source is blocked.
    pub fn blocks(&self, source: IpAddr, now: Instant) -> Option<ConnectionAct> {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let source = sources.entry(source).or_default();
        let act = || ConnectionAct::Break { at: Point::Accept, how: self.rate.how };
        if source.blocked_until.is_some_and(|until| now < until) {
            return Some(act());
        }
        let window = Duration::from_secs(self.rate.seconds.into());
        while source.recent.front().is_some_and(|first| *first + window <= now) {
            source.recent.pop_front();
        }
        if source.recent.len() < self.rate.limit as usize {
            source.recent.push_back(now);
            return None;
        }
        source.recent.clear();
        source.blocked_until = Some(now + Duration::from_millis(self.rate.block_ms));
        Some(act())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Breakage;
    use super::*;

    #[test]
    fn a_source_that_connects_too_often_is_blocked_for_a_while_and_no_other() {
        let guard = Guard::new(ConnectRate { limit: 2, seconds: 1, block_ms: 5000, how: Breakage::Close });
        let (one, other) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let start = Instant::now();
        let blocked = |source, ms| guard.blocks(source, start + Duration::from_millis(ms)).is_some();
        assert_eq!([0, 10, 1000, 1010].map(|ms| blocked(one, ms)), [false; 4], "two a second");
        assert_eq!([1020, 3000, 6019].map(|ms| blocked(one, ms)), [true; 3]);
        assert!(!blocked(other, 3000));
        assert_eq!([6020, 6021, 6022].map(|ms| blocked(one, ms)), [false, false, true]);
    }
}
