//! Why bytes are no message.

use core::fmt;

/// Why bytes from a peer cannot be decoded. The peer is always at fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DecodeError {
    /// The connection does not begin with the `BitTorrent` protocol string (BEP 3).
    NotBitTorrent,
    /// A length prefix beyond [`super::MAX_MESSAGE_LENGTH`].
    TooLong {
        /// The length claimed.
        length: u32,
    },
    /// A message whose length does not fit its type.
    WrongLength {
        /// The message id.
        id: u8,
    },
    /// An extended message that is not what BEP 10 says.
    Extended,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotBitTorrent => f.write_str("not the BitTorrent protocol"),
            Self::TooLong { length } => write!(f, "a message of {length} bytes is too long"),
            Self::WrongLength { id } => write!(f, "message {id} has the wrong length"),
            Self::Extended => f.write_str("malformed extended message"),
        }
    }
}

impl core::error::Error for DecodeError {}
