//! The limit of connections: of the node, and of one address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// An address, or a network of them, as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    bits: u128,
    prefix: u32,
}

impl Network {
    /// The loopback addresses: a proxy on this machine speaks for many callers.
    pub const LOOPBACK: [Self; 2] =
        [Self { bits: 0xffff_7f00_0000, prefix: 104 }, Self { bits: Ipv6Addr::LOCALHOST.to_bits(), prefix: 128 }];

    /// Returns true if the address is in this network.
    pub fn holds(self, address: IpAddr) -> bool {
        let differing = self.bits ^ bits(address);
        self.prefix == 0 || differing >> (128 - self.prefix) == 0
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WHAT: &str = "it has to be an IP address or a network, 10.1.2.3 or 10.0.0.0/8";
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| WHAT)?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let length = length.map_or(Ok(whole), str::parse).ok().filter(|length| *length <= whole).ok_or(WHAT)?;
        Ok(Self { bits: bits(address), prefix: 128 - whole + length })
    }
}

/// The bits of an address as IPv6; an IPv4 address is mapped.
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

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

/// The connections that are open, and their limits.
#[derive(Debug)]
pub struct ConnectionLimit {
    free: Arc<Semaphore>,
    per_address: usize,
    /// Addresses of load balancers: many callers share one of them.
    shared: Vec<Network>,
    taken: Mutex<HashMap<IpAddr, usize>>,
}

impl ConnectionLimit {
    pub fn new(all: usize, per_address: usize, shared: Vec<Network>) -> Arc<Self> {
        let free = Arc::new(Semaphore::new(all.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { free, per_address, shared, taken: Mutex::default() })
    }

    /// Returns a permit for a connection from `peer`; `None` is a Unix socket.
    pub fn acquire(self: &Arc<Self>, peer: Option<IpAddr>) -> Result<Permit, LimitReached> {
        let free = Arc::clone(&self.free).try_acquire_owned().map_err(|_| LimitReached::Node)?;
        let counted = match peer.filter(|peer| !self.shared.iter().any(|network| network.holds(*peer))) {
            Some(peer) => Some(self.count(subscriber(peer))?),
            None => None,
        };
        Ok(Permit { _free: free, _counted: counted })
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
    _free: OwnedSemaphorePermit,
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
    fn one_address_cannot_take_the_permits_of_others_and_gives_its_own_back() {
        let limit = ConnectionLimit::new(5, 2, Vec::new());
        let first = limit.acquire(ip("192.0.2.1")).expect("a permit");
        let _second = limit.acquire(ip("::ffff:192.0.2.1")).expect("a permit");
        assert_eq!(limit.acquire(ip("192.0.2.1")).err(), Some(LimitReached::Address));
        let _other = limit.acquire(ip("192.0.2.2")).expect("a permit");
        drop(first);
        let _again = limit.acquire(ip("192.0.2.1")).expect("a permit that was given back");
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
        assert_eq!(Network::LOOPBACK, ["127.0.0.0/8", "::1"].map(|text| text.parse().expect("a network")));
        assert!("0.0.0.0/0".parse::<Network>().is_ok_and(|all| all.holds("8.8.8.8".parse().expect("an address"))));
        for bad in ["", "10.0.0.0/33", "x/8", "10.0.0.0/"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
