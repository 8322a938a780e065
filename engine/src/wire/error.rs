//! Why bytes are no message.

use crate::base::fault::Fault;

/// Why bytes from a peer cannot be decoded. The peer is always at fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The connection does not begin with the `BitTorrent` protocol string (BEP 3).
    #[error("not the BitTorrent protocol")]
    NotBitTorrent,
    /// A length prefix beyond [`super::MAX_MESSAGE_LENGTH`].
    #[error("a message of {length} bytes is too long")]
    TooLong {
        /// The length claimed.
        length: u32,
    },
    /// A message whose length does not fit its type.
    #[error("message {id} has the wrong length")]
    WrongLength {
        /// The message id.
        id: u8,
    },
    /// An extended message that is not what BEP 10 says.
    #[error("malformed extended message")]
    Extended,
}

impl DecodeError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        Fault::Remote
    }
}
