//! What a peer can do wrong. The peer is closed for each of these; how much blame it carries is
//! for the torrent to decide.

use crate::base::fault::Fault;
use crate::wire::DecodeError;

/// Why a peer is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// Bytes that are no message.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A message that breaks a rule.
    #[error("broke a rule: {0:?}")]
    Misbehaved(Misbehaviour),
}

impl PeerError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Remote
    }
}

/// A broken rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Misbehaviour {
    /// Declares again and again which pieces it has (BEP 3, 6).
    DeclaresTooOften,
    /// A bitfield of the wrong length or with spare bits set (BEP 3).
    Bitfield,
    /// A piece that does not exist (BEP 3).
    PieceIndex,
    /// A request for bytes that do not exist, or for too many (BEP 3).
    RequestRange,
    /// Far more requests than our `reqq` allows (BEP 10).
    RequestFlood,
    /// Keeps requesting while choked (BEP 3).
    RequestWhileChoked,
    /// A block that does not exist, or of the wrong size (BEP 3).
    BlockRange,
    /// Keeps sending blocks that nobody asked for (BEP 3).
    UnaskedBlocks,
    /// Keeps rejecting requests that nobody made (BEP 6).
    UnaskedRejects,
    /// A piece of metadata that nobody asked for, or of the wrong length (BEP 9).
    Metadata,
    /// Names peers too often (BEP 11).
    PexFlood,
    /// A fast-extension message without the extension (BEP 6).
    FastNotAgreed,
    /// An extended message without the extension (BEP 10).
    ExtendedNotAgreed,
    /// Keeps asking for pieces of metadata that do not exist (BEP 9).
    MetadataRange,
    /// Does not read what it asked for.
    NotReading,
}

impl From<Misbehaviour> for PeerError {
    fn from(rule: Misbehaviour) -> Self {
        Self::Misbehaved(rule)
    }
}
