//! What a peer says of its pieces while nobody here knows how many there are: kept until the info
//! dictionary has come (BEP 9), then dealt with as if it were said now.

use alloc::vec::Vec;
use core::mem::size_of;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use super::{Misbehaviour, Peer};
use crate::metainfo::Geometry;
use crate::picker::PeerPieces;
use crate::wire::Message;

/// Pieces that a peer may announce one by one before there is metadata, beyond those that fit into the
/// bitfield that it sent.
const MAX_HAVES: usize = 16_384;

/// Pieces a peer may allow before there is metadata.
const MAX_ALLOWED: usize = 32;

/// What a peer has, as it said in one message.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum Declared {
    All,
    Bits(Vec<u8>),
}

/// What was said before there was metadata.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct BeforeMetadata {
    declared: Option<Declared>,
    haves: Vec<u32>,
    allowed: SmallVec<[u32; 4]>,
    suggested: Option<u32>,
}

impl BeforeMetadata {
    /// Keeps a message about pieces. Returns whether it was one.
    ///
    /// # Errors
    /// When the peer says more than any torrent could need.
    pub(super) fn keep(&mut self, message: &Message) -> Result<bool, Misbehaviour> {
        match message {
            Message::HaveAll => self.declared = Some(Declared::All),
            Message::HaveNone => {}
            // A copy, so that a small bitfield does not hold on to the buffer it came in.
            Message::Bitfield(bits) => {
                self.declared = Some(Declared::Bits(bits.to_vec()));
            }
            Message::Have(piece) => self.keep_have(*piece)?,
            Message::AllowedFast(piece) => {
                if self.allowed.len() < MAX_ALLOWED {
                    self.allowed.push(*piece);
                }
            }
            Message::Suggest(piece) => self.suggested = Some(*piece),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn keep_have(&mut self, piece: u32) -> Result<(), Misbehaviour> {
        match &mut self.declared {
            Some(Declared::All) => return Ok(()),
            Some(Declared::Bits(bits)) => {
                if let Some(byte) = bits.get_mut((piece / 8) as usize) {
                    *byte |= 0x80 >> (piece % 8);
                    return Ok(());
                }
            }
            None => {}
        }
        if self.haves.len() >= MAX_HAVES {
            return Err(Misbehaviour::DeclaresTooOften);
        }
        self.haves.push(piece);
        Ok(())
    }

    /// Bytes that are kept.
    pub(super) fn bytes(&self) -> u64 {
        let bits = match &self.declared {
            Some(Declared::Bits(bits)) => bits.len(),
            _ => 0,
        };
        (bits + self.haves.len() * size_of::<u32>()) as u64
    }
}

impl Peer {
    /// The number of pieces is known now: what the peer said before holds.
    ///
    /// # Errors
    /// When it named pieces that do not exist.
    pub fn learn_geometry(&mut self, geometry: Geometry) -> Result<(), Misbehaviour> {
        let said = core::mem::take(&mut self.before_metadata);
        self.pieces = PeerPieces::Some(crate::base::bits::Bits::new(geometry.pieces()));
        self.piece_count = 0;
        let declared = said.declared.map(|declared| match declared {
            Declared::All => Message::HaveAll,
            Declared::Bits(bits) => Message::Bitfield(bits.into()),
        });
        let haves = said.haves.into_iter().map(Message::Have);
        let allowed = said.allowed.into_iter().map(Message::AllowedFast);
        let suggested = said.suggested.map(Message::Suggest);
        for message in declared.into_iter().chain(haves).chain(allowed).chain(suggested) {
            self.take_about_pieces(&message, geometry.pieces())?;
        }
        if self.piece_count == geometry.pieces() && self.piece_count > 0 {
            self.pieces = PeerPieces::All;
        }
        Ok(())
    }
}
