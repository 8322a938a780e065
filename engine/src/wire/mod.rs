//! The peer wire protocol as pure codecs: bytes to values and back (BEP 3, 5, 6, 9, 10, 11, 21, 52,
//! 54, 55).
//!
//! Nothing here knows the state of a connection; see [`crate::peer`] for what a message means.

mod allowed_fast;
mod error;
mod extended;
mod frame;
mod handshake;
mod holepunch;
mod message;
mod metadata;
mod pex;

#[cfg(test)]
mod tests;

pub use allowed_fast::allowed_fast_set;
pub use error::DecodeError;
pub use extended::{ExtendedHandshake, dont_have, parse_dont_have};
pub use frame::{FrameAssembler, MAX_MESSAGE_LENGTH};
pub use handshake::{HANDSHAKE_LENGTH, Handshake, PeerId, Reserved};
pub use holepunch::{HolepunchError, HolepunchKind, HolepunchMessage};
pub use message::{BlockRequest, HashRange, Message};
pub use metadata::{METADATA_PIECE, MetadataMessage};
pub use pex::{PexFlags, PexMessage};
