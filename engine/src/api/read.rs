//! Reading what has not come yet: who needs which bytes, and by when.

use core::num::NonZeroU64;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Names a reader of a torrent. The embedder chooses the number; the highest bit is ignored, since the engine
/// numbers its own readers with it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct ReaderId(pub u32);

/// A range of bytes of a file: not empty, and within the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileRange {
    /// Index into the layout's files.
    pub file: u32,
    /// First byte.
    pub offset: u64,
    /// How many.
    pub length: u64,
}

/// What a reader needs next, and when. It is named again whenever the reader has moved on, or jumps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReadAhead {
    /// The bytes.
    pub range: FileRange,
    /// How soon the first of them is needed.
    pub within: Duration,
    /// How fast they are read from there on, in bytes a second; `None` where all are needed at once.
    pub rate: Option<NonZeroU64>,
}
