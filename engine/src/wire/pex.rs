//! `ut_pex`: addresses of peers that the sender is connected to, and was (BEP 11).

use alloc::vec::Vec;
use core::net::SocketAddr;

use super::error::DecodeError;
use crate::base::addr::{compact_v4, compact_v6, push_compact};
use crate::bencode::{Encoder, Limits, Mode, scan};

/// Addresses of one list that are read; the sender may name fifty (BEP 11), and some name more.
const MAX_READ: usize = 200;

/// What a peer exchange says of a peer, bit by bit.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct PexFlags(pub u8);

impl PexFlags {
    /// It prefers encrypted connections.
    pub const ENCRYPTION: u8 = 0x01;
    /// It only uploads.
    pub const SEED: u8 = 0x02;
    /// It speaks µTP.
    pub const UTP: u8 = 0x04;
    /// It helps to punch holes (BEP 55).
    pub const HOLEPUNCH: u8 = 0x08;
    /// The sender connected to it, so it can be reached.
    pub const REACHABLE: u8 = 0x10;

    /// Whether `flag` is set.
    pub const fn has(self, flag: u8) -> bool {
        self.0 & flag != 0
    }
}

/// One message of the peer exchange. A field of the wrong type counts as absent.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PexMessage {
    /// Peers the sender is connected to now and was not at the last message, IPv4 ones first.
    pub added: Vec<(SocketAddr, PexFlags)>,
    /// Peers the sender is not connected to any more.
    pub dropped: Vec<SocketAddr>,
}

impl PexMessage {
    /// Decodes the body of an extended message.
    ///
    /// # Errors
    /// [`DecodeError::Extended`] when it is no dictionary.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let document =
            scan(body, Limits::MESSAGE, Mode::Lenient).map_err(|_| DecodeError::Extended)?;
        let root = document.root();
        if !root.is_dict() {
            return Err(DecodeError::Extended);
        }
        let field = |key: &[u8]| root.get(key).and_then(|v| v.as_bytes()).unwrap_or_default();
        let flagged = |peers: Vec<SocketAddr>, flags: &[u8]| {
            let flag = |n: usize| PexFlags(flags.get(n).copied().unwrap_or(0));
            let peers = peers.into_iter().enumerate();
            peers.map(|(n, addr)| (addr, flag(n))).collect::<Vec<_>>()
        };
        let v4 = |key: &[u8]| compact_v4(field(key)).take(MAX_READ).collect::<Vec<_>>();
        let v6 = |key: &[u8]| compact_v6(field(key)).take(MAX_READ).collect::<Vec<_>>();
        let mut added = flagged(v4(b"added"), field(b"added.f"));
        added.extend(flagged(v6(b"added6"), field(b"added6.f")));
        let mut dropped = v4(b"dropped");
        dropped.extend(v6(b"dropped6"));
        Ok(Self { added, dropped })
    }

    /// The body of the extended message.
    pub fn encode(&self) -> Vec<u8> {
        let family = |ipv6: bool| {
            let (mut addrs, mut flags, mut gone) = (Vec::new(), Vec::new(), Vec::new());
            for (addr, flag) in self.added.iter().filter(|(addr, _)| addr.is_ipv6() == ipv6) {
                push_compact(&mut addrs, *addr);
                flags.push(flag.0);
            }
            let dropped = self.dropped.iter().filter(|addr| addr.is_ipv6() == ipv6);
            dropped.for_each(|addr| push_compact(&mut gone, *addr));
            (addrs, flags, gone)
        };
        let (added, flags, dropped) = family(false);
        let (added6, flags6, dropped6) = family(true);
        let mut out = Encoder::default();
        out.dict();
        out.bytes(b"added").bytes(&added).bytes(b"added.f").bytes(&flags);
        out.bytes(b"added6").bytes(&added6).bytes(b"added6.f").bytes(&flags6);
        out.bytes(b"dropped").bytes(&dropped).bytes(b"dropped6").bytes(&dropped6);
        out.end();
        out.finish()
    }

    /// Whether it names nobody.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.dropped.is_empty()
    }
}
