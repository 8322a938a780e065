//! Bencoding (BEP 3): a scanner that never recurses and never allocates what input merely declares,
//! a cursor over what it found, and writing.
//!
//! Bytes from outside go through [`scan()`] and nothing else. `serde_bencode`, for typed values with the
//! feature `std`, has no nesting limit and keeps no spans, so it sees only data we made ourselves or data that
//! passed the scanner.

mod cursor;
mod scan;
mod write;

#[cfg(test)]
mod tests;

pub use cursor::Value;
pub use scan::{Document, Limits, Mode, ScanError, scan};
pub use write::Encoder;
#[cfg(feature = "std")]
pub use write::{from_scanned, to_bytes};
