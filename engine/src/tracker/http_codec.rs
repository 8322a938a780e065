//! HTTP trackers: building the URL (BEP 3) and reading the reply (BEP 3, 7, 23, 24, 31, 48).

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Write as _;
use core::net::{IpAddr, SocketAddr};

use super::{AnnounceEvent, AnnounceParams, SwarmCounts};
use crate::api::EncryptionPolicy;
use crate::base::addr::{compact_v4, compact_v6};
use crate::base::hash::Sha1Hash;
use crate::bencode::{Limits, Mode, ScanError, Value, scan};

/// Most peers taken from one reply.
const MAX_PEERS: usize = 2_000;

/// A peer as a tracker names it: usually an address, in the old form sometimes a host name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PeerHost {
    /// An address.
    Addr(SocketAddr),
    /// A host name and a port.
    Name(String, u16),
}

/// What an HTTP tracker answered to an announce.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HttpAnnounceReply {
    /// Why it refuses; then nothing else counts.
    pub failure: Option<String>,
    /// When to try again after a failure, in minutes; `None` inside for never (BEP 31).
    pub retry_in: Option<Option<u32>>,
    /// A remark for the user.
    pub warning: Option<String>,
    /// Seconds to the next announce.
    pub interval: Option<u32>,
    /// Seconds below which no announce is welcome.
    pub min_interval: Option<u32>,
    /// To be sent back with the next announce.
    pub tracker_id: Option<Vec<u8>>,
    /// Sizes of the swarm.
    pub counts: SwarmCounts,
    /// Our address as the tracker sees it (BEP 24).
    pub external_ip: Option<IpAddr>,
    /// Other peers, IPv4 before IPv6.
    pub peers: Vec<PeerHost>,
}

/// What an HTTP tracker answered to a scrape (BEP 48).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HttpScrapeReply {
    /// Why it refuses.
    pub failure: Option<String>,
    /// Counts by info-hash.
    pub files: BTreeMap<Sha1Hash, SwarmCounts>,
}

/// Escapes every byte that RFC 3986 does not leave unreserved; a hash stays byte-exact.
pub fn percent_encode_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 3);
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// The URL of an announce. What stands in `base` already (a passkey in the path, a query) stays as
/// it is; a fragment is cut off.
pub fn announce_url(base: &str, params: &AnnounceParams, tracker_id: Option<&[u8]>) -> String {
    let mut url = with_query(base);
    let encryption = match params.encryption {
        EncryptionPolicy::Disable => "supportcrypto=0",
        EncryptionPolicy::Prefer => "supportcrypto=1",
        EncryptionPolicy::Require => "supportcrypto=1&requirecrypto=1",
    };
    let _ = write!(
        url,
        "info_hash={}&peer_id={}&port={}&uploaded={}&downloaded={}&left={}\
         &compact=1&no_peer_id=1&{}&numwant={}&key={:08X}",
        percent_encode_bytes(&params.info_hash.0),
        percent_encode_bytes(&params.peer_id.0),
        params.port,
        params.uploaded,
        params.downloaded,
        params.left,
        encryption,
        params.num_want,
        params.key,
    );
    match params.event {
        AnnounceEvent::None => {}
        AnnounceEvent::Started => url.push_str("&event=started"),
        AnnounceEvent::Completed => url.push_str("&event=completed"),
        AnnounceEvent::Stopped => url.push_str("&event=stopped"),
    }
    if let Some(id) = tracker_id {
        let _ = write!(url, "&trackerid={}", percent_encode_bytes(id));
    }
    url
}

/// The URL of a scrape (BEP 48), where the announce URL follows the convention that allows one:
/// the text behind the last slash begins with `announce`.
pub fn scrape_url(announce: &str, hashes: &[Sha1Hash]) -> Option<String> {
    let path_end = announce.find(['?', '#']).unwrap_or(announce.len());
    let slash = announce[..path_end].rfind('/')?;
    let last = announce[slash + 1..].strip_prefix("announce")?;
    let mut url = with_query(&format!("{}/scrape{last}", &announce[..slash]));
    let hashes: Vec<_> =
        hashes.iter().map(|h| format!("info_hash={}", percent_encode_bytes(&h.0))).collect();
    url.push_str(&hashes.join("&"));
    Some(url)
}

/// `base` without fragment, ending in `?` or `&`.
fn with_query(base: &str) -> String {
    let mut url = base.split('#').next().unwrap_or_default().to_string();
    match url.find('?') {
        None => url.push('?'),
        Some(at) if at + 1 == url.len() || url.ends_with('&') => {}
        Some(_) => url.push('&'),
    }
    url
}

/// Reads the reply to an announce. Bytes behind the dictionary are ignored; broken peers in a list
/// are left out.
///
/// # Errors
/// When it is no bencoded dictionary.
pub fn parse_announce(body: &[u8]) -> Result<HttpAnnounceReply, ScanError> {
    let document = scan(body, Limits::TRACKER, Mode::Saturating)?;
    let root = document.root();
    if !root.is_dict() {
        return Err(ScanError::Unexpected { at: 0 });
    }
    let mut reply = HttpAnnounceReply {
        failure: text(&root, b"failure reason"),
        retry_in: root.get(b"retry in").and_then(retry_in),
        ..HttpAnnounceReply::default()
    };
    if reply.failure.is_some() {
        return Ok(reply);
    }
    reply.warning = text(&root, b"warning message");
    reply.interval = seconds(&root, b"interval");
    reply.min_interval = seconds(&root, b"min interval");
    reply.tracker_id = root.get(b"tracker id").and_then(|v| v.as_bytes()).map(<[u8]>::to_vec);
    reply.tracker_id = reply.tracker_id.filter(|id| id.len() <= 256);
    reply.counts = counts(&root);
    reply.external_ip = root.get(b"external ip").and_then(|v| v.as_bytes()).and_then(ip_bytes);
    if let Some(peers) = root.get(b"peers") {
        match peers.as_bytes() {
            Some(compact) => reply.peers.extend(compact_v4(compact).map(PeerHost::Addr)),
            None => reply.peers.extend(peers.items().filter_map(|peer| listed_peer(&peer))),
        }
    }
    if let Some(compact) = root.get(b"peers6").and_then(|v| v.as_bytes()) {
        reply.peers.extend(compact_v6(compact).map(PeerHost::Addr));
    }
    reply.peers.truncate(MAX_PEERS);
    Ok(reply)
}

/// Reads the reply to a scrape.
///
/// # Errors
/// When it is no bencoded dictionary.
pub fn parse_scrape(body: &[u8]) -> Result<HttpScrapeReply, ScanError> {
    let document = scan(body, Limits::TRACKER, Mode::Saturating)?;
    let root = document.root();
    if !root.is_dict() {
        return Err(ScanError::Unexpected { at: 0 });
    }
    let mut reply =
        HttpScrapeReply { failure: text(&root, b"failure reason"), ..HttpScrapeReply::default() };
    for (hash, file) in root.get(b"files").iter().flat_map(Value::entries) {
        if let Some(hash) = Sha1Hash::from_slice(hash) {
            reply.files.insert(hash, counts(&file));
        }
    }
    Ok(reply)
}

fn counts(dict: &Value<'_, '_>) -> SwarmCounts {
    SwarmCounts {
        complete: count(dict, b"complete"),
        incomplete: count(dict, b"incomplete"),
        downloaded: count(dict, b"downloaded"),
    }
}

fn count(dict: &Value<'_, '_>, key: &[u8]) -> Option<u32> {
    dict.get(key)?.as_int().and_then(|n| u32::try_from(n).ok())
}

fn text(dict: &Value<'_, '_>, key: &[u8]) -> Option<String> {
    let bytes = dict.get(key)?.as_bytes()?;
    let text = String::from_utf8_lossy(bytes);
    Some(text.chars().filter(|c| !c.is_control()).take(300).collect())
}

/// Minutes, also as text, or the word `never`; anything else says nothing.
fn retry_in(value: Value<'_, '_>) -> Option<Option<u32>> {
    let is_never = |text: &str| text.trim().eq_ignore_ascii_case("never");
    if value.as_str().is_some_and(is_never) {
        return Some(None);
    }
    number(&value).map(|number| Some(saturated(number)))
}

/// A span of time in seconds, also as text; what is below zero or beyond all measure is the nearest
/// that there is.
fn seconds(dict: &Value<'_, '_>, key: &[u8]) -> Option<u32> {
    number(&dict.get(key)?).map(saturated)
}

/// An integer, also as text of any length.
fn number(value: &Value<'_, '_>) -> Option<i64> {
    if let Some(number) = value.as_int() {
        return Some(number);
    }
    let text = value.as_str()?.trim();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let nearest = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    is_number.then(|| text.parse().unwrap_or(nearest))
}

fn saturated(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

fn listed_peer(peer: &Value<'_, '_>) -> Option<PeerHost> {
    let port = u16::try_from(peer.get(b"port")?.as_int()?).ok()?;
    let host = peer.get(b"ip")?.as_str()?;
    match host.parse::<IpAddr>() {
        Ok(ip) => Some(PeerHost::Addr(SocketAddr::new(ip, port))),
        Err(_) if host.is_empty() || host.len() > 253 => None,
        Err(_) => Some(PeerHost::Name(host.into(), port)),
    }
}

fn ip_bytes(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}
