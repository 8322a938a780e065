//! `ut_metadata`: the info dictionary in pieces of 16 KiB (BEP 9).

use alloc::vec::Vec;
use bytes::Bytes;

use super::error::DecodeError;
use crate::bencode::{Encoder, Limits, Mode, scan};

/// Bytes of every metadata piece but the last (BEP 9).
pub const METADATA_PIECE: u32 = 16 * 1024;

/// One message of the metadata exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MetadataMessage {
    /// The sender wants this piece.
    Request(u32),
    /// A piece.
    Data {
        /// Which.
        piece: u32,
        /// Bytes of the whole dictionary, as the sender says, if it does.
        total_size: Option<u32>,
        /// The bytes.
        data: Bytes,
    },
    /// The sender does not give this piece.
    Reject(u32),
    /// A kind of message that BEP 9 does not know yet; to be ignored.
    Unknown {
        /// The kind.
        kind: i64,
        /// The piece it is about.
        piece: u32,
    },
}

impl MetadataMessage {
    /// Decodes the body of an extended message.
    ///
    /// # Errors
    /// [`DecodeError::Extended`] when it does not begin with a dictionary that names kind and piece.
    pub fn decode(body: &Bytes) -> Result<Self, DecodeError> {
        let document =
            scan(body, Limits::MESSAGE, Mode::Lenient).map_err(|_| DecodeError::Extended)?;
        let root = document.root();
        let int = |key: &[u8]| root.get(key).and_then(|value| value.as_int());
        let kind = int(b"msg_type").ok_or(DecodeError::Extended)?;
        let piece = int(b"piece").and_then(|piece| u32::try_from(piece).ok());
        let piece = piece.ok_or(DecodeError::Extended)?;
        Ok(match kind {
            0 => Self::Request(piece),
            1 => Self::Data {
                piece,
                total_size: int(b"total_size").and_then(|size| u32::try_from(size).ok()),
                data: body.slice(root.raw().len()..),
            },
            2 => Self::Reject(piece),
            _ => Self::Unknown { kind, piece },
        })
    }

    /// The body of the extended message.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        let (kind, piece) = match self {
            Self::Request(piece) => (0, *piece),
            Self::Data { piece, .. } => (1, *piece),
            Self::Reject(piece) => (2, *piece),
            Self::Unknown { kind, piece } => (*kind, *piece),
        };
        out.dict().bytes(b"msg_type").int(kind).bytes(b"piece").int(piece.into());
        if let Self::Data { total_size: Some(size), .. } = self {
            out.bytes(b"total_size").int((*size).into());
        }
        out.end();
        let mut out = out.finish();
        if let Self::Data { data, .. } = self {
            out.extend_from_slice(data);
        }
        out
    }
}
