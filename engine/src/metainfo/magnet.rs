//! Magnet URIs (BEP 9, BEP 46, BEP 53, v2 form of BEP 52) and bare info-hashes.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use data_encoding::{BASE32, HEXLOWER, HEXLOWER_PERMISSIVE};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use super::limits::{
    Distinct, MAX_FILE_INDEX, MAX_MAGNET_BYTES, MAX_MAGNET_PEERS, MAX_NODES, MAX_SELECTED,
    MAX_TRACKERS, MAX_URL_BYTES, MAX_WEB_SEEDS,
};
use super::parse::InfoHashes;
use crate::base::addr::is_dialable;
use crate::base::fault::Fault;
use crate::base::hash::{Sha1Hash, Sha256Hash};
use crate::base::host_name::parse_host_port;

/// Why a magnet URI or an info-hash is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MagnetError {
    /// Does not begin with `magnet:?`.
    #[error("not a magnet URI")]
    NotMagnet,
    /// No `xt` with an info-hash.
    #[error("the magnet URI names no torrent (no usable 'xt')")]
    NoInfoHash,
    /// An `xt` whose info-hash is malformed, or a text that is no info-hash.
    #[error("the info-hash is malformed")]
    BadInfoHash,
    /// Two different info-hashes of one version, or two publishers.
    #[error("the magnet URI names two different torrents")]
    TwoTorrents,
    /// Longer than [`MAX_MAGNET_BYTES`](super::MAX_MAGNET_BYTES).
    #[error("the magnet URI is too long")]
    TooLong,
}

impl MagnetError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Remote
    }
}

/// One info-hash of either version.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InfoHash {
    /// SHA-1 (BEP 3).
    V1(Sha1Hash),
    /// SHA-256 (BEP 52).
    V2(Sha256Hash),
}

/// The key, and the salt, under which a torrent is published in the DHT (BEP 46).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publisher {
    /// Public key (ed25519).
    pub key: [u8; 32],
    /// Tells torrents of one key apart.
    pub salt: Vec<u8>,
}

/// What a magnet URI says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Magnet {
    /// `xt=urn:btih:`.
    pub v1: Option<Sha1Hash>,
    /// `xt=urn:btmh:`.
    pub v2: Option<Sha256Hash>,
    /// `xs=urn:btpk:` and `s`: whoever has this key says in the DHT which torrent is meant (BEP 46).
    pub publisher: Option<Publisher>,
    /// `dn`, as it stands: not safe as a file name.
    pub name: Option<String>,
    /// `tr`, each a tier of its own.
    pub trackers: Vec<String>,
    /// `ws`.
    pub web_seeds: Vec<String>,
    /// `x.pe` with numeric addresses.
    pub peers: Vec<SocketAddr>,
    /// `x.pe` with host names, as `host:port`.
    pub named_peers: Vec<String>,
    /// `dht`, as `host:port`.
    pub nodes: Vec<String>,
    /// `so`: numbers of the files to fetch (BEP 53), ascending; `None` without the parameter.
    pub select_only: Option<Vec<u32>>,
}

impl Magnet {
    /// Parses a magnet URI, also with white space around it, and with `&amp;` where it was copied
    /// from a page. Unknown parameters are ignored; malformed optional ones left out.
    ///
    /// # Errors
    /// When it is no magnet URI, or names no torrent, or two.
    pub fn parse(uri: &str) -> Result<Self, MagnetError> {
        let uri = uri.trim();
        if uri.len() > MAX_MAGNET_BYTES {
            return Err(MagnetError::TooLong);
        }
        Self::parse_any_length(uri)
    }

    pub(super) fn parse_any_length(uri: &str) -> Result<Self, MagnetError> {
        let scheme = uri.get(..8).ok_or(MagnetError::NotMagnet)?;
        if !scheme.eq_ignore_ascii_case("magnet:?") {
            return Err(MagnetError::NotMagnet);
        }
        let mut magnet = Self::default();
        let mut lists = Lists::new();
        let mut selected: Vec<(u32, u32)> = Vec::new();
        let mut salt = Vec::new();
        for parameter in uri[8..].split('&') {
            let Some((key, value)) = unescaped(parameter).split_once('=') else { continue };
            let value = decode(value);
            // `tr.1` and `tr.2` are further `tr`; `x.pe` is a name of its own.
            let key = key.to_ascii_lowercase();
            let base = match key.split_once('.') {
                Some((base, _)) if base != "x" => base,
                _ => key.as_str(),
            };
            match base {
                "xt" => magnet.add_topic(&value)?,
                "dn" => magnet.name = Some(value),
                "tr" => add_text(&mut lists.trackers, &value),
                "ws" => add_text(&mut lists.web_seeds, &value),
                "x.pe" => lists.add_peer(&value),
                "dht" => lists.add_node(&value),
                "so" => selected.extend(ranges(&value)),
                "xs" => magnet.add_source(&value)?,
                "s" => salt = hex(&value).unwrap_or_default(),
                _ => {}
            }
        }
        lists.give_to(&mut magnet);
        magnet.select_only = (!selected.is_empty()).then(|| numbers_in(selected));
        if let Some(publisher) = &mut magnet.publisher {
            publisher.salt = salt;
        }
        if magnet.v1.is_none() && magnet.v2.is_none() && magnet.publisher.is_none() {
            return Err(MagnetError::NoInfoHash);
        }
        Ok(magnet)
    }

    /// Both identities.
    pub fn info_hashes(&self) -> InfoHashes {
        InfoHashes { v1: self.v1, v2: self.v2 }
    }

    fn add_topic(&mut self, topic: &str) -> Result<(), MagnetError> {
        let topic = topic.trim();
        let lower = topic.to_ascii_lowercase();
        if lower.starts_with("urn:btih:") {
            match parse_info_hash(&topic[9..])? {
                InfoHash::V1(hash) => only(&mut self.v1, hash)?,
                InfoHash::V2(_) => return Err(MagnetError::BadInfoHash),
            }
        } else if lower.starts_with("urn:btmh:") {
            match parse_info_hash(&topic[9..])? {
                InfoHash::V2(hash) if lower.len() == 9 + 68 => only(&mut self.v2, hash)?,
                _ => return Err(MagnetError::BadInfoHash),
            }
        }
        Ok(())
    }

    /// `xs` may be many things, of which only a public key means something here.
    fn add_source(&mut self, value: &str) -> Result<(), MagnetError> {
        let value = value.trim();
        let prefix = value.get(..9).unwrap_or_default();
        if prefix.eq_ignore_ascii_case("urn:btpk:") {
            let key = hex(&value[9..]).and_then(|key| <[u8; 32]>::try_from(key).ok());
            if let Some(key) = key {
                only(&mut self.publisher, Publisher { key, salt: Vec::new() })?;
            }
        }
        Ok(())
    }
}

/// The lists of a magnet while it is read.
struct Lists {
    trackers: Distinct<String>,
    web_seeds: Distinct<String>,
    nodes: Distinct<String>,
    peers: Distinct<SocketAddr>,
    named_peers: Distinct<String>,
}

impl Lists {
    fn new() -> Self {
        Self {
            trackers: Distinct::new(MAX_TRACKERS),
            web_seeds: Distinct::new(MAX_WEB_SEEDS),
            nodes: Distinct::new(MAX_NODES),
            peers: Distinct::new(MAX_MAGNET_PEERS),
            named_peers: Distinct::new(MAX_MAGNET_PEERS),
        }
    }

    fn give_to(self, magnet: &mut Magnet) {
        magnet.trackers = self.trackers.into_vec();
        magnet.web_seeds = self.web_seeds.into_vec();
        magnet.nodes = self.nodes.into_vec();
        magnet.peers = self.peers.into_vec();
        magnet.named_peers = self.named_peers.into_vec();
    }

    fn add_node(&mut self, value: &str) {
        let value = value.trim();
        if value.parse().is_ok_and(is_dialable) || parse_host_port(value).is_some() {
            add_text(&mut self.nodes, value);
        }
    }

    fn add_peer(&mut self, value: &str) {
        let value = value.trim();
        if let Ok(addr) = value.parse::<SocketAddr>() {
            if is_dialable(addr) {
                self.peers.add(addr);
            }
            return;
        }
        if parse_host_port(value).is_some() {
            add_text(&mut self.named_peers, value);
        }
    }
}

impl fmt::Display for Magnet {
    /// Writes the URI in a canonical order of parameters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        parts.extend(self.v1.map(|hash| format!("xt=urn:btih:{}", hash.to_hex())));
        parts.extend(self.v2.map(|hash| format!("xt=urn:btmh:1220{}", hash.to_hex())));
        if let Some(publisher) = &self.publisher {
            parts.push(format!("xs=urn:btpk:{}", HEXLOWER.encode(&publisher.key)));
            if !publisher.salt.is_empty() {
                parts.push(format!("s={}", HEXLOWER.encode(&publisher.salt)));
            }
        }
        let mut text = |key: &str, value: &str| parts.push(format!("{key}={}", escape(value)));
        self.name.iter().for_each(|name| text("dn", name));
        self.trackers.iter().for_each(|url| text("tr", url));
        self.web_seeds.iter().for_each(|url| text("ws", url));
        self.peers.iter().for_each(|addr| text("x.pe", &addr.to_string()));
        self.named_peers.iter().for_each(|addr| text("x.pe", addr));
        self.nodes.iter().for_each(|addr| text("dht", addr));
        if let Some(selected) = &self.select_only {
            let list: Vec<_> = selected.iter().map(ToString::to_string).collect();
            parts.push(format!("so={}", list.join(",")));
        }
        write!(f, "magnet:?{}", parts.join("&"))
    }
}

/// What stands behind an `&` that was written as in a page: `&amp;`.
fn unescaped(parameter: &str) -> &str {
    let mut rest = parameter;
    while let Some(head) = rest.get(..4).filter(|head| head.eq_ignore_ascii_case("amp;")) {
        rest = &rest[head.len()..];
    }
    rest
}

/// Sets what may be said once; saying the same again does no harm.
fn only<T: PartialEq>(known: &mut Option<T>, said: T) -> Result<(), MagnetError> {
    match known {
        Some(known) if *known != said => Err(MagnetError::TwoTorrents),
        _ => {
            *known = Some(said);
            Ok(())
        }
    }
}

/// Reads an info-hash: 40 hex digits or 32 base32 characters for v1, 64 hex digits or a `1220`
/// multihash for v2, in any case, with white space around it or without.
///
/// # Errors
/// [`MagnetError::BadInfoHash`] for anything else.
pub fn parse_info_hash(text: &str) -> Result<InfoHash, MagnetError> {
    let text = text.trim();
    let found = match text.len() {
        40 => hex(text).and_then(|b| Sha1Hash::from_slice(&b)).map(InfoHash::V1),
        32 => {
            let upper = text.to_ascii_uppercase();
            let bytes = BASE32.decode(upper.as_bytes()).ok();
            bytes.and_then(|b| Sha1Hash::from_slice(&b)).map(InfoHash::V1)
        }
        64 => hex(text).and_then(|b| Sha256Hash::from_slice(&b)).map(InfoHash::V2),
        68 => text
            .strip_prefix("1220")
            .and_then(hex)
            .and_then(|b| Sha256Hash::from_slice(&b))
            .map(InfoHash::V2),
        _ => None,
    };
    found.ok_or(MagnetError::BadInfoHash)
}

fn hex(text: &str) -> Option<Vec<u8>> {
    HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok()
}

fn decode(value: &str) -> String {
    let spaced = value.replace('+', " ");
    percent_decode(spaced.as_bytes()).decode_utf8_lossy().into_owned()
}

fn escape(value: &str) -> String {
    const SET: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    utf8_percent_encode(value, SET).to_string()
}

fn add_text(list: &mut Distinct<String>, value: &str) {
    let value = value.trim();
    if !list.is_full() && (1..=MAX_URL_BYTES).contains(&value.len()) {
        list.add(value.into());
    }
}

/// The ranges of one `so` value. Parts that are no numbers, or out of all proportion, are left out;
/// a value of nothing but such parts selects nothing by itself.
fn ranges(value: &str) -> impl Iterator<Item = (u32, u32)> + '_ {
    value.split(',').filter_map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.parse::<u32>().ok()?, last.parse::<u32>().ok()?);
        (first <= last && last <= MAX_FILE_INDEX).then_some((first, last))
    })
}

/// The numbers in any of the ranges, ascending, each once; the lowest ones where there are too many.
fn numbers_in(mut ranges: Vec<(u32, u32)>) -> Vec<u32> {
    ranges.sort_unstable();
    let mut numbers = Vec::new();
    let mut next = 0;
    for (first, last) in ranges {
        let room = MAX_SELECTED - numbers.len();
        numbers.extend((first.max(next)..=last).take(room));
        next = next.max(last + 1);
    }
    numbers
}
