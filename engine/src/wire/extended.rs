//! Extended messages: the extended handshake (BEP 10, BEP 21) and `lt_donthave` (BEP 54).

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::IpAddr;

use super::error::DecodeError;
use crate::bencode::{Encoder, Limits, Mode, Value, scan};

/// Most extensions of a peer that are remembered.
const MAX_EXTENSIONS: usize = 64;

/// The extended handshake. A field of the wrong type counts as absent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ExtendedHandshake {
    /// Names of extensions and the ids under which the sender takes them; 0 switches one off.
    pub m: BTreeMap<String, u8>,
    /// Client name and version.
    pub v: Option<String>,
    /// The sender's listening port.
    pub p: Option<u16>,
    /// How many requests the sender queues.
    pub reqq: Option<u32>,
    /// The receiver's address as the sender sees it.
    pub yourip: Option<IpAddr>,
    /// The sender's IPv4 address.
    pub ipv4: Option<IpAddr>,
    /// The sender's IPv6 address.
    pub ipv6: Option<IpAddr>,
    /// The sender downloads nothing (BEP 21).
    pub upload_only: Option<bool>,
    /// Size of the info dictionary (BEP 9), as claimed.
    pub metadata_size: Option<i64>,
}

impl ExtendedHandshake {
    /// Decodes the body of extended message 0.
    ///
    /// # Errors
    /// [`DecodeError::Extended`] when it is no dictionary.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let document =
            scan(body, Limits::MESSAGE, Mode::Lenient).map_err(|_| DecodeError::Extended)?;
        let root = document.root();
        if !root.is_dict() {
            return Err(DecodeError::Extended);
        }
        let int = |key: &[u8]| root.get(key).and_then(|v| v.as_int());
        let mut m = BTreeMap::new();
        for (name, id) in root.get(b"m").iter().flat_map(Value::entries).take(MAX_EXTENSIONS) {
            let name = core::str::from_utf8(name).ok();
            let id = id.as_int().and_then(|id| u8::try_from(id).ok());
            if let (Some(name), Some(id)) = (name, id) {
                m.insert(name.into(), id);
            }
        }
        Ok(Self {
            m,
            v: root.get(b"v").and_then(|v| v.as_bytes()).map(printable),
            p: int(b"p").and_then(|p| u16::try_from(p).ok()).filter(|p| *p != 0),
            reqq: int(b"reqq").and_then(|n| u32::try_from(n).ok()),
            yourip: root.get(b"yourip").and_then(address),
            ipv4: root.get(b"ipv4").and_then(address),
            ipv6: root.get(b"ipv6").and_then(address),
            upload_only: int(b"upload_only").map(|n| n != 0),
            metadata_size: int(b"metadata_size"),
        })
    }

    /// The body of extended message 0.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        let address = |out: &mut Encoder, key: &[u8], ip: Option<IpAddr>| {
            match ip {
                Some(IpAddr::V4(ip)) => out.bytes(key).bytes(&ip.octets()),
                Some(IpAddr::V6(ip)) => out.bytes(key).bytes(&ip.octets()),
                None => out,
            };
        };
        out.dict();
        address(&mut out, b"ipv4", self.ipv4);
        address(&mut out, b"ipv6", self.ipv6);
        out.bytes(b"m").dict();
        for (name, id) in &self.m {
            out.bytes(name.as_bytes()).int((*id).into());
        }
        out.end();
        let int = |out: &mut Encoder, key: &[u8], value: Option<i64>| {
            if let Some(value) = value {
                out.bytes(key).int(value);
            }
        };
        int(&mut out, b"metadata_size", self.metadata_size);
        int(&mut out, b"p", self.p.map(i64::from));
        int(&mut out, b"reqq", self.reqq.map(i64::from));
        int(&mut out, b"upload_only", self.upload_only.map(i64::from));
        if let Some(v) = &self.v {
            out.bytes(b"v").bytes(v.as_bytes());
        }
        address(&mut out, b"yourip", self.yourip);
        out.end();
        out.finish()
    }
}

/// Decodes the body of `lt_donthave` (BEP 54): the piece that the sender lost.
///
/// # Errors
/// [`DecodeError::Extended`] when it is not four bytes.
pub fn parse_dont_have(body: &[u8]) -> Result<u32, DecodeError> {
    body.try_into().map(u32::from_be_bytes).map_err(|_| DecodeError::Extended)
}

/// The body of `lt_donthave` (BEP 54).
pub fn dont_have(piece: u32) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(&piece.to_be_bytes())
}

/// At most 100 characters, none of which could move a terminal's cursor.
fn printable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).chars().filter(|c| !c.is_control()).take(100).collect()
}

fn address(value: Value<'_, '_>) -> Option<IpAddr> {
    let bytes = value.as_bytes()?;
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}
