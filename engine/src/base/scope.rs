//! From where an address can be reached, and who may name it to us.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use serde::{Deserialize, Serialize};

/// Where an address can be reached from. The later, the nearer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Scope {
    /// Anywhere on the internet.
    Public,
    /// Only this link or this site: private, link-local, carrier-shared, benchmarking and multicast
    /// ranges, and whatever leads into one of them through a translator or tunnel.
    Local,
    /// Only this machine.
    Loopback,
}

impl Scope {
    /// Whether somebody here may name an address of the scope `other` to us: nobody has anything to
    /// say of networks that are nearer to us than to him.
    pub fn may_name(self, other: Self) -> bool {
        other <= self
    }
}

/// The scope of `ip`. Mapped IPv4 counts as IPv4. Ranges for documentation count as public: nothing
/// is there, or somebody has laid out a network of his own with them, which is not ours.
pub fn scope(ip: IpAddr) -> Scope {
    match ip.to_canonical() {
        IpAddr::V4(v4) => scope_v4(v4),
        IpAddr::V6(v6) => scope_v6(v6),
    }
}

fn scope_v4(ip: Ipv4Addr) -> Scope {
    match ip.octets() {
        // Connecting to 0.0.0.0 reaches this machine.
        [0 | 127, ..] => Scope::Loopback,
        // Private, carrier-shared, link-local, protocol assignments, benchmarking.
        [10, ..]
        | [100, 64..=127, ..]
        | [169, 254, ..]
        | [172, 16..=31, ..]
        | [192, 0, 0, _]
        | [192, 168, ..]
        | [198, 18 | 19, ..]
        // Multicast, reserved, broadcast.
        | [224..=255, ..] => Scope::Local,
        _ => Scope::Public,
    }
}

fn scope_v6(ip: Ipv6Addr) -> Scope {
    if ip.is_loopback() || ip.is_unspecified() {
        return Scope::Loopback;
    }
    if let Some([first, second]) = embedded(ip) {
        return scope_v4(first).max(scope_v4(second));
    }
    match ip.segments() {
        // Unique local, link-local, site-local, multicast.
        [0xfc00..=0xfdff | 0xfe80..=0xfeff | 0xff00..=0xffff, ..]
        // NAT64 of a site, discard, benchmarking.
        | [0x64, 0xff9b, 1, ..]
        | [0x100, 0, 0, 0, ..]
        | [0x2001, 2, 0, ..] => Scope::Local,
        _ => Scope::Public,
    }
}

/// The IPv4 addresses that an IPv6 address leads to, through a translator or a tunnel; twice the same
/// where there is one.
fn embedded(ip: Ipv6Addr) -> Option<[Ipv4Addr; 2]> {
    let v4 = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    let one = match ip.segments() {
        // Compatible (deprecated), and translated.
        [0, 0, 0, 0, 0, 0, high, low] | [0, 0, 0, 0, 0xffff, 0, high, low] => v4(high, low),
        // NAT64.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => v4(high, low),
        // 6to4.
        [0x2002, high, low, ..] => v4(high, low),
        // Teredo: a server, and a client whose bits are turned.
        [0x2001, 0, high, low, .., client_high, client_low] => {
            return Some([v4(high, low), v4(!client_high, !client_low)]);
        }
        _ => return None,
    };
    Some([one, one])
}

/// True for an address at which nobody can be: unspecified, multicast, reserved, discarded.
pub fn is_reserved(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => matches!(v4.octets(), [0 | 224..=255, ..]),
        IpAddr::V6(v6) => match v6.segments() {
            [0, 0, 0, 0, 0, 0, _, low] => !v6.is_loopback() || low == 0,
            [0xff00..=0xffff, ..] | [0x100, 0, 0, 0, ..] => true,
            _ => false,
        },
    }
}

/// The first of the addresses that stand for a name which somebody else looks up: a proxy of the driver, or one on the
/// way that answers for every name (198.18.0.0/15, as all of these use it). Nobody is there.
pub const PLACEHOLDERS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);

/// True for an address that stands for a name. Whoever answers there has another one.
pub fn is_placeholder(ip: IpAddr) -> bool {
    matches!(ip.to_canonical(), IpAddr::V4(v4) if matches!(v4.octets(), [198, 18 | 19, ..]))
}

/// Whether somebody may lead us to `ip` by a name: as [`Scope::may_name`], and to what stands for one.
pub fn may_lead_to(teller: Scope, ip: IpAddr) -> bool {
    is_placeholder(ip) || teller.may_name(scope(ip))
}

/// True for an address one could connect to at all.
pub fn is_dialable(addr: SocketAddr) -> bool {
    addr.port() != 0 && !is_reserved(addr.ip())
}

/// True for an address that means the same to others and in another run.
pub fn is_lasting(addr: SocketAddr) -> bool {
    is_dialable(addr) && !is_placeholder(addr.ip())
}

#[cfg(test)]
mod tests {
    //! Unit tests of scopes.

    use super::*;

    #[test]
    fn what_stands_for_a_name_may_be_led_to_and_not_be_named() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        for (text, stands, led) in [
            ("198.18.0.1", true, true),
            ("198.19.255.255", true, true),
            ("::ffff:198.18.0.1", true, true),
            ("198.17.255.255", false, true),
            ("198.20.0.0", false, true),
            ("10.0.0.1", false, false),
            ("::1", false, false),
        ] {
            assert_eq!(is_placeholder(ip(text)), stands, "{text}");
            assert_eq!(may_lead_to(Scope::Public, ip(text)), led, "{text}");
            assert_eq!(is_lasting(SocketAddr::new(ip(text), 9)), !stands, "{text}");
            assert!(!stands || !Scope::Public.may_name(scope(ip(text))), "{text}");
        }
    }

    #[test]
    fn every_range_has_its_scope_and_tunnels_have_that_of_their_end() {
        use Scope::{Local, Loopback, Public};
        let table = [
            ("8.8.8.8", Public),
            ("1.0.0.0", Public),
            ("9.255.255.255", Public),
            ("10.0.0.1", Local),
            ("100.63.255.255", Public),
            ("100.64.0.1", Local),
            ("100.127.255.255", Local),
            ("100.128.0.0", Public),
            ("127.0.0.1", Loopback),
            ("127.255.3.9", Loopback),
            ("0.0.0.0", Loopback),
            ("0.1.2.3", Loopback),
            ("169.254.1.1", Local),
            ("172.15.0.1", Public),
            ("172.16.0.1", Local),
            ("172.31.255.255", Local),
            ("172.32.0.1", Public),
            ("192.0.0.8", Local),
            ("192.0.2.1", Public),
            ("192.168.1.1", Local),
            ("198.17.255.255", Public),
            ("198.18.0.1", Local),
            ("198.19.255.255", Local),
            ("198.20.0.0", Public),
            ("198.51.100.1", Public),
            ("203.0.113.7", Public),
            ("224.0.0.1", Local),
            ("240.0.0.1", Local),
            ("255.255.255.255", Local),
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:10.0.0.1", Local),
            ("::ffff:8.8.8.8", Public),
            ("::", Loopback),
            ("::1", Loopback),
            ("::127.0.0.1", Loopback),
            ("::10.0.0.1", Local),
            ("::ffff:0:192.168.0.1", Local),
            ("64:ff9b::127.0.0.1", Loopback),
            ("64:ff9b::192.168.1.1", Local),
            ("64:ff9b::8.8.8.8", Public),
            ("64:ff9b:1::8.8.8.8", Local),
            ("2002:7f00:1::1", Loopback),
            ("2002:c0a8:101::1", Local),
            ("2002:808:808::1", Public),
            // A Teredo client 192.168.1.1 behind a public server, and one behind a private server.
            ("2001:0:808:808:0:0:3f57:fefe", Local),
            ("2001:0:a00:1:0:0:f7f7:f7f7", Local),
            ("2001:0:808:808:0:0:f7f7:f7f7", Public),
            ("2001:2::1", Local),
            ("2001:db8::1", Public),
            ("2001:db8:1::1", Public),
            ("2a00::1", Public),
            ("100::1", Local),
            ("fc00::1", Local),
            ("fdff::1", Local),
            ("fe80::1", Local),
            ("fec0::1", Local),
            ("ff02::1", Local),
        ];
        for (text, expected) in table {
            assert_eq!(scope(text.parse().unwrap()), expected, "{text}");
        }
    }

    #[test]
    fn where_nobody_can_be_nobody_is_called() {
        let nobody = ["0.0.0.0", "0.0.0.1", "224.0.0.1", "240.1.1.1", "255.255.255.255", "::"];
        let nobody = nobody.into_iter().chain(["::5", "::8.8.8.8", "ff02::1", "100::1"]);
        for text in nobody {
            assert!(is_reserved(text.parse().unwrap()), "{text}");
        }
        for text in ["127.0.0.1", "10.0.0.1", "203.0.113.1", "::1", "fe80::1", "2001:db8::1"] {
            let ip = text.parse().unwrap();
            assert!(is_dialable(SocketAddr::new(ip, 1)) && !is_dialable(SocketAddr::new(ip, 0)));
        }
    }

    #[test]
    fn nobody_names_what_is_nearer_to_us_than_to_him() {
        use Scope::{Local, Loopback, Public};
        assert!(Public.may_name(Public) && !Public.may_name(Local) && !Public.may_name(Loopback));
        assert!(Local.may_name(Public) && Local.may_name(Local) && !Local.may_name(Loopback));
        assert!(Loopback.may_name(Public) && Loopback.may_name(Local));
        assert!(Loopback.may_name(Loopback));
    }
}
