//! The limits of connections, of the node and of one address.

use crate::budget::{self, Budget};
use crate::network::Network;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// The address under which a client is counted: in IPv6, a /64 network belongs to one subscriber.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

/// The limit that refuses a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitReached {
    Node,
    Address,
}

/// The open connections and their limits.
#[derive(Debug)]
pub struct ConnectionLimit {
    all: Arc<Budget>,
    per_address: usize,
    /// Addresses that many callers share, such as those of load balancers.
    shared: Vec<Network>,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

impl ConnectionLimit {
    pub fn new(all: usize, per_address: usize, shared: Vec<Network>) -> Arc<Self> {
        Arc::new(Self { all: Budget::new(all), per_address, shared, taken: Mutex::default() })
    }

    /// Returns a permit for a connection from `peer`; `None` is a Unix socket.
    pub fn acquire(self: &Arc<Self>, peer: Option<IpAddr>) -> Result<Permit, LimitReached> {
        let of_all = self.all.try_acquire(1).ok_or(LimitReached::Node)?;
        let counted = match peer.filter(|peer| !self.shared.iter().any(|network| network.holds(*peer))) {
            Some(peer) => Some(self.count(subscriber(peer))?),
            None => None,
        };
        Ok(Permit { _of_all: of_all, _counted: counted })
    }

    fn count(self: &Arc<Self>, address: IpAddr) -> Result<Counted, LimitReached> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.get(&address).copied().unwrap_or(0);
        if count >= self.per_address {
            return Err(LimitReached::Address);
        }
        taken.insert(address, count + 1);
        Ok(Counted { limit: Arc::clone(self), address })
    }
}

/// One connection under the limits. Dropping it frees them.
#[derive(Debug)]
pub struct Permit {
    _of_all: budget::Permit,
    _counted: Option<Counted>,
}

#[derive(Debug)]
struct Counted {
    limit: Arc<ConnectionLimit>,
    address: IpAddr,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut taken = self.limit.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    #[test]
    fn one_address_cannot_take_the_permits_of_others_and_returns_its_permits() {
        let limit = ConnectionLimit::new(5, 2, Vec::new());
        let first = limit.acquire(ip("192.0.2.1")).expect("a permit");
        let _second = limit.acquire(ip("::ffff:192.0.2.1")).expect("a permit");
        assert_eq!(limit.acquire(ip("192.0.2.1")).err(), Some(LimitReached::Address));
        let _other = limit.acquire(ip("192.0.2.2")).expect("a permit");
        drop(first);
        let _again = limit.acquire(ip("192.0.2.1")).expect("a returned permit");
        let _unix = (limit.acquire(None).expect("a permit"), limit.acquire(None).expect("the last permit"));
        assert_eq!(limit.acquire(None).err(), Some(LimitReached::Node));
        assert_eq!(limit.taken.lock().expect("no panic").len(), 2);
    }

    #[test]
    fn an_ipv6_subscriber_is_one_address() {
        let limit = ConnectionLimit::new(5, 1, Vec::new());
        let _first = limit.acquire(ip("2001:db8:1:2::1")).expect("a permit");
        assert_eq!(limit.acquire(ip("2001:db8:1:2:ffff::9")).err(), Some(LimitReached::Address));
        assert!(limit.acquire(ip("2001:db8:1:3::1")).is_ok());
    }

    #[test]
    fn a_load_balancer_may_have_more() {
        let shared = ["10.0.0.0/8", "192.0.2.7", "::1"].map(|text| text.parse().expect("a network"));
        let limit = ConnectionLimit::new(5, 0, shared.into());
        for shared in ["10.255.0.1", "::ffff:10.0.0.1", "192.0.2.7", "::1"] {
            assert!(limit.acquire(ip(shared)).is_ok(), "{shared}");
        }
        for own in ["11.0.0.1", "192.0.2.6", "::2"] {
            assert_eq!(limit.acquire(ip(own)).err(), Some(LimitReached::Address), "{own}");
        }
    }
}
