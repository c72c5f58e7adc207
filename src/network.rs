//! A network of IP addresses, as operators write it in a list of those that may connect. Pure.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

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

    /// Returns true if the address is in it; an IPv4 address also in its form as IPv6.
    pub fn holds(self, address: IpAddr) -> bool {
        let differing = self.bits ^ bits(address);
        self.prefix == 0 || differing >> (128 - self.prefix) == 0
    }

    /// Returns true if every address in it is in `other`, too.
    pub fn lies_in(self, other: Self) -> bool {
        self.prefix >= other.prefix && other.holds(Ipv6Addr::from_bits(self.bits).into())
    }
}

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WHAT: &str = "must be an IP address or a network, 10.1.2.3 or 10.0.0.0/8";
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

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        text.parse().expect(text)
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        assert_eq!(Network::LOOPBACK, ["127.0.0.0/8", "::1"].map(network));
        for (text, address, holds) in [
            ("0.0.0.0/0", "8.8.8.8", true),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.1.2.3", "10.1.2.3", true),
            ("10.1.2.3", "10.1.2.4", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("2001:db8::/32", "2001:db9::1", false),
        ] {
            assert_eq!(network(text).holds(address.parse().expect(address)), holds, "{text} {address}");
        }
        for bad in ["", "10.0.0.0/33", "x/8", "10.0.0.0/"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_network_lies_in_another_if_all_of_its_addresses_do() {
        for (inner, outer, lies) in [
            ("127.0.0.1", "127.0.0.0/8", true),
            ("127.0.0.0/8", "127.0.0.0/8", true),
            ("0.0.0.0/0", "127.0.0.0/8", false),
            ("10.0.0.0/8", "127.0.0.0/8", false),
        ] {
            assert_eq!(network(inner).lies_in(network(outer)), lies, "{inner} {outer}");
        }
    }
}
