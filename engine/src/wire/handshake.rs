//! The 68 bytes that open a connection (BEP 3), and what their reserved bits announce.

use alloc::string::String;
use serde::{Deserialize, Serialize};

use super::error::DecodeError;
use crate::base::hash::Sha1Hash;

/// Bytes of a handshake.
pub const HANDSHAKE_LENGTH: usize = 68;

const PROTOCOL: &[u8; 20] = b"\x13BitTorrent protocol";

/// The 20 bytes by which a client names itself.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PeerId(pub [u8; 20]);

impl PeerId {
    /// The client's name as the usual `-XX1234-` prefix gives it, printable characters only.
    pub fn client(&self) -> String {
        self.0[..8].iter().filter(|b| b.is_ascii_graphic()).map(|b| char::from(*b)).collect()
    }
}

impl core::fmt::Debug for PeerId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// The eight reserved bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Reserved(pub [u8; 8]);

impl Reserved {
    /// What this engine announces: fast extension and extended messages.
    pub const OURS: Self = Self([0, 0, 0, 0, 0, 0x10, 0, 0x04]);

    /// The same, with or without the DHT (BEP 5).
    pub const fn ours(dht: bool) -> Self {
        let mut reserved = Self::OURS;
        if dht {
            reserved.0[7] |= 0x01;
        }
        reserved
    }

    /// DHT (BEP 5).
    pub const fn dht(self) -> bool {
        self.0[7] & 0x01 != 0
    }

    /// Fast extension (BEP 6).
    pub const fn fast(self) -> bool {
        self.0[7] & 0x04 != 0
    }

    /// Extended messages (BEP 10).
    pub const fn extended(self) -> bool {
        self.0[5] & 0x10 != 0
    }

    /// Upgrade of a hybrid to v2 (BEP 52).
    pub const fn v2(self) -> bool {
        self.0[7] & 0x10 != 0
    }
}

/// A handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Handshake {
    /// Announced abilities.
    pub reserved: Reserved,
    /// The torrent that the connection is for.
    pub info_hash: Sha1Hash,
    /// The sender.
    pub peer_id: PeerId,
}

impl Handshake {
    /// The bytes to send.
    pub fn encode(&self) -> [u8; HANDSHAKE_LENGTH] {
        let mut out = [0; HANDSHAKE_LENGTH];
        out[..20].copy_from_slice(PROTOCOL);
        out[20..28].copy_from_slice(&self.reserved.0);
        out[28..48].copy_from_slice(&self.info_hash.0);
        out[48..].copy_from_slice(&self.peer_id.0);
        out
    }

    /// Reads a handshake from the first bytes of a connection. `Ok(None)` while more are needed;
    /// garbage is refused at its first wrong byte.
    ///
    /// # Errors
    /// [`DecodeError::NotBitTorrent`].
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, DecodeError> {
        let head = bytes.len().min(PROTOCOL.len());
        if bytes[..head] != PROTOCOL[..head] {
            return Err(DecodeError::NotBitTorrent);
        }
        let Some(bytes) = bytes.first_chunk::<HANDSHAKE_LENGTH>() else { return Ok(None) };
        let array = |from: usize| {
            let mut out = [0; 20];
            out.copy_from_slice(&bytes[from..from + 20]);
            out
        };
        let mut reserved = [0; 8];
        reserved.copy_from_slice(&bytes[20..28]);
        Ok(Some(Self {
            reserved: Reserved(reserved),
            info_hash: Sha1Hash(array(28)),
            peer_id: PeerId(array(48)),
        }))
    }
}
