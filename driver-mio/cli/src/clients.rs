//! Clients by name: what the first bytes of a peer id mean by public convention (BEP 20).

use super::output::printable;

/// How the four characters behind a code tell the version.
#[derive(Clone, Copy)]
enum Version {
    /// `4630` is 4.6.3: three numbers, and a fourth where it is not 0.
    Three,
    /// `5770` is 5.7.7.0.
    Four,
    /// `0196` is 1.96: two numbers, the second of two digits.
    BitComet,
    /// `2940` is 2.94 up to version 3, and as [`Self::Three`] from then on.
    Transmission,
}

use Version::{BitComet, Four, Three, Transmission};

/// Clients that name themselves as `-XX1234-`.
const KNOWN: &[(&str, &str, Version)] = &[
    ("AG", "Ares", Three),
    ("AZ", "Vuze", Four),
    ("BC", "BitComet", BitComet),
    ("BF", "Bitflu", Three),
    ("BI", "BiglyBT", Four),
    ("BR", "BitRocket", Three),
    ("BT", "BitTorrent", Three),
    ("CD", "Enhanced CTorrent", Three),
    ("CT", "CTorrent", Three),
    ("DE", "Deluge", Three),
    ("ED", "Eddyline", Three),
    ("FD", "Free Download Manager", Three),
    ("FW", "FrostWire", Three),
    ("GT", "anacrolix/torrent", Three),
    ("HL", "Halite", Three),
    ("KG", "KGet", Three),
    ("KT", "KTorrent", Three),
    ("LP", "Lphant", Three),
    ("LT", "libtorrent", Three),
    ("LW", "LimeWire", Three),
    ("MO", "MonoTorrent", Three),
    ("MR", "Miro", Three),
    ("PI", "PicoTorrent", Three),
    ("QD", "QQDownload", Three),
    ("SD", "Xunlei", Three),
    ("SZ", "Shareaza", Three),
    ("TL", "Tribler", Three),
    ("TR", "Transmission", Transmission),
    ("UE", "µTorrent Embedded", Three),
    ("UM", "µTorrent for Mac", Three),
    ("UT", "µTorrent", Three),
    ("UW", "µTorrent Web", Three),
    ("WD", "WebTorrent Desktop", Three),
    ("WW", "WebTorrent", Three),
    ("XL", "Xunlei", Three),
    ("ZO", "Zona", Three),
    ("lt", "libTorrent of rTorrent", Three),
    ("qB", "qBittorrent", Three),
];

/// What a client is called in words: of the beginning of its peer id, or of what it calls itself. What is
/// not known is shown as it came, but for what would steer a terminal; of nothing nothing is said.
pub fn client_name(told: &str) -> String {
    azureus(told).or_else(|| dashed(told)).unwrap_or_else(|| printable(told.trim()))
}

/// `-XX1234-`.
fn azureus(id: &str) -> Option<String> {
    let inner = id.strip_prefix('-')?.strip_suffix('-')?;
    if inner.len() != 6 || !inner.is_ascii() {
        return None;
    }
    let (code, version) = inner.split_at(2);
    let (_, name, kind) = KNOWN.iter().find(|(known, ..)| *known == code)?;
    // A letter in the last place marks a kind of build and is no number.
    let numbers = version.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let numbers = if numbers.len() == 3 { numbers } else { version };
    let numbers: Option<Vec<u32>> = numbers.chars().map(|c| c.to_digit(36)).collect();
    let mut numbers = numbers?;
    let text = match (kind, numbers.as_slice()) {
        (BitComet, [_, major, tens, ones]) => format!("{major}.{tens}{ones}"),
        (Transmission, [major @ 0..=3, tens, ones, _]) => format!("{major}.{tens}{ones}"),
        (Four, _) => joined(&numbers),
        _ => {
            if numbers.len() == 4 && numbers[3] == 0 {
                numbers.pop();
            }
            joined(&numbers)
        }
    };
    Some(format!("{name} {text}"))
}

/// `M7-10-5-` and `A2-1-37-0-`, of which eight characters are known.
fn dashed(id: &str) -> Option<String> {
    let (name, rest) = match id.strip_prefix("A2-") {
        Some(rest) => ("aria2", rest),
        None => ("BitTorrent", id.strip_prefix('M')?),
    };
    let numbers: Option<Vec<u32>> = rest
        .strip_suffix('-')?
        .trim_end_matches('-')
        .split('-')
        .map(|part| part.parse().ok())
        .collect();
    numbers.map(|numbers| format!("{name} {}", joined(&numbers)))
}

fn joined(numbers: &[u32]) -> String {
    numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    //! Unit tests of names of clients.

    use super::*;

    #[test]
    fn ids_of_the_usual_kind_are_told_in_words() {
        for (id, name) in [
            ("-ED0100-", "Eddyline 0.1.0"),
            ("-qB4630-", "qBittorrent 4.6.3"),
            ("-qB5101-", "qBittorrent 5.1.0.1"),
            ("-TR2940-", "Transmission 2.94"),
            ("-TR3000-", "Transmission 3.00"),
            ("-TR4060-", "Transmission 4.0.6"),
            ("-TR410B-", "Transmission 4.1.0"),
            ("-LT2080-", "libtorrent 2.0.8"),
            ("-lt0D80-", "libTorrent of rTorrent 0.13.8"),
            ("-UT355W-", "µTorrent 3.5.5"),
            ("-AZ5770-", "Vuze 5.7.7.0"),
            ("-BC0196-", "BitComet 1.96"),
            ("-DE2110-", "Deluge 2.1.1"),
            ("M7-10-5-", "BitTorrent 7.10.5"),
            ("M4-3-6--", "BitTorrent 4.3.6"),
            ("A2-1-37-", "aria2 1.37"),
        ] {
            assert_eq!(client_name(id), name, "{id}");
        }
    }

    #[test]
    fn what_is_not_known_stays_and_steers_nothing() {
        for text in
            ["-XX0100-", "-ED010-", "-ED01000-", "-ED01.0-", "--------", "M-------", "A2------", ""]
        {
            assert_eq!(client_name(text), text);
        }
        assert_eq!(client_name("qBittorrent/4.6.3"), "qBittorrent/4.6.3");
        assert_eq!(client_name("-ED\u{e9}\u{e9}-"), "-ED\u{e9}\u{e9}-");
        let evil = client_name("-\x1b[31m-\u{202e}");
        assert!(!evil.contains('\x1b') && !evil.contains('\u{202e}'), "{evil:?}");
    }
}
