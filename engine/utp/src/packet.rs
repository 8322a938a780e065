//! Packets as BEP 29 lays them out, read from and written to bytes.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use crate::verdict::Fault;

/// Bytes of a header without extensions.
pub const HEADER: usize = 20;
/// The most bytes that one selective ack can have: a multiple of four below 256.
pub const MAX_SACK: usize = 252;

const SELECTIVE_ACK: u8 = 1;
const CLOSE_REASON: u8 = 3;
/// Padding of probes for the path MTU. Every implementation skips extensions that it does not know.
const PADDING: u8 = 0xf0;
/// Extensions of one packet beyond which it is not read: nobody sends more than a few, padding of a probe apart.
const MAX_EXTENSIONS: usize = 300;

/// A header on its way out. Longer ones than fit here are probes and wide selective acks, both rare.
pub type HeaderBytes = SmallVec<[u8; 64]>;

/// What a packet is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Carries payload.
    Data,
    /// The last packet of a stream.
    Fin,
    /// Acknowledges, and carries nothing.
    State,
    /// Ends a connection at once.
    Reset,
    /// Asks for a connection.
    Syn,
}

/// A packet as it was read. Lists are places in the datagram: nothing is copied.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Packet {
    /// What it is for.
    pub kind: Kind,
    /// Which connection it belongs to at that address.
    pub connection_id: u16,
    /// The sender's clock in microseconds, its low 32 bits.
    pub timestamp: u32,
    /// How long the last packet from us was under way by the clocks of both, modulo 2³².
    pub timestamp_difference: u32,
    /// Bytes that the sender may be sent beyond what it acknowledges.
    pub window: u32,
    /// The packet's number.
    pub sequence: u16,
    /// The last number up to which the sender has everything.
    pub acknowledged: u16,
    /// Bit `n` stands for the packet `acknowledged + 2 + n`, lowest bit of each byte first. Empty when there is none.
    pub selective_ack: Bytes,
    /// Why the sender ends the connection.
    pub close_reason: Option<u32>,
    /// The content.
    pub payload: Bytes,
}

/// Why bytes are no packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// Shorter than a header.
    #[error("shorter than a header")]
    Short,
    /// Another version than 1, or a kind that there is not.
    #[error("of another version, or of a kind that there is not")]
    Version,
    /// An extension ends behind the packet, or there are too many.
    #[error("extensions that end behind the packet, or too many")]
    Extensions,
}

impl PacketError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Anybody
    }
}

/// Whether a datagram is for µTP rather than for the DHT (which begins with `d`) or a tracker (with a zero byte): the
/// version is 1, and the kind is one of five.
pub fn is_utp(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER && datagram[0] & 0x0f == 1 && datagram[0] >> 4 <= 4
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// Goes over the extensions of a packet whose header is whole: `see` is given the kind of each and where it lies. The
/// result is where the payload begins.
///
/// # Errors
/// When an extension is cut off, or when there are too many.
pub fn walk_extensions(
    bytes: &[u8],
    mut see: impl FnMut(u8, core::ops::Range<usize>),
) -> Result<usize, PacketError> {
    let (mut kind, mut at) = (bytes[1], HEADER);
    for _ in 0..MAX_EXTENSIONS {
        if kind == 0 {
            return Ok(at);
        }
        let head = bytes.get(at..at + 2).ok_or(PacketError::Extensions)?;
        let (next, end) = (head[0], at + 2 + usize::from(head[1]));
        if end > bytes.len() {
            return Err(PacketError::Extensions);
        }
        see(kind, at + 2..end);
        (kind, at) = (next, end);
    }
    Err(PacketError::Extensions)
}

impl Packet {
    /// Reads a datagram.
    ///
    /// # Errors
    /// When it is no µTP packet.
    pub fn decode(datagram: &Bytes) -> Result<Self, PacketError> {
        let bytes = &datagram[..];
        if bytes.len() < HEADER {
            return Err(PacketError::Short);
        }
        if bytes[0] & 0x0f != 1 {
            return Err(PacketError::Version);
        }
        let kind = match bytes[0] >> 4 {
            0 => Kind::Data,
            1 => Kind::Fin,
            2 => Kind::State,
            3 => Kind::Reset,
            4 => Kind::Syn,
            _ => return Err(PacketError::Version),
        };
        let (mut sack, mut close_reason) = (0..0, None);
        let payload = walk_extensions(bytes, |extension, place| match extension {
            // The first counts: a second would speak of the same packets.
            SELECTIVE_ACK if sack.is_empty() => sack = place,
            CLOSE_REASON if place.len() == 4 => close_reason = Some(u32_at(bytes, place.start)),
            _ => {}
        })?;
        Ok(Self {
            kind,
            connection_id: u16_at(bytes, 2),
            timestamp: u32_at(bytes, 4),
            timestamp_difference: u32_at(bytes, 8),
            window: u32_at(bytes, 12),
            sequence: u16_at(bytes, 16),
            acknowledged: u16_at(bytes, 18),
            selective_ack: datagram.slice(sack),
            close_reason,
            payload: datagram.slice(payload..),
        })
    }
}

/// A header to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Header<'a> {
    /// What the packet is for.
    pub kind: Kind,
    /// Which connection of the receiver's it belongs to.
    pub connection_id: u16,
    /// See [`Packet::timestamp`].
    pub timestamp: u32,
    /// See [`Packet::timestamp_difference`].
    pub timestamp_difference: u32,
    /// See [`Packet::window`].
    pub window: u32,
    /// The packet's number.
    pub sequence: u16,
    /// See [`Packet::acknowledged`].
    pub acknowledged: u16,
    /// See [`Packet::selective_ack`]; at most [`MAX_SACK`] bytes, a multiple of four.
    pub selective_ack: &'a [u8],
    /// Why the connection is ended.
    pub close_reason: Option<u32>,
    /// Bytes of padding, which the receiver skips. Rounded up to two at the least.
    pub padding: usize,
}

impl Header<'_> {
    /// The bytes of the header with its extensions.
    pub fn encode(&self) -> HeaderBytes {
        let mut out = HeaderBytes::new();
        let kind: u8 = match self.kind {
            Kind::Data => 0,
            Kind::Fin => 1,
            Kind::State => 2,
            Kind::Reset => 3,
            Kind::Syn => 4,
        };
        out.extend_from_slice(&[kind << 4 | 1, 0]);
        out.extend_from_slice(&self.connection_id.to_be_bytes());
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.timestamp_difference.to_be_bytes());
        out.extend_from_slice(&self.window.to_be_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
        out.extend_from_slice(&self.acknowledged.to_be_bytes());
        // Where the kind of the next extension is to be written.
        let mut link = 1;
        if !self.selective_ack.is_empty() {
            let length = self.selective_ack.len().min(MAX_SACK);
            extend(&mut out, &mut link, SELECTIVE_ACK, &self.selective_ack[..length]);
        }
        if let Some(reason) = self.close_reason {
            extend(&mut out, &mut link, CLOSE_REASON, &reason.to_be_bytes());
        }
        let mut padding = self.padding;
        while padding > 0 {
            // No rest of one byte may remain, since an extension has two at the least.
            let part = if padding <= 257 { padding } else { 257.min(padding - 2) };
            extend(&mut out, &mut link, PADDING, &[0; 255][..part.saturating_sub(2)]);
            padding -= part;
        }
        out
    }
}

fn extend(out: &mut HeaderBytes, link: &mut usize, kind: u8, content: &[u8]) {
    out[*link] = kind;
    *link = out.len();
    out.extend_from_slice(&[0, content.len() as u8]);
    out.extend_from_slice(content);
}
