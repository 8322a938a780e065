//! Names of hosts, as people and links write them.

/// Reads `HOST:PORT` where the host is a name: one that a name server could know, so no
/// spaces or brackets, and no malformed address, which is numbers and dots too. The port is not 0.
pub fn parse_host_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|port| digits && *port != 0)?;
    is_host_name(host).then_some((host, port))
}

/// Letters beyond ASCII may stand in a name; it is for whoever looks it up to write them otherwise.
fn is_host_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let plain = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // No top-level domain is a number, which is how an address with a part too many is known.
    let last = host.rsplit('.').next().unwrap_or_default();
    let is_number = last.bytes().all(|byte| byte.is_ascii_digit());
    host.len() <= 253 && host.split('.').all(is_label) && !is_number
}

#[cfg(test)]
mod tests {
    //! Unit tests of host names.

    use alloc::format;

    use super::parse_host_port;

    #[test]
    fn a_host_is_what_a_name_server_could_know() {
        for (text, host, port) in [
            ("router.example.org:6881", "router.example.org", 6881),
            ("localhost:1", "localhost", 1),
            ("my_box.lan.:65535", "my_box.lan.", 65535),
            ("bücher.example:80", "bücher.example", 80),
            ("1host:80", "1host", 80),
        ] {
            assert_eq!(parse_host_port(text), Some((host, port)), "{text}");
        }
        let long = format!("{}:80", "a".repeat(64));
        let longer = format!("{}a:80", "a.".repeat(127));
        for text in [
            "foo",
            "foo:",
            ":80",
            "foo:0",
            "foo:65536",
            "foo:+80",
            "foo: 80",
            "<name>:100",
            "a b:80",
            "a..b:80",
            "-a:80",
            "a-:80",
            "10.0.553.0.1:80",
            "127.1:80",
            "::1:80",
            "a/b:80",
            "user@host:80",
            "",
            ".:80",
            &long,
            &longer,
        ] {
            assert_eq!(parse_host_port(text), None, "{text}");
        }
    }
}
