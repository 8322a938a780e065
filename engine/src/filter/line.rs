//! Lines of lists, in the formats that are in use.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Bytes of a line that are looked at. A longer one is broken.
pub const MAX_LINE: usize = 1024;
/// In DAT files, levels above this one are not blocked.
const HIGHEST_BLOCKED: u32 = 127;
/// Characters that an address of IPv6 has at the most.
const LONGEST_V6: usize = 45;

/// What a line of a list was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line {
    /// A range, which is blocked.
    Range,
    /// Empty, a comment, or a range that the list allows.
    Nothing,
    /// Nothing that is understood.
    Broken,
    /// A range, left out because there are too many.
    TooMany,
}

type Range = (IpAddr, IpAddr);

/// The range that a line names, if it is to be blocked.
pub(super) fn understand(line: &[u8]) -> Result<Option<Range>, ()> {
    if line.len() > MAX_LINE {
        return Err(());
    }
    let line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line).trim_ascii();
    if line.is_empty()
        || line.starts_with(b"#")
        || line.starts_with(b";")
        || line.starts_with(b"//")
    {
        return Ok(None);
    }
    if let Some(comma) = line.iter().position(|byte| *byte == b',')
        && let Some(range) = text(&line[..comma]).and_then(range)
    {
        let level = line[comma + 1..].split(|byte| *byte == b',').next().unwrap_or_default();
        let level: u32 = text(level).and_then(|level| level.trim().parse().ok()).ok_or(())?;
        return Ok((level <= HIGHEST_BLOCKED).then_some(range));
    }
    let bare = line.split(|byte| matches!(byte, b'#' | b';')).next().unwrap_or_default();
    if let Some(range) = text(bare).and_then(|bare| range(bare).or_else(|| block(bare.trim()))) {
        return Ok(Some(range));
    }
    named(line).map(Some).ok_or(())
}

/// Names may be in any encoding, addresses are plain.
fn text(bytes: &[u8]) -> Option<&str> {
    core::str::from_utf8(bytes).ok()
}

/// `name:first-last`. The name may have colons and hyphens in it, and an address of IPv6 has colons too: of those that
/// could begin the address the first one does.
fn named(line: &[u8]) -> Option<Range> {
    let hyphen = line.iter().rposition(|byte| *byte == b'-')?;
    let last = address(text(&line[hyphen + 1..])?)?;
    let before = &line[..hyphen];
    let from = before.len().saturating_sub(LONGEST_V6);
    let colons = (from..before.len()).filter(|at| before[*at] == b':');
    let mut starts = colons.filter_map(|at| address(text(&before[at + 1..])?));
    Some((starts.find(|first| first.is_ipv4() == last.is_ipv4())?, last))
}

/// `first-last`, with spaces or without.
fn range(text: &str) -> Option<Range> {
    let (first, last) = text.split_once('-')?;
    Some((address(first)?, address(last)?))
}

/// `address/bits`, or an address.
fn block(text: &str) -> Option<Range> {
    let Some((ip, bits)) = text.split_once('/') else {
        return address(text).map(|ip| (ip, ip));
    };
    let bits: u32 = bits.trim().parse().ok()?;
    match address(ip)? {
        IpAddr::V4(ip) => {
            let below = u32::MAX.checked_shr(bits).unwrap_or(0);
            let ends = (ip.to_bits() & !below, ip.to_bits() | below);
            (bits <= 32)
                .then(|| (Ipv4Addr::from_bits(ends.0).into(), Ipv4Addr::from_bits(ends.1).into()))
        }
        IpAddr::V6(ip) => {
            let below = u128::MAX.checked_shr(bits).unwrap_or(0);
            let ends = (ip.to_bits() & !below, ip.to_bits() | below);
            (bits <= 128)
                .then(|| (Ipv6Addr::from_bits(ends.0).into(), Ipv6Addr::from_bits(ends.1).into()))
        }
    }
}

/// An address. In IPv4 numbers may begin with zeros, as in `001.002.004.000`; they are decimal all the same.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    let mut octets = [0u8; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        let plain = (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        *octet = plain.then(|| part.parse().ok()).flatten()?;
    }
    parts.next().is_none().then(|| Ipv4Addr::from(octets).into())
}
