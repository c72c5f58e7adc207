//! Chooses the gateway address of the next connection: none twice while others are free, and failed ones with
//! exponential back-off. Pure.

use crate::delivery::backoff;
use std::cmp::Reverse;
use std::net::SocketAddr;
use tokio::time::Instant;

/// The maximum number of failed addresses remembered; a gateway has about ten, and they change.
const FAILED_MAX: usize = 64;

#[derive(Debug)]
struct FailedAddress {
    address: SocketAddr,
    /// The number of failures in a row.
    failures: u32,
    until: Instant,
}

/// The addresses that failed lately.
#[derive(Debug, Default)]
pub struct Addresses {
    failed: Vec<FailedAddress>,
}

/// An address to connect to.
#[derive(Debug, PartialEq, Eq)]
pub struct Choice {
    pub address: SocketAddr,
    /// Another address without failures is free, so that this one needs no long timeout.
    pub spare: bool,
}

impl Addresses {
    /// The best address of `known` that may be tried now: fewest connections, then fewest failures, then the resolver's
    /// order.
    pub fn choose(&self, known: &[SocketAddr], in_use: &[SocketAddr], now: Instant) -> Option<Choice> {
        let may_try = |address: &&SocketAddr| self.failure_of(**address).is_none_or(|failure| failure.until <= now);
        let failures = |address| self.failure_of(address).map_or(0, |failure| failure.failures);
        let uses = |address| in_use.iter().filter(|used| **used == address).count();
        let address = *known.iter().filter(may_try).min_by_key(|address| (uses(**address), failures(**address)))?;
        let spare = known.iter().any(|other| *other != address && failures(*other) == 0);
        Some(Choice { address, spare })
    }

    /// The time at which one of `known` may be tried.
    pub fn free_at(&self, known: &[SocketAddr]) -> Option<Instant> {
        let until = |address: &SocketAddr| self.failure_of(*address).map(|failure| failure.until);
        // None sorts before Some: an address without failures is free at any time.
        known.iter().map(until).min()?
    }

    /// Records that a connection to the address failed.
    pub fn failed(&mut self, address: SocketAddr, now: Instant, jitter: f64) {
        let failures = self.failure_of(address).map_or(1, |failure| failure.failures.saturating_add(1));
        self.succeeded(address);
        if self.failed.len() == FAILED_MAX {
            self.failed.sort_unstable_by_key(|failure| Reverse(failure.until));
            self.failed.pop();
        }
        let until = now + backoff::reconnect(failures, jitter).unwrap_or_default();
        self.failed.push(FailedAddress { address, failures, until });
    }

    /// Records that a connection to the address worked.
    pub fn succeeded(&mut self, address: SocketAddr) {
        self.failed.retain(|failure| failure.address != address);
    }

    fn failure_of(&self, address: SocketAddr) -> Option<&FailedAddress> {
        self.failed.iter().find(|failure| failure.address == address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([17, 0, 0, last], 443))
    }

    #[test]
    fn no_address_is_used_twice_while_another_is_free() {
        let (addresses, known, now) = (Addresses::default(), [address(1), address(2)], Instant::now());
        let chosen = |in_use: &[SocketAddr]| addresses.choose(&known, in_use, now).map(|choice| choice.address);
        assert_eq!(chosen(&[]), Some(address(1)));
        assert_eq!(chosen(&[address(1)]), Some(address(2)));
        assert_eq!(chosen(&[address(1), address(2)]), Some(address(1)));
        assert_eq!(addresses.choose(&[], &[], now), None);
    }

    #[test]
    fn a_failed_address_is_skipped_and_tried_with_growing_pauses() {
        let (mut addresses, known, now) = (Addresses::default(), [address(1), address(2)], Instant::now());
        assert_eq!(addresses.choose(&known, &[], now), Some(Choice { address: address(1), spare: true }));
        addresses.failed(address(1), now, 1.0);
        assert_eq!(addresses.choose(&known, &[], now), Some(Choice { address: address(2), spare: false }));
        assert_eq!(addresses.free_at(&known), None);
        assert_eq!(addresses.free_at(&known[..1]), Some(now), "the first failure costs nothing");
        addresses.failed(address(1), now, 1.0);
        addresses.failed(address(2), now, 1.0);
        addresses.failed(address(2), now, 1.0);
        addresses.failed(address(2), now, 1.0);
        assert_eq!(addresses.choose(&known, &[], now), None);
        assert_eq!(addresses.free_at(&known), Some(now + SECOND));
        let later = addresses.choose(&known, &[address(1)], now + 2 * SECOND);
        assert_eq!(later.map(|choice| choice.address), Some(address(2)));
        addresses.succeeded(address(1));
        assert_eq!(addresses.free_at(&known), None);
    }

    #[test]
    fn the_number_of_remembered_failures_is_limited() {
        let (mut addresses, now) = (Addresses::default(), Instant::now());
        for port in 0..200 {
            addresses.failed(SocketAddr::from(([17, 0, 0, 1], port)), now, 1.0);
        }
        assert_eq!(addresses.failed.len(), FAILED_MAX);
    }
}
