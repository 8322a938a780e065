//! What can go wrong in a handshake, and whose fault it is.

use core::fmt;

/// Why a handshake cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MseError {
    /// The other side's public key is 0, 1, one less than the prime, or not below it: the secret would be known to
    /// everybody.
    WeakKey,
    /// What ends the padding did not come within the bytes that padding may have. It is what a replayed
    /// conversation ends with, and whoever speaks another protocol.
    NoSync,
    /// None of our torrents has this hash. Nobody's fault: torrents come and go.
    UnknownTorrent,
    /// The verification constant is not zero: the secrets differ.
    Unverified,
    /// Padding inside the encrypted part is said to be longer than 512 bytes.
    PadTooLong(u16),
    /// The other side offers nothing that we accept.
    NothingInCommon {
        /// What it offers, as it is in the message.
        offered: u32,
    },
    /// The other side has chosen what was not offered, or several things at once.
    NotOffered {
        /// What it chose, as it is in the message.
        selected: u32,
    },
    /// A method was called that does not belong to this stage, or with padding above 512 bytes, a payload above
    /// 65,535, no method to offer, or a private key that makes a weak public one.
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

impl fmt::Display for MseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WeakKey => f.write_str("a public key that makes no secret"),
            Self::NoSync => f.write_str("no end of the padding"),
            Self::UnknownTorrent => f.write_str("no such torrent"),
            Self::Unverified => f.write_str("the verification constant does not fit"),
            Self::PadTooLong(length) => write!(f, "padding of {length} bytes"),
            Self::NothingInCommon { offered } => {
                write!(f, "no common method of encryption ({offered:#x} is offered)")
            }
            Self::NotOffered { selected } => {
                write!(f, "a method of encryption that was not offered ({selected:#x})")
            }
            Self::Misused => f.write_str("the handshake is used out of order"),
        }
    }
}

impl core::error::Error for MseError {}
