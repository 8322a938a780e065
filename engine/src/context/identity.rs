//! Who we are to others: peer id, announce key, ports, and our address as others see it.

use alloc::collections::BTreeMap;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use serde::{Deserialize, Serialize};

use crate::base::ids::UdpSocketId;
use crate::base::rng::Rng;
use crate::wire::PeerId;

/// Voices on our address that are remembered.
const MAX_VOICES: usize = 32;
/// Voices that have to agree before more than a guess is built on them.
const MIN_VOICES: usize = 3;

/// Who we are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// The peer id of this run.
    pub peer_id: PeerId,
    /// The announce key of this run (BEP 7).
    pub key: u32,
    /// The port that peers can reach.
    pub port: Option<u16>,
    /// UDP socket for IPv4.
    pub udp4: Option<UdpSocketId>,
    /// UDP socket for IPv6.
    pub udp6: Option<UdpSocketId>,
    /// Who says which address we have; one voice for each source.
    voices: BTreeMap<IpAddr, IpAddr>,
}

impl Identity {
    /// A new identity whose peer id begins with `prefix`.
    pub fn new(prefix: [u8; 8], rng: &mut Rng) -> Self {
        let mut id = [0; 20];
        id[..8].copy_from_slice(&prefix);
        for byte in &mut id[8..] {
            const LETTERS: &[u8; 62] =
                b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
            *byte = LETTERS[rng.index(LETTERS.len())];
        }
        Self {
            peer_id: PeerId(id),
            key: rng.next_u32(),
            port: None,
            udp4: None,
            udp6: None,
            voices: BTreeMap::new(),
        }
    }

    /// `from` says that our address is `ip` (BEP 10 `yourip`, BEP 24).
    pub fn hear(&mut self, from: IpAddr, ip: IpAddr) {
        if self.voices.len() >= MAX_VOICES && !self.voices.contains_key(&from) {
            self.voices.pop_first();
        }
        self.voices.insert(from, ip.to_canonical());
    }

    /// Our address, where enough voices agree on it.
    pub fn settled(&self, ipv6: bool) -> Option<IpAddr> {
        let family = || self.voices.values().filter(|ip| ip.is_ipv6() == ipv6);
        let addr = self.external(ipv6).ip();
        let agree = family().filter(|ip| **ip == addr).count();
        (agree >= MIN_VOICES && 2 * agree > family().count()).then_some(addr)
    }

    /// Our address by majority, with the port that peers can reach.
    pub fn external(&self, ipv6: bool) -> SocketAddr {
        let mut votes: BTreeMap<IpAddr, u32> = BTreeMap::new();
        for ip in self.voices.values().filter(|ip| ip.is_ipv6() == ipv6) {
            *votes.entry(*ip).or_default() += 1;
        }
        let winner = votes.into_iter().max_by_key(|(_, count)| *count).map(|(ip, _)| ip);
        let ip = winner.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        SocketAddr::new(ip, self.port.unwrap_or(0))
    }
}
