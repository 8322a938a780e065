//! Blocks of addresses: how many hosts a stranger may stand for.
//!
//! One host of IPv4 has one address. One host of IPv6 has a whole /64 to choose from, so addresses of
//! one /64 count as one. Whoever rents servers often has a wider block too: a /24, or a /48. That is
//! a weak sign, since neighbours in a data centre or a university need not know each other.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use serde::{Deserialize, Serialize};

use super::scope::{Scope, scope};

/// The addresses that one host can have: one of IPv4, a /64 of IPv6. A block of 6to4 (RFC 3056), and an address
/// behind a translator (64:ff9b::/96, RFC 6052), is the host whose IPv4 address stands in it. Link-local addresses
/// count one by one: all hosts of a link have the same /64 there, and nobody else has.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Prefix(IpAddr);

impl Prefix {
    /// The prefix of an address. Mapped IPv4 counts as IPv4.
    pub fn of(ip: IpAddr) -> Self {
        Self(match ip.to_canonical() {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => match v6.segments() {
                [0x2002, high, low, ..] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
                    let [a, b] = high.to_be_bytes();
                    let [c, d] = low.to_be_bytes();
                    Ipv4Addr::new(a, b, c, d).into()
                }
                [0xfe80..=0xfebf, ..] => v6.into(),
                [a, b, c, d, ..] => Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into(),
            },
        })
    }

    /// The block around it that one owner may have: /24 for IPv4, /48 for IPv6.
    pub fn wide(self) -> Self {
        Self(match self.0 {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                Ipv4Addr::new(a, b, c, 0).into()
            }
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments();
                Ipv6Addr::new(a, b, c, 0, 0, 0, 0, 0).into()
            }
        })
    }

    /// The block of public addresses around `ip` that one owner may have; none in a local network and on this
    /// machine, where it would mean nothing.
    pub fn block_of(ip: IpAddr) -> Option<Self> {
        (scope(ip) == Scope::Public).then(|| Self::of(ip).wide())
    }

    /// Who may stand behind `ip`: the owner of its block, or its host where blocks mean nothing.
    pub fn owner_of(ip: IpAddr) -> Self {
        Self::block_of(ip).unwrap_or_else(|| Self::of(ip))
    }

    /// Whether it is this machine, where ports tell hosts apart and addresses do not.
    pub fn is_loopback(self) -> bool {
        match self.0 {
            IpAddr::V4(v4) => v4.is_loopback(),
            // The /64 of `::1` holds nothing else that anybody uses.
            IpAddr::V6(v6) => v6.is_unspecified(),
        }
    }

    /// The first address of it.
    pub const fn first(self) -> IpAddr {
        self.0
    }

    /// The lowest and the highest address with a port in it, without those in which an
    /// address of IPv4 stands.
    pub fn bounds(self) -> (SocketAddr, SocketAddr) {
        let last = match self.0 {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6) | u128::from(u64::MAX))),
        };
        (SocketAddr::new(self.0, 0), SocketAddr::new(last, u16::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(ip: &str) -> Prefix {
        Prefix::of(ip.parse().unwrap())
    }

    #[test]
    fn one_host_has_one_address_of_ipv4_and_a_64_of_ipv6() {
        assert_ne!(prefix("203.0.113.1"), prefix("203.0.113.2"));
        assert_eq!(prefix("203.0.113.1"), prefix("::ffff:203.0.113.1"));
        assert_eq!(prefix("2001:db8:1:2::1"), prefix("2001:db8:1:2:ffff::9"));
        assert_ne!(prefix("2001:db8:1:2::1"), prefix("2001:db8:1:3::1"));
        assert_ne!(prefix("fe80::1"), prefix("fe80::2"));
        // A host of 6to4 has 65,536 networks.
        assert_eq!(prefix("2002:cb00:7101:5::1"), prefix("203.0.113.1"));
        // Behind a translator each address of IPv4 is a host.
        assert_eq!(prefix("64:ff9b::203.0.113.1"), prefix("203.0.113.1"));
        assert_ne!(prefix("64:ff9b::203.0.113.1"), prefix("64:ff9b::203.0.113.2"));
    }

    #[test]
    fn wider_blocks_are_a_24_and_a_48() {
        assert_eq!(prefix("203.0.113.1").wide(), prefix("203.0.113.200").wide());
        assert_ne!(prefix("203.0.113.1").wide(), prefix("203.0.114.1").wide());
        assert_eq!(prefix("2001:db8:1:2::1").wide(), prefix("2001:db8:1:77::1").wide());
        assert_ne!(prefix("2001:db8:1:2::1").wide(), prefix("2001:db8:2:2::1").wide());
    }

    #[test]
    fn a_block_may_have_one_owner_and_in_a_local_network_each_host_has_another() {
        let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
        assert_eq!(Prefix::block_of(ip("203.0.113.1")), Prefix::block_of(ip("203.0.113.200")));
        assert_eq!(Prefix::owner_of(ip("203.0.113.1")), prefix("203.0.113.7").wide());
        assert_eq!(Prefix::block_of(ip("::ffff:10.0.0.1")), None);
        assert_ne!(Prefix::owner_of(ip("10.0.0.1")), Prefix::owner_of(ip("10.0.0.2")));
        assert_eq!(Prefix::owner_of(ip("fd00::1")), Prefix::owner_of(ip("fd00::2")));
        assert_eq!(Prefix::block_of(ip("127.0.0.1")), None);
    }

    #[test]
    fn this_machine_is_known_in_both_families() {
        assert!(prefix("127.0.0.1").is_loopback() && prefix("127.9.9.9").is_loopback());
        assert!(prefix("::1").is_loopback() && prefix("::ffff:127.0.0.1").is_loopback());
        assert!(!prefix("128.0.0.1").is_loopback() && !prefix("fe80::1").is_loopback());
    }

    #[test]
    fn bounds_hold_every_port_of_a_prefix() {
        let (first, last) = prefix("2001:db8::7").bounds();
        let within = |addr: &str| (first..=last).contains(&addr.parse::<SocketAddr>().unwrap());
        assert!(within("[2001:db8::1]:1") && within("[2001:db8::ffff:ffff:ffff:ffff]:65535"));
        assert!(!within("[2001:db8:0:1::]:1"));
    }
}
