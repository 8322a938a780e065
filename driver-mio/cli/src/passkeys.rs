//! Addresses of trackers without what identifies their user: what is pasted into a bug report or seen
//! over a shoulder gives nobody an account.

/// As short as this, a part of a path is a word and not a key.
const SHORTEST_KEY: usize = 16;
/// What is shown in place of a key.
const HIDDEN: &str = "…";

/// The address with passkeys, user and password taken out; with passkeys where `verbose` is 2 or more (`-vv`). User
/// and password are never shown.
pub fn without_passkey(url: &str, verbose: u8) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    if verbose >= 2 {
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, behind) = rest.split_at(end);
        return match authority.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://{HIDDEN}@{host}{behind}"),
            None => url.to_owned(),
        };
    }
    let rest = rest.split('#').next().unwrap_or_default();
    let (place, query) = match rest.split_once('?') {
        Some((place, query)) => (place, Some(query)),
        None => (rest, None),
    };
    let mut parts = place.split('/');
    let authority = parts.next().unwrap_or_default();
    let mut shown = match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://{HIDDEN}@{host}"),
        None => format!("{scheme}://{authority}"),
    };
    for part in parts {
        shown.push('/');
        shown.push_str(if looks_secret(part) { HIDDEN } else { part });
    }
    if let Some(query) = query {
        shown.push('?');
        let pairs = query.split('&').map(|pair| match pair.split_once('=') {
            Some((key, value)) if !value.is_empty() => format!("{key}={HIDDEN}"),
            _ if looks_secret(pair) => HIDDEN.to_owned(),
            _ => pair.to_owned(),
        });
        shown.push_str(&pairs.collect::<Vec<_>>().join("&"));
    }
    shown
}

/// Keys are long, and have digits or capitals among their letters.
fn looks_secret(part: &str) -> bool {
    part.len() >= SHORTEST_KEY
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_%.~".contains(&byte))
        && part.bytes().any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    //! Unit tests of hiding passkeys.

    use super::without_passkey;

    #[test]
    fn an_address_shows_its_tracker_and_no_key() {
        for (url, shown) in [
            ("http://t.example/announce", "http://t.example/announce"),
            ("udp://t.example:6969/announce", "udp://t.example:6969/announce"),
            (
                "https://t.example/0123456789abcdef0123456789abcdef/announce",
                "https://t.example/…/announce",
            ),
            ("https://t.example/announce?passkey=0123&x", "https://t.example/announce?passkey=…&x"),
            (
                "https://t.example/announce.php?pid=abc&uid=7",
                "https://t.example/announce.php?pid=…&uid=…",
            ),
            ("http://t.example/a?0123456789abcdef0123", "http://t.example/a?…"),
            ("http://me:secret@t.example/announce", "http://…@t.example/announce"),
            (
                "http://t.example/some-longer-name-of-a-folder/x",
                "http://t.example/some-longer-name-of-a-folder/x",
            ),
            ("no address", "no address"),
        ] {
            assert_eq!(without_passkey(url, 0), shown);
            let whole = url.replace("me:secret", "…");
            assert_eq!(without_passkey(url, 2), whole);
        }
    }

    #[test]
    fn user_and_password_are_never_shown() {
        for url in
            ["http://me:s@x@h/a?k=1#f", "http://me:s@x@h?k=1", "https://me@h#f", "ftp://:s@h/x@y"]
        {
            for verbose in 0..4 {
                let shown = without_passkey(url, verbose);
                assert!(!shown.contains("me") && !shown.contains(":s"), "{shown}");
                assert!(shown.contains("…@h"), "{shown}");
            }
        }
    }
}
