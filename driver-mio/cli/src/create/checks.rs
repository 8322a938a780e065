//! What is refused or warned of before anything is hashed.

use std::collections::BTreeMap;

use eddyline::metainfo::{BLOCK_LENGTH, CreateOptions, Format, MAX_PIECE_LENGTH};
use url::Url;

use super::super::exit::{Failure, USAGE};
use super::collect::{Input, Omission};

/// How many names stand for all of a kind.
const EXAMPLES: usize = 3;
/// Longest name of a file on the systems that there are, in bytes.
const MAX_NAME: usize = 255;

/// Refuses an invalid name: the torrent could not be read again.
pub fn check_name(name: &str) -> Result<(), Failure> {
    let refuse = |why: &str| Err(Failure::new(USAGE, format!("'{name}' is no name: {why}")));
    match name {
        _ if name.trim().is_empty() => refuse("it is blank"),
        "." | ".." => refuse("it means a folder"),
        _ if name.contains('/') => refuse("it has a slash in it"),
        _ if name.chars().any(char::is_control) => refuse("it has control characters in it"),
        _ if name.len() > MAX_NAME => refuse("it is longer than 255 bytes"),
        _ => Ok(()),
    }
}

/// Refuses addresses of trackers and web seeds that nobody can ask.
pub fn check_addresses(options: &CreateOptions) -> Result<(), Failure> {
    for url in options.trackers.iter().flatten() {
        check_address("tracker", url, &["http", "https", "udp", "ws", "wss"])?;
    }
    options
        .web_seeds
        .iter()
        .try_for_each(|url| check_address("web seed", url, &["http", "https", "ftp"]))
}

fn check_address(what: &str, text: &str, schemes: &[&str]) -> Result<(), Failure> {
    let refuse = |why: &str| {
        let shown = if text.trim().is_empty() { String::new() } else { format!(" '{text}'") };
        Err(Failure::new(USAGE, format!("the {what}{shown} {why}")))
    };
    if text.trim().is_empty() {
        return refuse("is blank");
    }
    if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return refuse("has spaces in it");
    }
    // An address of no host is read as one whose host is the first part of its path.
    let Some((scheme, rest)) = text.split_once("://") else {
        return refuse("is not an address like https://host/path");
    };
    if !schemes.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return refuse(&format!("does not begin with one of {}", schemes.join(", ")));
    }
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(error) => return refuse(&format!("cannot be read: {error}")),
    };
    if url.host_str().is_none_or(str::is_empty) || rest.starts_with('/') {
        return refuse("has no host");
    }
    if url.port() == Some(0) {
        return refuse("has the port 0");
    }
    if url.scheme() == "udp" && url.port().is_none() {
        return refuse("has no port");
    }
    Ok(())
}

/// Refuses a length that no piece can have.
pub fn check_piece_length(options: &CreateOptions) -> Result<(), Failure> {
    let length = options.piece_length;
    let of_v2 = length.is_power_of_two() && length >= BLOCK_LENGTH;
    let why = if length == 0 || length > MAX_PIECE_LENGTH {
        format!("a piece has from 1 to {MAX_PIECE_LENGTH} bytes")
    } else if options.format != Format::V1 && !of_v2 {
        "of v2 and hybrid torrents it is a power of two, and at least 16KiB".into()
    } else {
        return Ok(());
    };
    Err(Failure::new(USAGE, format!("the piece length cannot be used: {why}")))
}

/// What to warn of, and to refuse under `--strict`.
pub fn warnings(options: &CreateOptions, input: &Input) -> Vec<String> {
    let mut all: Vec<String> = omissions(input);
    let fruitless = |pattern: &String| format!("no file matches --glob '{pattern}'");
    all.extend(input.fruitless.iter().map(fruitless));
    // Where there is not even a file, no torrent is made.
    if input.length() == 0 && !input.files.is_empty() {
        all.push(
            "there are no bytes in it, and nothing to transfer; other clients refuse that".into(),
        );
    }
    if options.private && options.trackers.is_empty() {
        all.push("a private torrent without a tracker finds no peers".into());
    }
    let is_web = |url: &&String| {
        let scheme = url.split("://").next().unwrap_or_default().to_ascii_lowercase();
        scheme == "ws" || scheme == "wss"
    };
    if let Some(url) = options.trackers.iter().flatten().find(is_web) {
        all.push(format!("only clients in browsers (WebTorrent) announce at {url}"));
    }
    let pieces = input.length() / u64::from(options.piece_length.max(1));
    if options.piece_length < BLOCK_LENGTH || pieces > 100_000 {
        all.push("the pieces are needlessly small".into());
    }
    if options.format == Format::V1 && !options.piece_length.is_power_of_two() {
        all.push("the piece length is not a power of two, which some clients refuse".into());
    }
    all.extend(difficult_names(&options.name, input));
    all.extend(case_twins(input));
    all
}

fn omissions(input: &Input) -> Vec<String> {
    let of = |why: Omission| {
        let places = input.omitted.iter().filter(move |(other, _)| *other == why);
        let names: Vec<String> = places.map(|(_, path)| path.display().to_string()).collect();
        (!names.is_empty()).then(|| format!("left out: {}: {}", why.describe(), some_of(&names)))
    };
    Omission::ALL.into_iter().filter_map(of).collect()
}

/// A few names, and how many more there are.
fn some_of(names: &[String]) -> String {
    let shown = names.iter().take(EXAMPLES).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(EXAMPLES) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Names that Windows, and file systems made for it, cannot hold.
fn difficult_names(name: &str, input: &Input) -> Option<String> {
    let paths = input.files.iter().flat_map(|input| input.file.path.iter().map(String::as_str));
    let mut found: Vec<String> =
        paths.chain([name]).filter(|part| is_difficult(part)).map(str::to_owned).collect();
    found.sort();
    found.dedup();
    let text = || format!("other systems cannot hold these names: {}", some_of(&found));
    (!found.is_empty()).then(text)
}

fn is_difficult(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_uppercase();
    let numbered = |kind: &str| {
        stem.strip_prefix(kind).is_some_and(|rest| matches!(rest.as_bytes(), [b'1'..=b'9']))
    };
    name.contains(['\\', ':', '*', '?', '"', '<', '>', '|'])
        || name.chars().any(char::is_control)
        || name.ends_with(['.', ' '])
        || ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str())
        || numbered("COM")
        || numbered("LPT")
}

/// Paths that are one and the same where upper and lower case are.
fn case_twins(input: &Input) -> Option<String> {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut twins = Vec::new();
    for file in &input.files {
        let path = file.file.path.join("/");
        if let Some(other) = known.insert(path.to_lowercase(), path.clone()) {
            twins.push(format!("{other} and {path}"));
        }
    }
    let text = || format!("names that differ in upper and lower case alone: {}", some_of(&twins));
    (!twins.is_empty()).then(text)
}

#[cfg(test)]
mod tests {
    //! Unit tests of what is refused and warned of.

    use super::*;

    #[test]
    fn names_that_are_none_are_refused() {
        for name in ["", " ", ".", "..", "a/b", "/", "a\nb", &"x".repeat(256)] {
            assert_eq!(check_name(name).unwrap_err().code, USAGE, "{name:?}");
        }
        for name in ["a", "...", ".a", "A: B?", &"x".repeat(255)] {
            check_name(name).unwrap();
        }
    }

    #[test]
    fn trackers_that_nobody_can_ask_are_refused() {
        let check = |url: &str| {
            let trackers = vec![vec![url.to_owned()]];
            check_addresses(&CreateOptions { trackers, ..CreateOptions::default() }).is_ok()
        };
        for broken in [
            "",
            " ",
            "tracker.example",
            "http://",
            "http:host",
            "https:///announce",
            "udp://host",
            "udp://host/announce",
            "udp://host:0",
            "udp://host:70000",
            "http://ho st/",
            "udp://:80",
            "ftp://host/x",
            "http://host:port/",
            "http://[::1/",
            "dht://host:1",
        ] {
            assert!(!check(broken), "{broken:?}");
        }
        for good in [
            "http://host/announce",
            "HTTPS://Host:8443/a?b=c",
            "udp://host:6969",
            "udp://[::1]:80/announce",
            "wss://host/",
            "http://tracker.пример/announce",
            "http://10.0.0.1:80",
        ] {
            assert!(check(good), "{good:?}");
        }
    }

    #[test]
    fn names_that_other_systems_cannot_hold_are_known() {
        for name in ["A: B?", "aux", "NUL.txt", "com1", "lpt9.x", "a.", "a ", "a\\b", "CON .txt"] {
            assert!(is_difficult(name), "{name}");
        }
        for name in ["auxiliary", "com", "com10", "null", "a.b", ".a", "日本"] {
            assert!(!is_difficult(name), "{name}");
        }
    }
}
