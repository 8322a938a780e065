//! Who we are to others: a peer id and an announce key for each torrent, ports, and our address as
//! others see it.

#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, VecDeque};
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use serde::{Deserialize, Serialize};

use crate::base::addr::{Scope, scope};
use crate::base::hash::Sha1Hash;
use crate::base::ids::UdpSocketId;
use crate::base::prefix::Prefix;
use crate::base::rng::Seed;
use crate::wire::PeerId;

/// Voters on our address that are remembered, for both address families together.
const MAX_VOTES: usize = 64;
/// Voters that have to agree, and to be more than half of all, before an address is believed.
const MIN_AGREEING: usize = 8;

/// Who we are in one torrent. Whoever meets us in two torrents cannot tell from it that we are one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Persona {
    /// The peer id (BEP 3).
    pub peer_id: PeerId,
    /// The announce key (BEP 7).
    pub key: u32,
}

impl Persona {
    /// Who we are in the torrent of `info_hash`: the same for the whole run, also when the torrent
    /// was on standby or removed meanwhile, since trackers take another id for another peer. Without a prefix
    /// nothing tells which client it is.
    pub fn new(prefix: Option<[u8; 8]>, seed: &Seed, info_hash: Sha1Hash) -> Self {
        const LETTERS: &[u8; 62] =
            b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        let mut rng = seed.stream_of("persona", &info_hash.0);
        let mut id = [0; 20];
        let prefix = prefix.as_ref().map_or(&[][..], |prefix| prefix);
        let (head, tail) = id.split_at_mut(prefix.len());
        head.copy_from_slice(prefix);
        for byte in tail {
            *byte = LETTERS[rng.index(LETTERS.len())];
        }
        Self { peer_id: PeerId(id), key: rng.next_u32() }
    }
}

/// Who we are.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Identity {
    /// The port that peers can reach.
    pub port: Option<u16>,
    /// UDP socket for IPv4.
    pub udp4: Option<UdpSocketId>,
    /// UDP socket for IPv6.
    pub udp6: Option<UdpSocketId>,
    /// Who says which address we have, the latest voter last.
    votes: VecDeque<(Prefix, IpAddr)>,
}

impl Identity {
    /// `from` says that our address is `ip` (BEP 10 `yourip`, BEP 24, BEP 42).
    ///
    /// A block of addresses that one owner may have is one voter, and the last to vote replaces the
    /// first, so that nobody keeps others from voting. Somebody on the internet knows nothing of our
    /// address in a local network, and nobody there knows that of the other family.
    pub fn vote(&mut self, from: IpAddr, ip: IpAddr) {
        let (from, ip) = (from.to_canonical(), ip.to_canonical());
        let strange = scope(from) == Scope::Public && scope(ip) != Scope::Public;
        if strange || ip.is_unspecified() || ip.is_multicast() {
            return;
        }
        let voter = Prefix::owner_of(from);
        self.votes.retain(|(other, said)| *other != voter || said.is_ipv6() != ip.is_ipv6());
        if self.votes.len() >= MAX_VOTES {
            self.votes.pop_front();
        }
        self.votes.push_back((voter, ip));
    }

    /// The socket for datagrams of a family, if there is one.
    pub const fn udp(&self, ipv6: bool) -> Option<UdpSocketId> {
        if ipv6 { self.udp6 } else { self.udp4 }
    }

    /// Our address, where enough voters agree on it.
    pub fn settled(&self, ipv6: bool) -> Option<IpAddr> {
        let (winner, agreeing, voters) = self.count(ipv6)?;
        (agreeing >= MIN_AGREEING && 2 * agreeing > voters).then_some(winner)
    }

    /// The address that most voters name, however few they are, with the port that peers can reach.
    /// A guess, on which nothing may be built that a wrong one spoils.
    pub fn external(&self, ipv6: bool) -> SocketAddr {
        let winner = self.count(ipv6).map(|(winner, ..)| winner);
        let ip = winner.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        SocketAddr::new(ip, self.port.unwrap_or(0))
    }

    /// The address that most voters name, how many they are, and how many voted.
    fn count(&self, ipv6: bool) -> Option<(IpAddr, usize, usize)> {
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for (_, ip) in self.votes.iter().filter(|(_, ip)| ip.is_ipv6() == ipv6) {
            *counts.entry(*ip).or_default() += 1;
        }
        let voters = counts.values().sum();
        let (winner, agreeing) = counts.into_iter().max_by_key(|(_, count)| *count)?;
        Some((winner, agreeing, voters))
    }
}
