//! What stands in the URL of a tracker.

use alloc::format;
use alloc::string::{String, ToString};
use core::net::IpAddr;

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
    host_text(url).parse().ok()
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

/// Who is asked by a URL, whatever the port and the path: a name, or an address with those that have
/// the same owner; on this machine each port is somebody else. Asking by UDP is another matter than by
/// HTTP: where one is blocked, the other may well work.
pub fn host_of(url: &str) -> String {
    let text = host_text(url);
    let host = match text.parse::<IpAddr>() {
        Ok(ip) if scope(ip) == Scope::Loopback => format!("{ip} {}", port(url).unwrap_or(0)),
        Ok(ip) => owner(ip).to_string(),
        Err(_) => text.trim_end_matches('.').to_ascii_lowercase(),
    };
    if is_udp(url) { format!("udp {host}") } else { host }
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
