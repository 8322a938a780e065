//! The messages behind the handshake: ids, bodies, encoding.

use alloc::vec::Vec;
use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::error::DecodeError;
use crate::base::hash::Sha256Hash;
use crate::base::payload::Payload;

/// A block, as requests, cancels and rejects name it (BEP 3).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct BlockRequest {
    /// Piece number.
    pub piece: u32,
    /// First byte in the piece.
    pub begin: u32,
    /// Number of bytes.
    pub length: u32,
}

impl BlockRequest {
    /// Appends the header of the block's `piece` message (BEP 3); its content has to follow.
    pub fn encode_piece_header(&self, out: &mut BytesMut) {
        head(out, 8 + self.length as usize, PIECE_ID);
        out.put_u32(self.piece);
        out.put_u32(self.begin);
    }
}

/// A range of a Merkle tree, as hash requests name it (BEP 52).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HashRange {
    /// The tree.
    pub pieces_root: Sha256Hash,
    /// Layer of the hashes, 0 being the blocks.
    pub base_layer: u32,
    /// First hash in that layer.
    pub index: u32,
    /// Number of hashes.
    pub length: u32,
    /// Number of uncle layers for the proof.
    pub proof_layers: u32,
}

/// One message of the wire protocol.
#[derive(Clone, Debug)]
pub enum Message {
    /// An empty message.
    KeepAlive,
    /// Requests will not be served.
    Choke,
    /// Requests will be served.
    Unchoke,
    /// The sender wants something the receiver has.
    Interested,
    /// The sender wants nothing.
    NotInterested,
    /// The sender has got a piece.
    Have(u32),
    /// All pieces the sender has.
    Bitfield(Bytes),
    /// The sender wants a block.
    Request(BlockRequest),
    /// A block.
    Piece {
        /// Piece number.
        piece: u32,
        /// First byte in the piece.
        begin: u32,
        /// The bytes.
        payload: Payload,
    },
    /// The sender does not want the block any more.
    Cancel(BlockRequest),
    /// The sender's DHT port (BEP 5).
    Port(u16),
    /// The sender suggests a piece (BEP 6).
    Suggest(u32),
    /// The sender has everything (BEP 6).
    HaveAll,
    /// The sender has nothing (BEP 6).
    HaveNone,
    /// A request will not be served (BEP 6).
    Reject(BlockRequest),
    /// A piece the sender serves even while choking (BEP 6).
    AllowedFast(u32),
    /// An extended message; id 0 is the extended handshake (BEP 10).
    Extended {
        /// The id that the receiver assigned.
        id: u8,
        /// The body.
        payload: Bytes,
    },
    /// Asks for hashes (BEP 52).
    HashRequest(HashRange),
    /// Hashes, the range first and the proof behind (BEP 52).
    Hashes(HashRange, Vec<Sha256Hash>),
    /// Hashes will not be given (BEP 52).
    HashReject(HashRange),
    /// A message this engine does not know; to be ignored.
    Unknown {
        /// Its id.
        id: u8,
        /// Its body.
        payload: Bytes,
    },
}

pub(super) const PIECE_ID: u8 = 7;

/// Length and id of a message with `body` bytes behind the id.
fn head(out: &mut BytesMut, body: usize, id: u8) {
    out.put_u32(body as u32 + 1);
    out.put_u8(id);
}

fn number(bytes: &[u8], index: usize) -> u32 {
    let at = index * 4;
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn hash_range(bytes: &[u8]) -> HashRange {
    HashRange {
        pieces_root: Sha256Hash::from_slice(&bytes[..32]).unwrap_or(Sha256Hash([0; 32])),
        base_layer: number(bytes, 8),
        index: number(bytes, 9),
        length: number(bytes, 10),
        proof_layers: number(bytes, 11),
    }
}

impl Message {
    /// Decodes any message but [`Message::Piece`], whose payload the frame assembler slices.
    pub(super) fn decode(id: u8, body: Bytes) -> Result<Self, DecodeError> {
        let exact = |length: usize| {
            if body.len() == length { Ok(()) } else { Err(DecodeError::WrongLength { id }) }
        };
        let index = || exact(4).map(|()| number(&body, 0));
        let block = || {
            exact(12).map(|()| BlockRequest {
                piece: number(&body, 0),
                begin: number(&body, 1),
                length: number(&body, 2),
            })
        };
        let range = || exact(48).map(|()| hash_range(&body));
        Ok(match id {
            0 => exact(0).map(|()| Self::Choke)?,
            1 => exact(0).map(|()| Self::Unchoke)?,
            2 => exact(0).map(|()| Self::Interested)?,
            3 => exact(0).map(|()| Self::NotInterested)?,
            4 => Self::Have(index()?),
            5 => Self::Bitfield(body),
            6 => Self::Request(block()?),
            8 => Self::Cancel(block()?),
            9 => exact(2).map(|()| Self::Port(u16::from_be_bytes([body[0], body[1]])))?,
            13 => Self::Suggest(index()?),
            14 => exact(0).map(|()| Self::HaveAll)?,
            15 => exact(0).map(|()| Self::HaveNone)?,
            16 => Self::Reject(block()?),
            17 => Self::AllowedFast(index()?),
            20 if body.is_empty() => return Err(DecodeError::WrongLength { id }),
            20 => Self::Extended { id: body[0], payload: body.slice(1..) },
            21 => Self::HashRequest(range()?),
            22 if body.len() < 48 || body.len() % 32 != 16 => {
                return Err(DecodeError::WrongLength { id });
            }
            22 => {
                let hashes = body[48..].chunks_exact(32).filter_map(Sha256Hash::from_slice);
                Self::Hashes(hash_range(&body), hashes.collect())
            }
            23 => Self::HashReject(range()?),
            _ => Self::Unknown { id, payload: body },
        })
    }

    /// Appends the message to `out`. Of [`Message::Piece`] only the header is written: its payload
    /// follows as slices of its own.
    pub fn encode(&self, out: &mut BytesMut) {
        let index = |out: &mut BytesMut, id: u8, piece: u32| {
            head(out, 4, id);
            out.put_u32(piece);
        };
        let block = |out: &mut BytesMut, id: u8, block: &BlockRequest| {
            head(out, 12, id);
            out.put_u32(block.piece);
            out.put_u32(block.begin);
            out.put_u32(block.length);
        };
        let blob = |out: &mut BytesMut, id: u8, payload: &[u8]| {
            head(out, payload.len(), id);
            out.put_slice(payload);
        };
        match self {
            Self::KeepAlive => out.put_u32(0),
            Self::Choke => head(out, 0, 0),
            Self::Unchoke => head(out, 0, 1),
            Self::Interested => head(out, 0, 2),
            Self::NotInterested => head(out, 0, 3),
            Self::Have(piece) => index(out, 4, *piece),
            Self::Bitfield(bits) => blob(out, 5, bits),
            Self::Request(request) => block(out, 6, request),
            Self::Piece { piece, begin, payload } => {
                let (piece, begin, length) = (*piece, *begin, payload.len());
                BlockRequest { piece, begin, length }.encode_piece_header(out);
            }
            Self::Cancel(request) => block(out, 8, request),
            Self::Port(port) => {
                head(out, 2, 9);
                out.put_u16(*port);
            }
            Self::Suggest(piece) => index(out, 13, *piece),
            Self::HaveAll => head(out, 0, 14),
            Self::HaveNone => head(out, 0, 15),
            Self::Reject(request) => block(out, 16, request),
            Self::AllowedFast(piece) => index(out, 17, *piece),
            Self::Extended { id, payload } => {
                head(out, payload.len() + 1, 20);
                out.put_u8(*id);
                out.put_slice(payload);
            }
            Self::HashRequest(range) => encode_range(out, 21, range, &[]),
            Self::Hashes(range, hashes) => encode_range(out, 22, range, hashes),
            Self::HashReject(range) => encode_range(out, 23, range, &[]),
            Self::Unknown { id, payload } => blob(out, *id, payload),
        }
    }
}

fn encode_range(out: &mut BytesMut, id: u8, range: &HashRange, hashes: &[Sha256Hash]) {
    out.put_u32(1 + 48 + 32 * hashes.len() as u32);
    out.put_u8(id);
    out.put_slice(&range.pieces_root.0);
    out.put_u32(range.base_layer);
    out.put_u32(range.index);
    out.put_u32(range.length);
    out.put_u32(range.proof_layers);
    hashes.iter().for_each(|hash| out.put_slice(&hash.0));
}
