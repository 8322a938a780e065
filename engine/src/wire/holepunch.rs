//! `ut_holepunch`: two peers that nobody can connect to are told of each other by a third one that both are
//! connected to, and call each other at the same moment (BEP 55).

use alloc::vec::Vec;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::error::DecodeError;
use crate::base::fault::Fault;

/// What a message about a hole is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HolepunchKind {
    /// The sender asks to be introduced to the peer at the address.
    Rendezvous,
    /// The receiver is to call the address over µTP at once.
    Connect,
    /// The sender does not introduce anybody to the address.
    Error,
    /// Something that is not known here.
    Unknown(u8),
}

impl HolepunchKind {
    const fn of(byte: u8) -> Self {
        match byte {
            0 => Self::Rendezvous,
            1 => Self::Connect,
            2 => Self::Error,
            other => Self::Unknown(other),
        }
    }

    const fn byte(self) -> u8 {
        match self {
            Self::Rendezvous => 0,
            Self::Connect => 1,
            Self::Error => 2,
            Self::Unknown(other) => other,
        }
    }
}

/// Why nobody is introduced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HolepunchError {
    /// Nobody can be at the address.
    #[error("nobody can be at that address")]
    NoSuchPeer = 1,
    /// The one who was asked is not connected to it.
    #[error("not connected to that address")]
    NotConnected = 2,
    /// Who is there does not know the extension.
    #[error("the peer at that address cannot be introduced")]
    NoSupport = 3,
    /// It is the address of the one who was asked, or of the one who asks.
    #[error("that address is one's own")]
    NoSelf = 4,
}

impl HolepunchError {
    /// Whose fault it is.
    #[must_use]
    pub const fn fault(&self) -> Fault {
        match self {
            Self::NoSuchPeer | Self::NoSelf => Fault::Remote,
            Self::NotConnected | Self::NoSupport => Fault::Nobody,
        }
    }
}

/// A message about a hole.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HolepunchMessage {
    /// What it is for.
    pub kind: HolepunchKind,
    /// Of whom it speaks.
    pub addr: SocketAddr,
    /// The number of an error; nothing in other messages, whatever stands there.
    pub error: u32,
}

impl HolepunchMessage {
    /// A message that is no error.
    pub const fn new(kind: HolepunchKind, addr: SocketAddr) -> Self {
        Self { kind, addr, error: 0 }
    }

    /// Nobody is introduced to `addr`.
    pub const fn refusal(addr: SocketAddr, why: HolepunchError) -> Self {
        Self { kind: HolepunchKind::Error, addr, error: why as u32 }
    }

    /// Decodes the body of an extended message. Some clients leave the number away where there is no error.
    ///
    /// # Errors
    /// [`DecodeError::Extended`] when it has not the length that belongs to its kind of address.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let [kind, family, rest @ ..] = body else { return Err(DecodeError::Extended) };
        let (ip, rest) = match family {
            0 => take::<4>(rest).map(|(octets, rest)| (IpAddr::V4(Ipv4Addr::from(octets)), rest)),
            1 => take::<16>(rest).map(|(octets, rest)| (IpAddr::V6(Ipv6Addr::from(octets)), rest)),
            _ => None,
        }
        .ok_or(DecodeError::Extended)?;
        let (port, rest) = take(rest).ok_or(DecodeError::Extended)?;
        let kind = HolepunchKind::of(*kind);
        let error = match take(rest) {
            Some((number, _)) => u32::from_be_bytes(number),
            None if rest.is_empty() && kind != HolepunchKind::Error => 0,
            None => return Err(DecodeError::Extended),
        };
        Ok(Self { kind, addr: SocketAddr::new(ip, u16::from_be_bytes(port)), error })
    }

    /// The body of the extended message.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(24);
        out.push(self.kind.byte());
        out.push(u8::from(self.addr.is_ipv6()));
        match self.addr.ip() {
            IpAddr::V4(ip) => out.extend(ip.octets()),
            IpAddr::V6(ip) => out.extend(ip.octets()),
        }
        out.extend(self.addr.port().to_be_bytes());
        out.extend(self.error.to_be_bytes());
        out
    }
}

/// The first bytes, and what is behind them.
fn take<const N: usize>(bytes: &[u8]) -> Option<([u8; N], &[u8])> {
    bytes.split_first_chunk().map(|(first, rest)| (*first, rest))
}
