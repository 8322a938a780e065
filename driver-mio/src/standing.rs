//! How what may be used of the network stands at the moment. Interfaces go, and come back with another number and
//! other addresses.

use std::net::IpAddr;

use crate::platform;

/// What may be used at the moment, where not everything may be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// The interface that sockets are tied to, and its number, which is another one when it comes back.
    pub(crate) device: Option<(String, u32)>,
    /// Addresses that something may be sent from.
    pub(crate) addresses: Vec<IpAddr>,
}

impl Standing {
    /// As `interface` stands: what is down counts as gone.
    pub(crate) fn of_interface(interface: &str) -> Self {
        let found = platform::interfaces().into_iter().find(|one| one.name == interface && one.up);
        found.map_or_else(Self::default, |found| Self {
            device: Some((found.name, found.number)),
            addresses: found.addresses,
        })
    }

    /// As the address stands, which whoever asks has found to be there or not.
    pub(crate) fn of_address(address: IpAddr, is_there: bool) -> Self {
        if !is_there {
            return Self::default();
        }
        // The interface that has it is the one by which packets leave, whatever the routes say. Addresses of this
        // machine alone are reached over none.
        let mut interfaces = platform::interfaces().into_iter();
        let found = interfaces.find(|one| one.addresses.contains(&address) && !one.loopback);
        let device = found.map(|found| (found.name, found.number));
        Self { device, addresses: vec![address] }
    }

    /// Whether there is an address of IPv4, or of IPv6.
    #[must_use]
    pub fn has(&self, ipv6: bool) -> bool {
        self.addresses.iter().any(|ip| ip.is_ipv6() == ipv6)
    }

    /// Whether anything may be sent at all.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// Whether sockets that listen and send by `self` do so by `other` as well.
    pub(crate) fn keeps_sockets_of(&self, other: &Self) -> bool {
        self.device == other.device
            && [false, true].iter().all(|six| self.has(*six) == other.has(*six))
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of what stands.

    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn an_interface_that_is_not_there_has_nothing_and_one_that_is_has_its_addresses() {
        let gone = Standing::of_interface("no-such-if0");
        assert!(!gone.is_open() && !gone.has(false) && !gone.has(true));
        let own = Standing::of_interface("lo");
        assert!(own.is_open() && own.addresses.contains(&Ipv4Addr::LOCALHOST.into()));
        assert!(own.device.as_ref().is_some_and(|(name, number)| name == "lo" && *number > 0));
        assert!(own.keeps_sockets_of(&own) && !own.keeps_sockets_of(&gone));
    }

    #[test]
    fn another_address_keeps_sockets_and_another_number_or_family_does_not() {
        let of = |number, addresses: &[&str]| Standing {
            device: Some(("tun0".into(), number)),
            addresses: addresses.iter().map(|ip| ip.parse().unwrap()).collect(),
        };
        let before = of(3, &["10.8.0.2"]);
        assert!(of(3, &["10.8.0.3"]).keeps_sockets_of(&before));
        assert!(!of(4, &["10.8.0.2"]).keeps_sockets_of(&before));
        assert!(!of(3, &["10.8.0.2", "fd00::2"]).keeps_sockets_of(&before));
        assert!(!of(3, &[]).keeps_sockets_of(&before));
    }

    #[test]
    fn addresses_of_this_machine_alone_are_tied_to_no_interface() {
        let address = Ipv4Addr::new(127, 0, 0, 5).into();
        let here = Standing::of_address(address, true);
        assert!(here.is_open() && here.device.is_none());
        assert!(!Standing::of_address(address, false).is_open());
    }
}
