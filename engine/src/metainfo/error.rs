//! Why a `.torrent` is refused.

use core::fmt;

use crate::bencode::ScanError;

/// Why a `.torrent` is refused. Every variant names the rule that was broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MetainfoError {
    /// Not bencode at all.
    Bencode(ScanError),
    /// The document is no dictionary, or `info` is missing or no dictionary (BEP 3).
    NoInfo,
    /// `piece length` is missing, out of range or, for v2, no power of two (BEP 3, 52).
    PieceLength,
    /// `name` is missing, of the wrong type, or nothing usable is left of it.
    Name,
    /// `length` or `files` is missing, of the wrong type, negative, or the sum is too large.
    Length,
    /// `files` or `file tree` is malformed.
    Files,
    /// A path has more components than `MAX_PATH_DEPTH` (100).
    PathTooDeep,
    /// All paths together are out of proportion to the torrent (`PATH_BYTES_PER_BYTE`).
    PathsTooLong,
    /// There are more files than `MAX_FILES` (a million).
    TooManyFiles,
    /// `pieces` is missing or of the wrong type.
    Pieces,
    /// The number of piece hashes does not match the length.
    PieceCount,
    /// More pieces than this implementation counts.
    TooManyPieces,
    /// `meta version` is unknown, or v2 keys stand without it (BEP 52).
    MetaVersion,
    /// `meta version` 2 without a `file tree` (BEP 52).
    NoFileTree,
    /// A v2 file has no valid `pieces root` (BEP 52).
    PiecesRoot,
    /// A v2 file claims to be padding, which v2 has none of (BEP 52).
    PadInFileTree,
    /// `piece layers` does not hash to the roots it stands under (BEP 52).
    PieceLayer,
    /// The v1 and v2 halves of a hybrid describe different files (BEP 52).
    HybridMismatch,
    /// A `file tree` whose keys are not sorted or not unique (BEP 52).
    UnsortedTree,
    /// The dictionary has the hash that was asked for and is of the other version: a v1 hash must
    /// lead to a dictionary with a v1 half, a v2 hash to one with a v2 half.
    Identity,
}

impl fmt::Display for MetainfoError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Bencode(error) => return write!(f, "not valid bencode: {error}"),
            Self::NoInfo => "there is no 'info' dictionary",
            Self::PieceLength => "'piece length' is missing or not a usable size",
            Self::Name => "'name' is missing or unusable",
            Self::Length => "the length is missing, negative or too large",
            Self::Files => "the list of files is malformed",
            Self::PathTooDeep => "a path has too many folders",
            Self::PathsTooLong => "the paths of all files are too long together",
            Self::TooManyFiles => "there are too many files",
            Self::Pieces => "'pieces' is missing or malformed",
            Self::PieceCount => "the number of piece hashes does not match the length",
            Self::TooManyPieces => "there are too many pieces",
            Self::MetaVersion => "'meta version' is missing or newer than this program",
            Self::NoFileTree => "a v2 torrent without 'file tree'",
            Self::PiecesRoot => "a file has no valid 'pieces root'",
            Self::PadInFileTree => "the v2 file tree contains padding",
            Self::PieceLayer => "a piece layer does not match its 'pieces root'",
            Self::HybridMismatch => "the v1 and v2 halves describe different files",
            Self::Identity => "it is not of the version that its info-hash stands for",
            Self::UnsortedTree => "the v2 info dictionary is not in canonical order",
        };
        f.write_str(text)
    }
}

impl core::error::Error for MetainfoError {}

impl From<ScanError> for MetainfoError {
    fn from(error: ScanError) -> Self {
        Self::Bencode(error)
    }
}
