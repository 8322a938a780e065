//! Stand-ins for what a redacted trace must not tell.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::base::addr::{Scope, scope};
use crate::base::hash::{Sha1Hash, Sha256Hash};
use crate::bencode::{Limits, Mode, Value, scan};
use crate::peer::{OUR_DONT_HAVE_ID, OUR_METADATA_ID, OUR_PEX_ID};
use crate::wire::PeerId;

/// What stands for what. Addresses and peer ids are met first and settled all at once, so that
/// their order is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct StandIns {
    ips: BTreeMap<IpAddr, IpAddr>,
    peers: BTreeMap<PeerId, PeerId>,
    hashes: BTreeMap<Sha1Hash, Sha1Hash>,
    long_hashes: BTreeMap<Sha256Hash, Sha256Hash>,
    pieces: BTreeMap<Sha1Hash, Sha1Hash>,
    names: BTreeMap<String, String>,
    urls: BTreeMap<String, String>,
}

impl StandIns {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ips.len()
            + self.peers.len()
            + self.hashes.len()
            + self.long_hashes.len()
            + self.pieces.len()
            + self.names.len()
            + self.urls.len()
    }

    /// Notes an address.
    pub(super) fn meet(&mut self, ip: IpAddr) {
        let ip = ip.to_canonical();
        self.ips.insert(ip, ip);
    }

    /// Notes a peer id.
    pub(super) fn meet_peer(&mut self, id: PeerId) {
        self.peers.insert(id, id);
    }

    /// Notes the addresses in a packet of a UDP tracker.
    pub(super) fn meet_in_datagram(&mut self, data: &[u8], ipv6: bool) {
        for entry in announced(data, ipv6) {
            self.meet(entry_ip(&data[entry]));
        }
    }

    /// Notes the addresses in the reply of an HTTP tracker.
    pub(super) fn meet_in_reply(&mut self, body: &[u8]) {
        rewrite_reply(self, body);
    }

    /// Notes the addresses in an extended message.
    pub(super) fn meet_in_extended(&mut self, id: u8, payload: &[u8]) {
        rewrite_extended(self, id, payload);
    }

    /// Chooses the stand-ins of all addresses and peer ids, in their order.
    pub(super) fn settle(&mut self) {
        let mut next = BTreeMap::<u8, u32>::new();
        for (ip, stand_in) in &mut self.ips {
            let (class, make): (u8, fn(u32) -> IpAddr) = match ip {
                ip if ip.is_unspecified() || ip.is_multicast() => continue,
                IpAddr::V4(v4) if v4.is_broadcast() => continue,
                IpAddr::V4(v4) if v4.is_loopback() => (0, |n| v4_in([127, 0], n)),
                IpAddr::V4(_) if scope(*ip) == Scope::Local => (1, |n| v4_in([10, 0], n)),
                IpAddr::V4(_) => (2, |n| v4_in([198, 18], n)),
                IpAddr::V6(v6) if v6.is_loopback() => continue,
                IpAddr::V6(_) if scope(*ip) == Scope::Local => (3, |n| v6_in(0xfd00, 0, n)),
                IpAddr::V6(_) => (4, |n| v6_in(0x2001, 0xdb8, n)),
            };
            let number = next.entry(class).or_default();
            *number += 1;
            *stand_in = make(*number);
        }
        for (number, (id, stand_in)) in self.peers.iter_mut().enumerate() {
            let mut bytes = id.0;
            bytes[8..].copy_from_slice(format!("{number:012}").as_bytes());
            *stand_in = PeerId(bytes);
        }
    }

    pub(super) fn ip(&self, ip: IpAddr) -> IpAddr {
        self.ips.get(&ip.to_canonical()).copied().unwrap_or(ip)
    }

    pub(super) fn addr(&self, addr: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.ip(addr.ip()), addr.port())
    }

    pub(super) fn info_hash(&mut self, hash: Sha1Hash) -> Sha1Hash {
        let number = self.hashes.len();
        let make = || Sha1Hash::of(format!("torrent {number}").as_bytes());
        *self.hashes.entry(hash).or_insert_with(make)
    }

    pub(super) fn long_hash(&mut self, hash: Sha256Hash) -> Sha256Hash {
        let number = self.long_hashes.len();
        let make = || Sha256Hash::of(format!("torrent {number}").as_bytes());
        *self.long_hashes.entry(hash).or_insert_with(make)
    }

    pub(super) fn piece(&mut self, hash: Sha1Hash) -> Sha1Hash {
        let number = self.pieces.len();
        let make = || Sha1Hash::of(format!("piece {number}").as_bytes());
        *self.pieces.entry(hash).or_insert_with(make)
    }

    pub(super) fn name(&mut self, name: &str) -> String {
        let number = self.names.len() + 1;
        self.names.entry(name.to_string()).or_insert_with(|| format!("name-{number}")).clone()
    }

    /// A URL with the scheme and the kind of host of the original, and whether it ends in
    /// `announce`.
    pub(super) fn url(&mut self, url: &str) -> String {
        if let Some(known) = self.urls.get(url) {
            return known.clone();
        }
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let place = rest.split(['?', '#']).next().unwrap_or_default();
        let (host, path) = place.split_once('/').unwrap_or((place, ""));
        let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
        let (name, port) = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => (name, port),
            _ => (host, ""),
        };
        let bare = name.trim_matches(['[', ']']);
        let name = match bare.parse::<IpAddr>() {
            Ok(ip) => match self.ip(ip) {
                IpAddr::V4(v4) => v4.to_string(),
                IpAddr::V6(v6) => format!("[{v6}]"),
            },
            Err(_) => format!("host-{}.example", self.urls.len() + 1),
        };
        let port = if port.is_empty() { String::new() } else { format!(":{port}") };
        let last = path.rsplit('/').next().unwrap_or_default();
        let path = if last.starts_with("announce") { "/announce" } else { "/path" };
        let stand_in = format!("{scheme}://{name}{port}{path}");
        self.urls.insert(url.to_string(), stand_in.clone());
        stand_in
    }

    /// A handshake with other names.
    pub(super) fn handshake(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        if let (Some(hash), Some(id)) = (bytes.get(28..48), bytes.get(48..68)) {
            let hash = Sha1Hash::from_slice(hash).unwrap_or(Sha1Hash([0; 20]));
            out[28..48].copy_from_slice(&self.info_hash(hash).0);
            let known = id.try_into().ok().and_then(|id| self.peers.get(&PeerId(id)));
            out[48..68].copy_from_slice(&known.map_or([b'x'; 20], |id| id.0));
        }
        out
    }

    /// A packet of a UDP tracker with other addresses.
    pub(super) fn datagram(&self, data: &[u8], ipv6: bool) -> Vec<u8> {
        let mut out = data.to_vec();
        match action(data) {
            Some(1) => {
                for entry in announced(data, ipv6) {
                    let ip = self.ip(entry_ip(&data[entry.clone()]));
                    put_ip(&mut out[entry], ip);
                }
            }
            // Connection ids and counts name nobody.
            Some(0 | 2) => {}
            _ => out.iter_mut().skip(8).for_each(|byte| *byte = b'x'),
        }
        out
    }
}

fn v4_in(net: [u8; 2], number: u32) -> IpAddr {
    Ipv4Addr::new(net[0], net[1], (number >> 8) as u8, number as u8).into()
}

fn v6_in(first: u16, second: u16, number: u32) -> IpAddr {
    Ipv6Addr::new(first, second, 0, 0, 0, 0, (number >> 16) as u16, number as u16).into()
}

fn action(data: &[u8]) -> Option<u32> {
    data.first_chunk().map(|head| u32::from_be_bytes(*head))
}

/// Where the entries of an announce reply lie.
fn announced(data: &[u8], ipv6: bool) -> impl Iterator<Item = core::ops::Range<usize>> + use<> {
    let width = if ipv6 { 18 } else { 6 };
    let count = if action(data) == Some(1) { data.len().saturating_sub(20) / width } else { 0 };
    (0..count).map(move |n| 20 + n * width..20 + (n + 1) * width)
}

/// The address at the front of a compact entry.
fn entry_ip(entry: &[u8]) -> IpAddr {
    match (entry.first_chunk::<16>(), entry.first_chunk::<4>()) {
        (Some(v6), _) => IpAddr::from(*v6),
        (None, Some(v4)) => IpAddr::from(*v4),
        (None, None) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
    }
}

/// Writes an address over the front of an entry of the same family.
fn put_ip(entry: &mut [u8], ip: IpAddr) {
    match ip {
        IpAddr::V4(v4) if entry.len() < 16 => entry[..4].copy_from_slice(&v4.octets()),
        IpAddr::V4(v4) => entry[..16].copy_from_slice(&v4.to_ipv6_mapped().octets()),
        IpAddr::V6(v6) if entry.len() >= 16 => entry[..16].copy_from_slice(&v6.octets()),
        IpAddr::V6(_) => {}
    }
}

/// The reply of a tracker with other addresses and without texts. On the first pass the addresses
/// stand for themselves and are noted.
pub(super) fn rewrite_reply(names: &mut StandIns, body: &[u8]) -> Vec<u8> {
    let Ok(document) = scan(body, Limits::TRACKER, Mode::Lenient) else {
        return alloc::vec![b'x'; body.len()];
    };
    let mut edits = Vec::new();
    for (key, value) in document.root().entries() {
        match key {
            b"peers" if value.as_bytes().is_some() => edits.push(compact(names, &value, 6)),
            b"peers6" => edits.push(compact(names, &value, 18)),
            b"peers" => {
                for peer in value.items() {
                    for (key, value) in peer.entries() {
                        edits.extend(named_peer(names, key, &value));
                    }
                }
            }
            b"external ip" => {
                let width = value.as_bytes().map_or(0, <[u8]>::len);
                edits.push(compact(names, &value, width.max(1)));
            }
            b"files" => {
                // A scrape: the keys are info-hashes, each right before its value.
                for (key, value) in value.entries() {
                    let hash = Sha1Hash::from_slice(key).map(|hash| names.info_hash(hash));
                    let new = hash.map_or_else(|| alloc::vec![b'x'; key.len()], |h| h.0.to_vec());
                    edits.push((value.start() - key.len(), key.len(), new));
                }
            }
            b"failure reason" | b"warning message" | b"tracker id" => {
                edits.push(edit(
                    &value,
                    &alloc::vec![
                        b'x';
                        value.as_bytes().map_or(0, <[u8]>::len)
                    ],
                ));
            }
            _ => {}
        }
    }
    apply(body, edits)
}

/// An extended message with other addresses and no names. Of kinds that are not understood the
/// length is kept.
pub(super) fn rewrite_extended(names: &mut StandIns, id: u8, payload: &[u8]) -> Vec<u8> {
    if id == OUR_DONT_HAVE_ID {
        return payload.to_vec();
    }
    let Ok(document) = scan(payload, Limits::MESSAGE, Mode::Lenient) else {
        return alloc::vec![0; payload.len()];
    };
    let dictionary = document.root().raw().len();
    match id {
        0 => {}
        OUR_PEX_ID => return rewrite_pex(names, payload, &document.root()),
        OUR_METADATA_ID => {
            // What follows the dictionary describes the torrent.
            let mut out = payload.to_vec();
            out[dictionary..].fill(b'x');
            return out;
        }
        _ => return alloc::vec![0; payload.len()],
    }
    let mut edits = Vec::new();
    for (key, value) in document.root().entries() {
        let length = value.as_bytes().map_or(0, <[u8]>::len);
        match key {
            b"yourip" | b"ipv4" | b"ipv6" if length == 4 || length == 16 => {
                edits.push(compact(names, &value, length));
            }
            b"v" => edits.push(edit(&value, &alloc::vec![b'x'; length])),
            _ => {}
        }
    }
    apply(payload, edits)
}

fn rewrite_pex(names: &mut StandIns, payload: &[u8], root: &Value<'_, '_>) -> Vec<u8> {
    let mut edits = Vec::new();
    for (key, value) in root.entries().filter(|(_, value)| value.as_bytes().is_some()) {
        match key {
            b"added" | b"dropped" => edits.push(compact(names, &value, 6)),
            b"added6" | b"dropped6" => edits.push(compact(names, &value, 18)),
            _ => {}
        }
    }
    apply(payload, edits)
}

type Edit = (usize, usize, Vec<u8>);

/// Puts `content` in the place of a string.
fn edit(value: &Value<'_, '_>, content: &[u8]) -> Edit {
    let mut token = format!("{}:", content.len()).into_bytes();
    token.extend(content);
    (value.start(), value.raw().len(), token)
}

fn compact(names: &mut StandIns, value: &Value<'_, '_>, width: usize) -> Edit {
    let mut content = value.as_bytes().unwrap_or_default().to_vec();
    for entry in content.chunks_exact_mut(width).filter(|entry| entry.len() >= 4) {
        let ip = entry_ip(entry);
        if !names.ips.contains_key(&ip.to_canonical()) {
            names.meet(ip);
        }
        put_ip(entry, names.ip(ip));
    }
    edit(value, &content)
}

fn named_peer(names: &mut StandIns, key: &[u8], value: &Value<'_, '_>) -> Option<Edit> {
    let text = value.as_str();
    match (key, text) {
        (b"peer id", _) => {
            let length = value.as_bytes().map_or(0, <[u8]>::len);
            Some(edit(value, &alloc::vec![b'x'; length]))
        }
        (b"ip", Some(text)) => {
            let new = match text.parse::<IpAddr>() {
                Ok(ip) => {
                    if !names.ips.contains_key(&ip.to_canonical()) {
                        names.meet(ip);
                    }
                    names.ip(ip).to_string()
                }
                Err(_) => names.name(text),
            };
            Some(edit(value, new.as_bytes()))
        }
        _ => None,
    }
}

/// Applies edits, which do not overlap.
fn apply(body: &[u8], mut edits: Vec<Edit>) -> Vec<u8> {
    edits.sort();
    let mut out = Vec::with_capacity(body.len());
    let mut done = 0;
    for (start, length, token) in edits {
        out.extend_from_slice(&body[done..start]);
        out.extend(token);
        done = start + length;
    }
    out.extend_from_slice(&body[done..]);
    out
}
