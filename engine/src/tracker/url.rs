//! What stands in the URL of a tracker: the one place of the engine that takes URLs apart. They are never put
//! together again from their parts, since a tracker is asked byte for byte what its URL says.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::base::addr::{Scope, scope};
use crate::base::pace::owner;

/// The part between scheme and path, without user and password.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let rest = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
    rest.rsplit_once('@').map_or(rest, |(_, host)| host)
}

/// The address in a URL that holds one in place of a name.
pub fn literal_ip(url: &str) -> Option<IpAddr> {
    ip_of(host_text(url))
}

/// The address that a host is, in any of the ways in which it may be written in a URL: of IPv4 as one to four numbers,
/// decimal, octal (`0…`) or hexadecimal (`0x…`), the last of which stands for all bytes that are left.
fn ip_of(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse() {
        return Some(ip);
    }
    let parts: Vec<&str> = text.strip_suffix('.').unwrap_or(text).split('.').collect();
    let number = |part: &&str| match part.strip_prefix('0') {
        Some(rest) if rest.starts_with(['x', 'X']) => match &rest[1..] {
            "" => Some(0),
            digits => u64::from_str_radix(digits, 16).ok(),
        },
        Some(rest) if !rest.is_empty() => u64::from_str_radix(rest, 8).ok(),
        _ => part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?,
    };
    let numbers: Vec<u64> = parts.iter().map(number).collect::<Option<_>>()?;
    let (last, before) = numbers.split_last()?;
    let bytes_left = 4u32.checked_sub(before.len() as u32).filter(|left| *left > 0)?;
    if before.iter().any(|byte| *byte > 255) || *last >= 256u64.pow(bytes_left) {
        return None;
    }
    let high = before.iter().enumerate().map(|(at, byte)| byte << (24 - 8 * at)).sum::<u64>();
    Some(IpAddr::V4(Ipv4Addr::from((high + last) as u32)))
}

fn host_text(url: &str) -> &str {
    let authority = authority(url);
    match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    }
}

/// The port that stands in a URL.
fn port(url: &str) -> Option<u16> {
    authority(url).rsplit_once(':').and_then(|(_, port)| port.parse().ok())
}

fn is_udp(url: &str) -> bool {
    url.get(..4).is_some_and(|scheme| scheme.eq_ignore_ascii_case("udp:"))
}

/// Whether HTTP is spoken, with or without TLS.
pub fn is_web(url: &str) -> bool {
    let begins = |scheme: &str| {
        url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    begins("http://") || begins("https://")
}

/// Whether a URL holds an address of IPv6, or one of IPv4; `None` for a name.
pub fn literal_family(url: &str) -> Option<bool> {
    if authority(url).starts_with('[') {
        return Some(true);
    }
    ip_of(host_text(url)).is_some().then_some(false)
}

/// Host, port and the path with query of a `udp://` URL.
pub fn split_udp_url(url: &str) -> Option<(String, u16, String)> {
    let rest = url.get(..6).filter(|s| s.eq_ignore_ascii_case("udp://")).map(|_| &url[6..])?;
    let rest = rest.split('#').next()?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (host, port) = authority.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = port.parse().ok().filter(|port| *port != 0)?;
    (!host.is_empty()).then(|| (host.to_string(), port, path.to_string()))
}

/// Who is asked by a URL, whatever the port and the path: a name, or an address with those that have
/// the same owner; on this machine each port is somebody else. Asking by UDP is another matter than by
/// HTTP: where one is blocked, the other may well work. Hosts that are written so that they have to be
/// decoded, and may be any other, are one.
pub fn host_of(url: &str) -> String {
    let text = host_text(url);
    let is_odd = |c: char| c == '%' || !c.is_ascii() && c.is_numeric();
    let host = match ip_of(text) {
        Some(ip) => address_key(SocketAddr::new(ip, port(url).unwrap_or(0))),
        None if text.contains(is_odd) => String::from("%"),
        None => text.trim_end_matches('.').to_ascii_lowercase(),
    };
    if is_udp(url) { format!("udp {host}") } else { host }
}

fn address_key(addr: SocketAddr) -> String {
    match addr.ip() {
        ip if scope(ip) == Scope::Loopback => format!("{ip} {}", addr.port()),
        ip => owner(ip).to_string(),
    }
}

/// What [`host_of`] says of a UDP tracker at this address.
pub fn udp_host(addr: SocketAddr) -> String {
    format!("udp {}", address_key(addr))
}

/// Whether a URL that a stranger gave may lead to this machine or into a local network: only where it
/// looks like a tracker's and has nothing in it by which something else there could be told to do
/// something.
pub fn may_be_near(url: &str) -> bool {
    let rest = url.split_once("://").map_or("", |(_, rest)| rest);
    let plain = !rest.contains(['?', '\\', '@']);
    let path = rest.split('#').next().and_then(|rest| rest.find('/').map(|at| &rest[at..]));
    plain
        && match path {
            None | Some("/") => is_udp(url),
            Some(path) => path.ends_with("/announce") || path.ends_with("/scrape"),
        }
}

/// The same for a URL that a server named which is as near itself: that may well repeat our query, and
/// the path says what it is.
pub fn may_be_near_by_redirect(url: &str) -> bool {
    may_be_near(url.split('?').next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    //! Unit tests of URLs.

    use super::*;

    #[test]
    fn an_address_is_one_host_however_it_is_written() {
        for text in [
            "203.0.113.20",
            "3405803796",
            "0xcb007114",
            "0XCB.0.113.20",
            "0313.0.0161.024",
            "203.28948",
            "203.0.28948",
            "203.0.113.20.",
            "0xcb.0x0.0x71.0x14",
        ] {
            assert_eq!(host_of(&format!("http://me@{text}:8080/x")), "203.0.113.20", "{text}");
            assert_eq!(literal_ip(&format!("https://{text}")), Some([203, 0, 113, 20].into()));
        }
        for name in [
            "203.0.113.20.example",
            "1.2.3.4.5",
            "256.1.1.1",
            "4294967296",
            "09.1.1.1",
            "0xg",
            "a.1",
            "1..2",
        ] {
            assert_eq!(host_of(&format!("http://{name}/")), name);
        }
        for odd in ["%32%30%33.0.113.20", "２０３.0.113.20", "20%33.0.113.20", "①.example"] {
            assert_eq!(host_of(&format!("http://{odd}/")), "%", "{odd}");
        }
    }

    #[test]
    fn a_host_is_one_whatever_stands_around_it() {
        for url in [
            "http://Example.ORG/announce",
            "https://example.org:8443/a?b#c",
            "http://example.org.:1/",
            "http://user:pass@example.org",
            "http://example.org\\@other/",
        ] {
            assert_eq!(host_of(url), "example.org", "{url}");
        }
        assert_eq!(host_of("UDP://Example.org.:1/"), "udp example.org");
        assert_eq!(host_of("http://192.0.2.1:80/x"), "192.0.2.1");
        assert_eq!(host_of("http://[2001:db8::1:2:3:4]:80/x"), "2001:db8::");
        assert_eq!(host_of("http://127.0.0.1:80/x"), "127.0.0.1 80");
        assert_eq!(host_of("http://u@[::1]:0081/x"), "::1 81");
        assert_eq!(host_of("udp://[::1]/"), "udp ::1 0");
        assert_eq!(literal_ip("udp://[::1]:9/announce"), "::1".parse().ok());
        assert_eq!(literal_ip("http://a.b/"), None);
    }

    #[test]
    fn a_url_says_whether_it_is_http_and_whether_it_holds_an_address() {
        assert!(is_web("HTTP://t/") && is_web("https://t/"));
        assert!(
            !is_web("/announce?next=http://t/") && !is_web("udp://t:1") && !is_web("httpü://t")
        );
        assert_eq!(literal_family("http://u@[::1]:80/x"), Some(true));
        assert_eq!(literal_family("http://192.0.2.1:80/x"), Some(false));
        assert_eq!(literal_family("http://t.example/192.0.2.1"), None);
    }

    #[test]
    fn only_what_looks_like_a_tracker_may_be_near() {
        for url in [
            "http://192.168.1.1/announce",
            "http://127.0.0.1:6969/x/announce",
            "http://localhost/scrape",
            "udp://127.0.0.1:80",
            "udp://127.0.0.1:80/",
            "UDP://127.0.0.1:80/announce",
            "http://127.0.0.1/announce#x",
        ] {
            assert!(may_be_near(url), "{url}");
        }
        for url in [
            "http://192.168.1.1/",
            "http://192.168.1.1",
            "http://192.168.1.1/reboot",
            "http://192.168.1.1/announce?do=reboot",
            "http://192.168.1.1/reboot?x=/announce",
            "http://192.168.1.1/reboot#/announce",
            "http://192.168.1.1/announce/",
            "http://user@192.168.1.1/announce",
            "udp://127.0.0.1:80/reboot",
        ] {
            assert!(!may_be_near(url), "{url}");
        }
        assert!(may_be_near_by_redirect("http://127.0.0.1/x/announce?info_hash=y"));
        for url in
            ["http://127.0.0.1/reboot?x=/announce", "http://127.0.0.1/?a", "http://127.0.0.1"]
        {
            assert!(!may_be_near_by_redirect(url), "{url}");
        }
    }
}
