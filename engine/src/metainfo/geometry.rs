//! Pieces and blocks as numbers: lengths, counts, offsets.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The size in which data is requested: 16 KiB, as every client does (BEP 3).
pub const BLOCK_LENGTH: u32 = 16 * 1024;

/// The largest piece length accepted: 32,767 blocks, just under 512 MiB, the field's own bound.
pub const MAX_PIECE_LENGTH: u32 = 32_767 * BLOCK_LENGTH;

/// How content is cut into pieces and pieces into blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Geometry {
    length: u64,
    piece_length: u32,
    pieces: u32,
}

impl Serialize for Geometry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.length, self.piece_length).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Geometry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (length, piece_length) = <(u64, u32)>::deserialize(deserializer)?;
        Self::new(length, piece_length).ok_or_else(|| D::Error::custom("pieces of no such length"))
    }
}

impl Geometry {
    /// The largest number of pieces: what libtorrent counts to as well.
    pub const MAX_PIECES: u64 = 0x7fff_ffff / 20;

    /// No content.
    pub const EMPTY: Self = Self { length: 0, piece_length: BLOCK_LENGTH, pieces: 0 };

    /// Cuts `length` bytes into pieces of `piece_length`. `None` when `piece_length` is zero or
    /// there would be more than [`Self::MAX_PIECES`].
    pub fn new(length: u64, piece_length: u32) -> Option<Self> {
        if piece_length == 0 || piece_length > MAX_PIECE_LENGTH {
            return None;
        }
        let pieces = length.div_ceil(u64::from(piece_length));
        (pieces <= Self::MAX_PIECES).then_some(Self { length, piece_length, pieces: pieces as u32 })
    }

    /// Bytes of content.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// Bytes of every piece but the last.
    pub const fn piece_length(&self) -> u32 {
        self.piece_length
    }

    /// Bytes of every block but the last of a piece: 16 KiB, or a whole piece that is shorter.
    pub const fn block_length(&self) -> u32 {
        if self.piece_length < BLOCK_LENGTH { self.piece_length } else { BLOCK_LENGTH }
    }

    /// Number of pieces; zero for empty content.
    pub const fn pieces(&self) -> u32 {
        self.pieces
    }

    /// Bytes of piece `piece`: zero for a piece that does not exist, less for the last.
    pub fn piece_size(&self, piece: u32) -> u32 {
        let start = self.piece_offset(piece);
        self.length.saturating_sub(start).min(u64::from(self.piece_length)) as u32
    }

    /// Where piece `piece` begins in the content.
    pub fn piece_offset(&self, piece: u32) -> u64 {
        u64::from(piece) * u64::from(self.piece_length)
    }

    /// Number of blocks of `piece`.
    pub fn blocks_in(&self, piece: u32) -> u32 {
        self.piece_size(piece).div_ceil(BLOCK_LENGTH)
    }

    /// Bytes of block `block` of `piece`.
    pub fn block_size(&self, piece: u32, block: u32) -> u32 {
        let start = u64::from(block) * u64::from(BLOCK_LENGTH);
        u64::from(self.piece_size(piece)).saturating_sub(start).min(BLOCK_LENGTH.into()) as u32
    }

    /// True when `length` bytes at `begin` lie inside `piece`.
    pub fn contains(&self, piece: u32, begin: u32, length: u32) -> bool {
        piece < self.pieces
            && length > 0
            && u64::from(begin) + u64::from(length) <= u64::from(self.piece_size(piece))
    }

    /// The pieces that hold any of the bytes from `offset` on, `length` of them.
    pub fn pieces_of(&self, offset: u64, length: u64) -> core::ops::Range<u32> {
        if length == 0 {
            return 0..0;
        }
        let first = offset / u64::from(self.piece_length);
        let last = (offset + length - 1) / u64::from(self.piece_length);
        first as u32..last as u32 + 1
    }
}
