//! What a URL says: whom to ask, and for what. The path and the query are sent byte for byte.

use base64::prelude::{BASE64_STANDARD, Engine};
use hyper::Uri;
use hyper::header::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Host;

use crate::resolver::host_of;

/// A URL, taken apart.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) origin: Origin,
    /// Path and query.
    pub(super) path: Uri,
    /// Host and port as the server is told them.
    pub(super) host: HeaderValue,
    /// User and password.
    pub(super) authorization: Option<HeaderValue>,
}

impl Target {
    /// The whole URL, as a proxy is told it that asks for us.
    pub(super) fn whole(&self) -> Option<Uri> {
        let scheme = if self.origin.tls { "https" } else { "http" };
        let authority = self.host.to_str().ok()?;
        let path = self.path.path_and_query()?.clone();
        Uri::builder().scheme(scheme).authority(authority).path_and_query(path).build().ok()
    }
}

/// Who is asked, and how.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Origin {
    pub(super) tls: bool,
    pub(super) host: Host<String>,
    pub(super) port: u16,
}

impl Target {
    /// Takes a URL of HTTP apart; `None` where it is none.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let tls = match scheme {
            _ if scheme.eq_ignore_ascii_case("http") => false,
            _ if scheme.eq_ignore_ascii_case("https") => true,
            _ => return None,
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        // Where somebody reads this as the end of the host, another host would be asked than they think.
        if authority.contains('\\') {
            return None;
        }
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        // A colon within brackets is one of an address.
        let (host, port) = match place.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port),
            _ => (place, ""),
        };
        let port = match port {
            "" if tls => 443,
            "" => 80,
            _ if port.bytes().all(|byte| byte.is_ascii_digit()) => port.parse().ok()?,
            _ => return None,
        };
        let host = host_of(host).ok()?;
        let told = match (tls, port) {
            (false, 80) | (true, 443) => host.to_string(),
            _ => format!("{host}:{port}"),
        };
        let path = path.split('#').next().unwrap_or_default();
        let slash = if path.starts_with('/') { "" } else { "/" };
        Some(Self {
            origin: Origin { tls, host, port },
            path: Uri::builder().path_and_query(format!("{slash}{path}")).build().ok()?,
            host: HeaderValue::from_str(&told).ok()?,
            authorization: user.and_then(authorization),
        })
    }
}

/// What a server is sent for `USER:PASSWORD`.
fn authorization(user: &str) -> Option<HeaderValue> {
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let mut plain: Vec<u8> = percent_decode_str(user).collect();
    plain.push(b':');
    plain.extend(percent_decode_str(password));
    let mut value =
        HeaderValue::from_str(&format!("Basic {}", BASE64_STANDARD.encode(plain))).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    //! Unit tests of URLs.

    use super::*;

    #[test]
    fn a_url_is_taken_apart_and_its_path_sent_byte_for_byte() {
        for (url, tls, host, port, path) in [
            ("http://t.example/announce", false, "t.example", 80, "/announce"),
            ("HTTPS://T.Example", true, "t.example", 443, "/"),
            ("http://t.example:8080?a=%2f%2F/../x", false, "t.example", 8080, "/?a=%2f%2F/../x"),
            ("http://t.example:/a/./b//c#d", false, "t.example", 80, "/a/./b//c"),
            ("http://[2001:db8::1]:81/a", false, "[2001:db8::1]", 81, "/a"),
            ("http://[::1]/a", false, "[::1]", 80, "/a"),
            ("http://трекер.рф/announce", false, "xn--e1aaowdh.xn--p1ai", 80, "/announce"),
            ("http://a:b@c@t.example/", false, "t.example", 80, "/"),
        ] {
            let target = Target::parse(url).unwrap();
            let origin = &target.origin;
            assert_eq!((origin.tls, origin.port), (tls, port), "{url}");
            assert_eq!(origin.host.to_string(), host);
            assert_eq!(target.path.to_string(), path);
        }
        for url in [
            "",
            "t.example",
            "ftp://t.example/",
            "http:///a",
            "http://t.example:x/",
            "http://t.example:65536/",
            "http://t.example/a b",
            "http://t.example/a\r\nX: y",
            "http://a b/",
            "http://t.example\\@other/",
        ] {
            assert!(Target::parse(url).is_none(), "{url}");
        }
    }

    #[test]
    fn the_server_is_told_its_name_and_user_and_password() {
        let target = Target::parse("http://us%40er:pass%3aword@t.example:81/a").unwrap();
        assert_eq!(target.host, "t.example:81");
        let told = target.authorization.unwrap();
        let plain = BASE64_STANDARD.decode(&told.as_bytes()[6..]).unwrap();
        assert!(told.as_bytes().starts_with(b"Basic ") && plain == b"us@er:pass:word");
        let target = Target::parse("https://t.example:443/a").unwrap();
        assert!(target.host == "t.example" && target.authorization.is_none());
    }
}
