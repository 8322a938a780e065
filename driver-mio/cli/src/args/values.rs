//! What may stand behind a flag: hosts, addresses of trackers, ratios, and words for values of the engine.

use std::net::SocketAddr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use eddyline::base::host_name::parse_host_port;
use eddyline::tracker::split_udp_url;
use http::Uri;
use url::Url;

/// A peer, or a node of the DHT: a numeric address or a name, with a port.
pub(super) fn parse_address(text: &str) -> Result<String, String> {
    let text = text.trim();
    let addr = text.parse::<SocketAddr>().ok().filter(|addr| addr.port() != 0);
    if addr.is_some() || parse_host_port(text).is_some() {
        return Ok(text.to_owned());
    }
    Err("HOST:PORT is needed, as in 192.0.2.1:6881, [2001:db8::1]:6881 or host.example:6881".into())
}

/// The same for a node to join the DHT through; nothing stands for none.
pub(super) fn parse_bootstrap(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Ok(String::new()) } else { parse_address(text) }
}

/// The address of a web server.
pub(super) fn parse_mirror(text: &str) -> Result<String, String> {
    let text = text.trim();
    let blank = text.chars().any(|c| c.is_whitespace() || c.is_control());
    let host = Url::parse(text).ok().filter(|url| ["http", "https"].contains(&url.scheme()));
    let host = host.and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    if host.is_empty() || blank {
        return Err("a web server's address is like https://host/folder/".into());
    }
    Ok(text.to_owned())
}

/// The address of a tracker that this program can ask.
pub(super) fn parse_tracker(text: &str) -> Result<String, String> {
    let text = text.trim();
    let is = |scheme: &str| {
        text.get(..scheme.len()).is_some_and(|head| head.eq_ignore_ascii_case(scheme))
    };
    if is("udp://") {
        let parts = split_udp_url(text);
        return parts.map(|_| text.to_owned()).ok_or_else(|| {
            "a udp tracker needs host and port, as in udp://tracker.example:6969/announce".into()
        });
    }
    if !is("http://") && !is("https://") {
        return Err("a tracker's address begins with http://, https:// or udp://".into());
    }
    let host = text.parse::<Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
    match host.filter(|host| !host.is_empty()) {
        Some(_) => Ok(text.to_owned()),
        None => Err("that is no address of a web server".into()),
    }
}

/// A share ratio: any number from 0 up.
pub(super) fn parse_ratio(text: &str) -> Result<f64, String> {
    let ratio = text.trim().parse::<f64>().ok();
    let ratio = ratio.filter(|ratio| ratio.is_finite() && *ratio >= 0.0);
    ratio.ok_or_else(|| "a ratio is a number from 0 up, as in 1.5".into())
}

/// Reads one of a few words as what it stands for.
pub(super) fn one_of<T: Copy + Send + Sync + 'static, const N: usize>(
    words: [(&'static str, T); N],
) -> impl TypedValueParser<Value = T> {
    one_of_values(words.map(|(word, value)| (PossibleValue::new(word), value)))
}

/// The same, with a sentence on each in `--help`.
pub(super) fn one_explained<T: Copy + Send + Sync + 'static, const N: usize>(
    words: [(&'static str, &'static str, T); N],
) -> impl TypedValueParser<Value = T> {
    one_of_values(words.map(|(word, help, value)| (PossibleValue::new(word).help(help), value)))
}

fn one_of_values<T: Copy + Send + Sync + 'static, const N: usize>(
    words: [(PossibleValue, T); N],
) -> impl TypedValueParser<Value = T> {
    let allowed = PossibleValuesParser::new(words.clone().map(|(word, _)| word));
    allowed.try_map(move |text| {
        let found = words.iter().find(|(word, _)| word.get_name() == text);
        found.map(|(_, value)| *value).ok_or("no such word")
    })
}

#[cfg(test)]
mod tests {
    //! Unit tests of values of flags.

    use super::*;

    #[test]
    fn no_node_at_all_may_be_asked_for_and_no_node_that_is_none() {
        assert_eq!(parse_bootstrap(""), Ok(String::new()));
        assert_eq!(parse_bootstrap("node.example:6881"), Ok("node.example:6881".into()));
        assert!(parse_bootstrap("foo").is_err() && parse_address("").is_err());
    }

    #[test]
    fn a_ratio_is_a_number_that_can_be_reached() {
        assert_eq!(parse_ratio(" 1.5"), Ok(1.5));
        assert_eq!(parse_ratio("0"), Ok(0.0));
        for text in ["nan", "NaN", "inf", "-inf", "infinity", "-1", "1e999", "", "x", "1,5"] {
            assert!(parse_ratio(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_peer_and_a_node_have_a_host_and_a_port() {
        for text in ["192.0.2.1:6881", "[2001:db8::1]:1", "router.example.org:6881", "localhost:9"]
        {
            assert_eq!(parse_address(text).as_deref(), Ok(text));
        }
        for text in [
            "foo",
            "foo:",
            ":6881",
            "foo:0",
            "192.0.2.1:0",
            "192.0.2.1",
            "2001:db8::1",
            "foo:99999",
            "a b:1",
            "<name>:100",
            "http://foo:1",
            "256.0.0.1:1",
            "",
        ] {
            assert!(parse_address(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_tracker_is_one_that_can_be_asked() {
        for text in [
            "http://t.example/announce",
            "HTTPS://t.example:8443/a?passkey=1",
            "udp://t.example:6969",
            "udp://[2001:db8::1]:6969/announce",
        ] {
            assert_eq!(parse_tracker(text).as_deref(), Ok(text));
        }
        for text in [
            "foo",
            "",
            "t.example:80",
            "udp://t.example",
            "udp://t.example:0/announce",
            "udp://:80",
            "http://",
            "http:///announce",
            "http://a b/announce",
            "wss://t.example/",
            "ftp://t.example/",
        ] {
            assert!(parse_tracker(text).is_err(), "{text}");
        }
    }
}
