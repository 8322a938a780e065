//! What of the bytes of strangers may stand in a redacted trace. Everything begins as nothing: only
//! what is understood and known to name nobody is put in, in the same place.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use bytes::BytesMut;
use core::net::{IpAddr, Ipv4Addr};
use core::ops::Range;

use super::stand_ins::StandIns;
use crate::base::hash::Sha1Hash;
use crate::bencode::{Limits, Mode, Value, scan};
use crate::peer::{OUR_DONT_HAVE_ID, OUR_HOLEPUNCH_ID, OUR_METADATA_ID, OUR_PEX_ID};
use crate::wire::{Handshake, HolepunchMessage, Message, Reserved};

/// Abilities that the engine knows, as bits of a handshake.
const KNOWN_BITS: [u8; 8] = [0, 0, 0, 0, 0, 0x10, 0, 0x15];
/// Extensions whose names may be told.
const EXTENSIONS: [&[u8]; 7] = [
    b"ut_metadata",
    b"ut_pex",
    b"lt_donthave",
    b"upload_only",
    b"ut_holepunch",
    b"ut_comment",
    b"share_mode",
];
/// Numbers in an extended handshake (BEP 10, BEP 21) that name nobody.
const HANDSHAKE_NUMBERS: [&[u8]; 6] =
    [b"p", b"reqq", b"metadata_size", b"upload_only", b"complete_ago", b"e"];
/// Numbers in a metadata message (BEP 9).
const METADATA_NUMBERS: [&[u8]; 3] = [b"msg_type", b"piece", b"total_size"];
/// Numbers in the reply of a tracker (BEP 3, 31, 48).
const REPLY_NUMBERS: [&[u8]; 9] = [
    b"interval",
    b"min interval",
    b"complete",
    b"incomplete",
    b"downloaded",
    b"downloaders",
    b"port",
    b"retry in",
    b"flags",
];
/// Texts in the reply of a tracker that are replaced; their keys may be told.
const REPLY_TEXTS: [&[u8]; 4] = [b"failure reason", b"warning message", b"tracker id", b"peer id"];

/// A handshake with other names and without abilities that are not known.
pub(super) fn handshake(names: &mut StandIns, said: &Handshake) -> Vec<u8> {
    let mut reserved = said.reserved.0;
    reserved.iter_mut().zip(KNOWN_BITS).for_each(|(bits, known)| *bits &= known);
    let other = Handshake {
        reserved: Reserved(reserved),
        info_hash: names.info_hash(said.info_hash),
        peer_id: names.peer(said.peer_id),
    };
    other.encode().to_vec()
}

/// The bytes of a message that is no extended one, up to where nothing but zeros follows.
pub(super) fn plain(said: &Message) -> Vec<u8> {
    let mut out = BytesMut::new();
    said.encode(&mut out);
    match said {
        Message::KeepAlive
        | Message::Choke
        | Message::Unchoke
        | Message::Interested
        | Message::NotInterested
        | Message::Have(_)
        | Message::Bitfield(_)
        | Message::Request(_)
        | Message::Piece { .. }
        | Message::Cancel(_)
        | Message::Port(_)
        | Message::Suggest(_)
        | Message::HaveAll
        | Message::HaveNone
        | Message::Reject(_)
        | Message::AllowedFast(_) => {}
        // Hashes describe the torrent, and what is not known may be anything: length and id remain.
        Message::Extended { .. }
        | Message::HashRequest(_)
        | Message::Hashes(..)
        | Message::HashReject(_)
        | Message::Unknown { .. } => out.truncate(5),
    }
    out.to_vec()
}

/// An extended message with other addresses and no names, as long as it was.
pub(super) fn extended(names: &mut StandIns, id: u8, payload: &[u8]) -> Vec<u8> {
    if id == OUR_DONT_HAVE_ID && payload.len() == 4 {
        return payload.to_vec();
    }
    if id == OUR_HOLEPUNCH_ID {
        return introduction(names, payload);
    }
    let Ok(document) = scan(payload, Limits::MESSAGE, Mode::Lenient) else {
        return vec![0; payload.len()];
    };
    let mut masked = Masked::new(payload, document.consumed());
    for (key, value) in document.root().entries() {
        match (id, key) {
            (0, b"m") => {
                masked.keep_key(key, &value);
                masked.frame(&value);
                for (name, number) in value.entries() {
                    let known = EXTENSIONS.contains(&name);
                    masked.entry(name, &number, known && number.as_int().is_some());
                }
            }
            (0, b"yourip" | b"ipv4" | b"ipv6") => {
                masked.keep_key(key, &value);
                let width = value.as_bytes().map_or(0, <[u8]>::len);
                masked.compact(names, &value, if width == 4 || width == 16 { width } else { 0 });
            }
            (0, b"v") => masked.text(key, &value),
            (0, _) => masked.entry(key, &value, HANDSHAKE_NUMBERS.contains(&key)),
            (OUR_PEX_ID, b"added" | b"dropped") => {
                masked.keep_key(key, &value);
                masked.compact(names, &value, 6);
            }
            (OUR_PEX_ID, b"added6" | b"dropped6") => {
                masked.keep_key(key, &value);
                masked.compact(names, &value, 18);
            }
            // A byte of flags for each address.
            (OUR_PEX_ID, b"added.f" | b"added6.f") => masked.text(key, &value),
            (OUR_METADATA_ID, _) => masked.entry(key, &value, METADATA_NUMBERS.contains(&key)),
            _ => masked.entry(key, &value, false),
        }
    }
    masked.frame(&document.root());
    masked.out
}

/// Whom a peer introduces, or wants to be introduced to: with another address of the same family. What is no such
/// message, or longer than one, is as long and none.
fn introduction(names: &mut StandIns, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![0; payload.len()];
    let Ok(mut said) = HolepunchMessage::decode(payload) else {
        // A family that is none.
        out.iter_mut().skip(1).take(1).for_each(|byte| *byte = 0xff);
        return out;
    };
    names.meet(said.addr.ip());
    let other = match (said.addr.ip(), names.ip(said.addr.ip())) {
        (IpAddr::V6(_), IpAddr::V4(v4)) => v4.to_ipv6_mapped().into(),
        (_, other) => other,
    };
    said.addr.set_ip(other);
    said.error = said.error.min(5);
    out.iter_mut().zip(said.encode()).for_each(|(place, byte)| *place = byte);
    out
}

/// The reply of a tracker with other addresses and without texts. On the first pass the addresses
/// are noted.
pub(super) fn reply(names: &mut StandIns, body: &[u8]) -> Vec<u8> {
    let Ok(document) = scan(body, Limits::TRACKER, Mode::Saturating) else {
        return vec![b'x'; body.len()];
    };
    let root = document.root();
    let mut masked = Masked::new(body, document.consumed());
    masked.frame(&root);
    for (key, value) in root.entries() {
        match key {
            b"peers" if value.is_list() => {
                masked.keep_key(key, &value);
                masked.frame(&value);
                value.items().for_each(|peer| named_peer(&mut masked, names, &peer));
            }
            b"peers" => {
                masked.keep_key(key, &value);
                masked.compact(names, &value, 6);
            }
            b"peers6" => {
                masked.keep_key(key, &value);
                masked.compact(names, &value, 18);
            }
            b"external ip" => {
                masked.keep_key(key, &value);
                let width = value.as_bytes().map_or(0, <[u8]>::len);
                masked.compact(names, &value, if width == 4 || width == 16 { width } else { 0 });
            }
            b"files" | b"flags" if value.is_dict() => {
                masked.keep_key(key, &value);
                masked.frame(&value);
                for (name, value) in value.entries() {
                    scraped(&mut masked, names, name, &value);
                }
            }
            _ if REPLY_TEXTS.contains(&key) => masked.text(key, &value),
            _ => masked.entry(key, &value, REPLY_NUMBERS.contains(&key)),
        }
    }
    masked.finish()
}

/// The counts of a torrent in a scrape (BEP 48), whose key is its info-hash.
fn scraped(masked: &mut Masked<'_>, names: &mut StandIns, key: &[u8], value: &Value<'_, '_>) {
    let Some(hash) = Sha1Hash::from_slice(key).filter(|_| value.is_dict()) else {
        return masked.entry(key, value, false);
    };
    let place = masked.keep_key(key, value);
    masked.out[place].copy_from_slice(&names.info_hash(hash).0);
    masked.frame(value);
    for (key, value) in value.entries() {
        masked.entry(key, &value, REPLY_NUMBERS.contains(&key));
    }
}

/// A peer in the old form of a reply: a dictionary.
fn named_peer(masked: &mut Masked<'_>, names: &mut StandIns, peer: &Value<'_, '_>) {
    masked.frame(peer);
    for (key, value) in peer.entries() {
        match (key, value.as_str()) {
            (b"ip", Some(text)) => {
                masked.keep_key(key, &value);
                let new = match text.parse::<IpAddr>() {
                    Ok(ip) => {
                        names.meet(ip);
                        names.ip(ip).to_string()
                    }
                    Err(_) => names.name(text),
                };
                masked.replace(&value, &new);
            }
            _ if REPLY_TEXTS.contains(&key) => masked.text(key, &value),
            _ => masked.entry(key, &value, REPLY_NUMBERS.contains(&key)),
        }
    }
}

/// Bytes of the same length in which nothing stands yet, and the shapes that are put in.
struct Masked<'a> {
    input: &'a [u8],
    out: Vec<u8>,
    /// Strings that become longer or shorter: where, and what.
    replaced: Vec<(Range<usize>, Vec<u8>)>,
}

impl<'a> Masked<'a> {
    /// Of `input`, the first `document` bytes are bencode; what follows is nobody's business.
    fn new(input: &'a [u8], document: usize) -> Self {
        let mut out = vec![b'x'; document];
        out.resize(input.len(), 0);
        Self { input, out, replaced: Vec::new() }
    }

    fn keep(&mut self, place: Range<usize>) {
        self.out[place.clone()].copy_from_slice(&self.input[place]);
    }

    /// The length and the content of a key; returns where the content lies.
    fn keep_key(&mut self, key: &[u8], value: &Value<'_, '_>) -> Range<usize> {
        self.key_length(key, value);
        let place = value.start() - key.len()..value.start();
        self.keep(place.clone());
        place
    }

    /// The length of a key, in the digits in which it stands.
    fn key_length(&mut self, key: &[u8], value: &Value<'_, '_>) {
        let colon = value.start() - key.len() - 1;
        let digits = self.input[..colon].iter().rev().take_while(|byte| byte.is_ascii_digit());
        let mut first = colon - digits.count();
        // Digits of a longer number in front of it would belong to what is before.
        let length: usize = key.len();
        while first < colon && number_at(&self.input[first..colon]) != Some(length) {
            first += 1;
        }
        self.keep(first..colon + 1);
    }

    /// The first and the last byte of a list or dictionary; of a scalar, its shape.
    fn frame(&mut self, value: &Value<'_, '_>) {
        let (start, end) = (value.start(), value.start() + value.raw().len());
        if value.is_dict() || value.is_list() {
            self.keep(start..start + 1);
            self.keep(end - 1..end);
        } else {
            self.shape(value);
        }
    }

    /// An entry whose number may be told, or of which nothing may.
    fn entry(&mut self, key: &[u8], value: &Value<'_, '_>, known: bool) {
        match value.as_int() {
            Some(_) if known => {
                self.keep_key(key, value);
                self.keep(value.start()..value.start() + value.raw().len());
            }
            _ => {
                self.key_length(key, value);
                self.shape(value);
            }
        }
    }

    /// An entry whose key may be told and whose text may not.
    fn text(&mut self, key: &[u8], value: &Value<'_, '_>) {
        self.keep_key(key, value);
        self.shape(value);
    }

    /// What a value is and how long, and nothing of what is in it. Nesting is bounded by the scan.
    fn shape(&mut self, value: &Value<'_, '_>) {
        let (start, end) = (value.start(), value.start() + value.raw().len());
        if let Some(bytes) = value.as_bytes() {
            self.keep(start..end - bytes.len());
        } else if value.is_dict() {
            self.keep(start..start + 1);
            self.keep(end - 1..end);
            for (key, value) in value.entries() {
                self.key_length(key, &value);
                self.shape(&value);
            }
        } else if value.is_list() {
            self.keep(start..start + 1);
            self.keep(end - 1..end);
            value.items().for_each(|item| self.shape(&item));
        } else {
            self.out[start..end].fill(b'0');
            self.keep(start..start + 1);
            self.keep(end - 1..end);
        }
    }

    /// A string of addresses, each of this many bytes with its port; 0 if it holds no addresses.
    fn compact(&mut self, names: &mut StandIns, value: &Value<'_, '_>, width: usize) {
        self.shape(value);
        let Some(bytes) = value.as_bytes().filter(|_| width >= 4) else { return };
        let end = value.start() + value.raw().len();
        let start = end - bytes.len();
        for (number, entry) in bytes.chunks_exact(width).enumerate() {
            let ip = entry_ip(entry);
            names.meet(ip);
            let place = start + number * width..start + (number + 1) * width;
            self.keep(place.clone());
            put_ip(&mut self.out[place], names.ip(ip));
        }
    }

    /// Another string in the place of one, of whatever length.
    fn replace(&mut self, value: &Value<'_, '_>, text: &str) {
        let place = value.start()..value.start() + value.raw().len();
        self.replaced.push((place, format!("{}:{text}", text.len()).into_bytes()));
    }

    /// The bytes, with strings of other lengths in them. The places do not overlap.
    fn finish(mut self) -> Vec<u8> {
        self.replaced.sort_by_key(|(place, _)| place.start);
        let mut out = Vec::with_capacity(self.out.len());
        let mut done = 0;
        for (place, text) in self.replaced {
            // A key that is there twice is looked at twice.
            if place.start >= done {
                out.extend_from_slice(&self.out[done..place.start]);
                out.extend(text);
                done = place.end;
            }
        }
        out.extend_from_slice(&self.out[done..]);
        out
    }
}

fn number_at(digits: &[u8]) -> Option<usize> {
    core::str::from_utf8(digits).ok()?.parse().ok()
}

/// A packet with other addresses and another conversation. Of anything but the reply of a UDP tracker
/// (BEP 15) only the length remains: packets of the DHT are full of ids.
pub(super) fn datagram(names: &StandIns, data: &[u8], ipv6: bool) -> Vec<u8> {
    let mut out = vec![b'x'; data.len()];
    let (Some(action), Some(id)) = (word(data, 0), word(data, 4)) else { return out };
    if action > 3 {
        return out;
    }
    out[..4].copy_from_slice(&data[..4]);
    out[4..8].copy_from_slice(&names.transaction(id).to_be_bytes());
    match action {
        // Interval and counts, then addresses.
        1 => {
            let numbers = 8..data.len().min(20);
            out[numbers.clone()].copy_from_slice(&data[numbers]);
            for entry in announced(data, ipv6) {
                let ip = names.ip(entry_ip(&data[entry.clone()]));
                out[entry.clone()].copy_from_slice(&data[entry.clone()]);
                put_ip(&mut out[entry], ip);
            }
        }
        // Counts of a scrape.
        2 => {
            let numbers = 8..data.len().min(20);
            out[numbers.clone()].copy_from_slice(&data[numbers]);
        }
        // The number of a connection is the tracker's secret, and what it says of errors its own words.
        _ => {}
    }
    out
}

/// Notes the addresses in a packet of a UDP tracker.
pub(super) fn meet_in_datagram(names: &mut StandIns, data: &[u8], ipv6: bool) {
    announced(data, ipv6).for_each(|entry| names.meet(entry_ip(&data[entry])));
}

/// The number of a conversation in a request to a UDP tracker.
pub(super) fn transaction_of(request: &[u8]) -> Option<u32> {
    word(request, 8).filter(|action| *action <= 2)?;
    word(request, 12)
}

fn word(data: &[u8], at: usize) -> Option<u32> {
    data.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}

/// Where the entries of an announce reply lie.
fn announced(data: &[u8], ipv6: bool) -> impl Iterator<Item = Range<usize>> + use<> {
    let width = if ipv6 { 18 } else { 6 };
    let count = if word(data, 0) == Some(1) { data.len().saturating_sub(20) / width } else { 0 };
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
        IpAddr::V6(_) => entry.fill(0),
    }
}
