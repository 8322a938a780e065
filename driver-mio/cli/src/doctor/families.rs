//! Over which address families anything can be sent to the internet. Nothing is: the system is asked which address it
//! would send from.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use eddyline::base::addr::{Scope, scope};
use eddyline_mio::network::NetworkPolicy;

use super::super::exit::{NETWORK, io_text};
use super::report::{Check, Part, Verdict};

/// Addresses that nobody has (RFC 5737, RFC 3849): what leads to them leads to everybody.
const SOMEBODY: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
];

/// Looks for a way out by IPv4 and by IPv6.
pub fn check(policy: &NetworkPolicy) -> Check {
    of(SOMEBODY
        .map(|ip| policy.allows(ip.is_ipv6()).then(|| policy.source_to(SocketAddr::new(ip, 9)))))
}

/// What is said of both; `None` for a family that may not be used.
fn of(found: [Option<io::Result<IpAddr>>; 2]) -> Check {
    let works = found.each_ref().map(|way| matches!(way, Some(Ok(ip)) if leads_out(*ip)));
    let private = matches!(&found[0], Some(Ok(ip)) if scope(*ip) == Scope::Local);
    let parts = ["IPv4", "IPv6"].into_iter().zip(found).map(|(name, way)| part(name, way));
    let parts = parts.collect();
    let (verdict, summary) = match works {
        [true, true] => (Verdict::Ok, "both IPv4 and IPv6 lead to the internet"),
        [true, false] => (Verdict::Ok, "IPv4 leads to the internet, IPv6 does not"),
        [false, true] => (
            Verdict::Warning,
            "IPv6 leads to the internet, IPv4 does not: many peers have IPv4 alone",
        ),
        [false, false] => (Verdict::Bad, "nothing leads to the internet"),
    };
    let check = Check::new("families", NETWORK, verdict, summary).with(parts);
    match (verdict, private) {
        (Verdict::Bad, _) => check.advise("look at the connection of this machine, and at its default route"),
        (_, true) => check.advise(
            "the IPv4 address is one of a local network: for peers to connect, the router has to let the port in",
        ),
        _ => check,
    }
}

/// Whether packets from an address of ours come back from the internet. Routers put their own in the place of one of a
/// local network where that is IPv4.
fn leads_out(ip: IpAddr) -> bool {
    match scope(ip) {
        Scope::Public => true,
        Scope::Local => ip.is_ipv4() && !ip.is_unspecified(),
        Scope::Loopback => false,
    }
}

fn part(name: &str, way: Option<io::Result<IpAddr>>) -> Part {
    match way {
        None => Part::new(name, Verdict::Ok, "not used (--bind)"),
        Some(Ok(ip)) if leads_out(ip) => Part::new(name, Verdict::Ok, format!("sends from {ip}")),
        Some(Ok(ip)) => {
            let text = format!("{ip} is known on this machine or in the local network alone");
            Part::new(name, Verdict::Ok, text)
        }
        Some(Err(error)) => Part::new(name, Verdict::Ok, io_text(&error)),
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of what is said of the families.

    use super::*;

    fn from(ip: &str) -> Option<io::Result<IpAddr>> {
        Some(Ok(ip.parse().unwrap()))
    }

    #[test]
    fn a_family_that_leads_nowhere_is_bad_only_where_none_leads_anywhere() {
        let none = || Some(Err(io::ErrorKind::NetworkUnreachable.into()));
        assert_eq!(of([from("198.51.100.7"), from("2001:db8::7")]).verdict, Verdict::Ok);
        let behind_router = of([from("192.168.1.5"), none()]);
        assert!(behind_router.verdict == Verdict::Ok && behind_router.advice.is_some());
        assert_eq!(of([none(), from("2001:db8::7")]).verdict, Verdict::Warning);
        assert_eq!(of([none(), None]).verdict, Verdict::Bad);
        assert_eq!(of([from("127.0.0.1"), None]).verdict, Verdict::Bad);
        assert_eq!(of([none(), from("fd00::2")]).verdict, Verdict::Bad);
        assert!(of([from("192.168.1.5"), from("fd00::2")]).summary.contains("IPv6 does not"));
    }
}
