//! Why a `.torrent` is refused.

use crate::base::fault::Fault;
use crate::bencode::ScanError;

/// Why a `.torrent` is refused. Every variant names the rule that was broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetainfoError {
    /// Not bencode at all.
    #[error("not valid bencode: {0}")]
    Bencode(#[from] ScanError),
    /// The document is no dictionary, or `info` is missing or no dictionary (BEP 3).
    #[error("there is no 'info' dictionary")]
    NoInfo,
    /// `piece length` is missing, out of range or, for v2, no power of two (BEP 3, 52).
    #[error("'piece length' is missing or not a usable size")]
    PieceLength,
    /// `name` is missing, of the wrong type, or nothing usable is left of it.
    #[error("'name' is missing or unusable")]
    Name,
    /// `length` or `files` is missing, of the wrong type, negative, or the sum is too large.
    #[error("the length is missing, negative or too large")]
    Length,
    /// `files` or `file tree` is malformed.
    #[error("the list of files is malformed")]
    Files,
    /// A path has more components than `MAX_PATH_DEPTH` (100).
    #[error("a path has too many folders")]
    PathTooDeep,
    /// All paths together are out of proportion to the torrent (`PATH_BYTES_PER_BYTE`).
    #[error("the paths of all files are too long together")]
    PathsTooLong,
    /// There are more files than `MAX_FILES` (a million).
    #[error("there are too many files")]
    TooManyFiles,
    /// `pieces` is missing or of the wrong type.
    #[error("'pieces' is missing or malformed")]
    Pieces,
    /// The number of piece hashes does not match the length.
    #[error("the number of piece hashes does not match the length")]
    PieceCount,
    /// More pieces than this implementation counts.
    #[error("there are too many pieces")]
    TooManyPieces,
    /// `meta version` is unknown, or v2 keys stand without it (BEP 52).
    #[error("'meta version' is missing or newer than this program")]
    MetaVersion,
    /// `meta version` 2 without a `file tree` (BEP 52).
    #[error("a v2 torrent without 'file tree'")]
    NoFileTree,
    /// A v2 file has no valid `pieces root` (BEP 52).
    #[error("a file has no valid 'pieces root'")]
    PiecesRoot,
    /// A v2 file claims to be padding, which v2 has none of (BEP 52).
    #[error("the v2 file tree contains padding")]
    PadInFileTree,
    /// `piece layers` does not hash to the roots it stands under (BEP 52).
    #[error("a piece layer does not match its 'pieces root'")]
    PieceLayer,
    /// The v1 and v2 halves of a hybrid describe different files (BEP 52).
    #[error("the v1 and v2 halves describe different files")]
    HybridMismatch,
    /// A `file tree` whose keys are not sorted or not unique (BEP 52).
    #[error("the v2 info dictionary is not in canonical order")]
    UnsortedTree,
    /// The dictionary has the hash that was asked for and is of the other version: a v1 hash must
    /// lead to a dictionary with a v1 half, a v2 hash to one with a v2 half.
    #[error("it is not of the version that its info-hash stands for")]
    Identity,
}

impl MetainfoError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Remote
    }
}
