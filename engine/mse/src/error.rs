//! What can go wrong in a handshake, and whose fault it is.

/// Why a handshake cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MseError {
    /// The other side's public key is 0, 1, one less than the prime, or not below it: the secret would be known to
    /// everybody.
    #[error("a public key that makes no secret")]
    WeakKey,
    /// What ends the padding did not come within the bytes that padding may have. It is what a replayed
    /// conversation ends with, and whoever speaks another protocol.
    #[error("no end of the padding")]
    NoSync,
    /// None of our torrents has this hash. Nobody's fault: torrents come and go.
    #[error("no such torrent")]
    UnknownTorrent,
    /// The verification constant is not zero: the secrets differ.
    #[error("the verification constant does not fit")]
    Unverified,
    /// Padding inside the encrypted part is said to be longer than 512 bytes.
    #[error("padding of {0} bytes")]
    PadTooLong(u16),
    /// The other side offers nothing that we accept.
    #[error("no common method of encryption ({offered:#x} is offered)")]
    NothingInCommon {
        /// What it offers, as it is in the message.
        offered: u32,
    },
    /// The other side has chosen what was not offered, or several things at once.
    #[error("a method of encryption that was not offered ({selected:#x})")]
    NotOffered {
        /// What it chose, as it is in the message.
        selected: u32,
    },
    /// A method was called that does not belong to this stage, or with padding above 512 bytes, a payload above
    /// 65,535, no method to offer, or a private key that makes a weak public one.
    #[error("the handshake is used out of order")]
    Misused,
}

/// Who is to be blamed for an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The other side broke the protocol, or speaks another one.
    Peer,
    /// Both sides keep to the protocol and do not suit each other.
    Nobody,
    /// The program that uses this crate.
    Caller,
}

impl MseError {
    /// Whose fault it is.
    pub const fn fault(&self) -> Fault {
        match self {
            Self::UnknownTorrent | Self::NothingInCommon { .. } => Fault::Nobody,
            Self::Misused => Fault::Caller,
            Self::WeakKey
            | Self::NoSync
            | Self::Unverified
            | Self::PadTooLong(_)
            | Self::NotOffered { .. } => Fault::Peer,
        }
    }
}
