//! Peers that announced themselves here: by torrent, bounded, and forgotten after a while.
//!
//! Announcing costs a stranger two packets for each port and torrent that it likes. So what is full is shared by
//! who may stand behind an address (a /24, a /48): whoever has most of it forgets its oldest.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::bloom::Bloom;
use super::node_id::NodeId;
use crate::base::crowd::{Counts, Crowd, Ranking};
use crate::base::prefix::Prefix;
use crate::base::rng::Rng;
use crate::base::time::Instant;

/// Time after which a peer is forgotten unless it announces itself again.
pub const PEER_LIFE: Duration = Duration::from_secs(45 * 60);
/// Torrents.
pub const MAX_TORRENTS: usize = 2000;
/// Peers of one torrent.
pub const MAX_PEERS: usize = 500;
/// Ports of one host in one torrent, but for this machine.
pub const MAX_PORTS: usize = 8;
/// Peers of all torrents.
pub const MAX_IN_ALL: usize = 50_000;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Stored {
    announced: Instant,
    seed: bool,
}

/// The peers of one torrent.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Swarm {
    peers: BTreeMap<SocketAddr, Stored>,
    /// In whose share of the torrents it counts: who announced it first, of those who are here.
    holder: Prefix,
}

/// Peers by torrent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PeerStore {
    torrents: BTreeMap<NodeId, Swarm>,
    /// All peers by who may stand behind them, the oldest first.
    by_owner: BTreeSet<(Prefix, Instant, NodeId, SocketAddr)>,
    /// How many of them each has.
    peers: Ranking<Prefix>,
    /// How many torrents each holds.
    held: Ranking<Prefix>,
}

impl PeerStore {
    /// A peer announces itself. What is full makes room: a host with too many ports, a torrent, all torrents, all
    /// peers.
    pub fn announce(&mut self, torrent: NodeId, peer: SocketAddr, seed: bool, now: Instant) {
        let owner = Prefix::owner_of(peer.ip());
        let is_new = match self.torrents.get(&torrent) {
            Some(swarm) => !swarm.peers.contains_key(&peer),
            None => true,
        };
        if is_new {
            self.make_room_in(torrent, peer.ip());
            if self.by_owner.len() >= MAX_IN_ALL {
                self.forget_oldest_of(self.peers.who_gives_way_to(owner));
            }
            if self.torrents.len() >= MAX_TORRENTS && !self.torrents.contains_key(&torrent) {
                self.forget_torrent_of(self.held.who_gives_way_to(owner));
            }
            self.peers.add(owner);
        }
        let held = &mut self.held;
        let swarm = self.torrents.entry(torrent).or_insert_with(|| {
            held.add(owner);
            Swarm { peers: BTreeMap::new(), holder: owner }
        });
        if let Some(old) = swarm.peers.insert(peer, Stored { announced: now, seed }) {
            self.by_owner.remove(&(owner, old.announced, torrent, peer));
        }
        self.by_owner.insert((owner, now, torrent, peer));
    }

    /// Makes room for another peer at `ip` in a torrent: the oldest of its host goes where that has its ports, or
    /// the oldest of whoever has most where the torrent is full.
    fn make_room_in(&mut self, torrent: NodeId, ip: IpAddr) {
        let Some(swarm) = self.torrents.get(&torrent) else { return };
        let (host, owner) = (Prefix::of(ip), Prefix::owner_of(ip));
        let oldest = |such: &dyn Fn(IpAddr) -> bool| {
            let such = swarm.peers.iter().filter(|(addr, _)| such(addr.ip()));
            such.min_by_key(|(addr, stored)| (stored.announced, **addr)).map(|(addr, _)| *addr)
        };
        let (first, last) = host.bounds();
        let ports = swarm.peers.range(first..=last).count();
        let gone = if ports >= MAX_PORTS && !host.is_loopback() {
            oldest(&|ip| Prefix::of(ip) == host)
        } else if swarm.peers.len() >= MAX_PEERS {
            let owners = swarm.peers.keys().map(|addr| Prefix::owner_of(addr.ip()));
            let owners: Counts<Prefix> = owners.collect();
            let who = owners.fullest(owners.of(owner)).unwrap_or(owner);
            oldest(&|ip| Prefix::owner_of(ip) == who)
        } else {
            None
        };
        if let Some(addr) = gone {
            self.forget(torrent, addr);
        }
    }

    /// Forgets the peer of this owner that was silent for longest.
    fn forget_oldest_of(&mut self, owner: Prefix) {
        let nobody = SocketAddr::new(IpAddr::from([0; 4]), 0);
        let first = (owner, Instant::ZERO, NodeId([0; 20]), nobody);
        if let Some((_, _, torrent, addr)) = self.by_owner.range(first..).next().copied() {
            self.forget(torrent, addr);
        }
    }

    /// Forgets the smallest torrent that this owner holds.
    fn forget_torrent_of(&mut self, owner: Prefix) {
        let held = self.torrents.iter().filter(|(_, swarm)| swarm.holder == owner);
        let smallest = held.min_by_key(|(id, swarm)| (swarm.peers.len(), **id));
        let Some((id, swarm)) = smallest else { return };
        let (id, peers): (_, Vec<SocketAddr>) = (*id, swarm.peers.keys().copied().collect());
        peers.into_iter().for_each(|addr| self.forget(id, addr));
    }

    fn forget(&mut self, torrent: NodeId, addr: SocketAddr) {
        let owner = Prefix::owner_of(addr.ip());
        let Some(swarm) = self.torrents.get_mut(&torrent) else { return };
        let Some(stored) = swarm.peers.remove(&addr) else { return };
        self.by_owner.remove(&(owner, stored.announced, torrent, addr));
        self.peers.remove(owner);
        let of_owner = |addr: &SocketAddr| Prefix::owner_of(addr.ip()) == owner;
        if swarm.holder != owner || swarm.peers.keys().any(of_owner) {
            return;
        }
        self.held.remove(owner);
        let first = swarm.peers.iter().min_by_key(|(addr, stored)| (stored.announced, **addr));
        if let Some((first, _)) = first {
            swarm.holder = Prefix::owner_of(first.ip());
            self.held.add(swarm.holder);
        } else {
            self.torrents.remove(&torrent);
        }
    }

    /// A random choice of at most `count` peers of a torrent; seeds left out for who has no use for
    /// them (BEP 33). Where there are more, a second one of a block comes behind the first of all others.
    pub fn peers(
        &self,
        torrent: NodeId,
        no_seed: bool,
        count: usize,
        rng: &mut Rng,
    ) -> Vec<SocketAddr> {
        let Some(swarm) = self.torrents.get(&torrent) else { return Vec::new() };
        let fitting = swarm.peers.iter().filter(|(_, stored)| !(no_seed && stored.seed));
        let mut fitting: Vec<SocketAddr> = fitting.map(|(addr, _)| *addr).collect();
        if fitting.len() > count {
            rng.shuffle(&mut fitting);
            let mut crowd = Crowd::default();
            fitting.sort_by_cached_key(|addr| crowd.add(addr.ip()).1);
            fitting.truncate(count);
        }
        fitting
    }

    /// Filters of seeds and of all others (BEP 33).
    pub fn filters(&self, torrent: NodeId) -> (Bloom, Bloom) {
        let (mut seeds, mut others) = (Bloom::default(), Bloom::default());
        let swarm = self.torrents.get(&torrent);
        for (addr, stored) in swarm.into_iter().flat_map(|swarm| &swarm.peers) {
            let filter = if stored.seed { &mut seeds } else { &mut others };
            filter.insert(addr.ip());
        }
        (seeds, others)
    }

    /// A random choice of at most `count` torrents (BEP 51), and how many there are.
    pub fn samples(&self, count: usize, rng: &mut Rng) -> (Vec<NodeId>, usize) {
        let mut all: Vec<NodeId> = self.torrents.keys().copied().collect();
        let number = all.len();
        if number > count {
            rng.shuffle(&mut all);
            all.truncate(count);
        }
        (all, number)
    }

    /// Forgets whoever has been silent for too long. Costs as much as there are peers.
    pub fn expire(&mut self, now: Instant) {
        let old = self.by_owner.iter().filter(|(_, at, ..)| now.since(*at) >= PEER_LIFE);
        let old: Vec<_> = old.map(|(.., torrent, addr)| (*torrent, *addr)).collect();
        old.into_iter().for_each(|(torrent, addr)| self.forget(torrent, addr));
    }

    /// Number of torrents, and of peers.
    pub fn len(&self) -> (usize, usize) {
        (self.torrents.len(), self.by_owner.len())
    }

    /// What must hold after every step.
    ///
    /// # Errors
    /// The name of the first rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        let (mut peers, mut held) = (Ranking::default(), Ranking::default());
        let mut known = true;
        for (id, swarm) in &self.torrents {
            held.add(swarm.holder);
            known &= swarm.peers.keys().any(|addr| Prefix::owner_of(addr.ip()) == swarm.holder);
            for (addr, stored) in &swarm.peers {
                let owner = Prefix::owner_of(addr.ip());
                peers.add(owner);
                known &= self.by_owner.contains(&(owner, stored.announced, *id, *addr));
            }
        }
        let counted: usize = self.torrents.values().map(|swarm| swarm.peers.len()).sum();
        let same = counted == self.by_owner.len() && peers == self.peers && held == self.held;
        let bounded = counted <= MAX_IN_ALL && self.torrents.len() <= MAX_TORRENTS;
        if known && same && bounded {
            Ok(())
        } else {
            Err("peers stored for others are counted and bounded")
        }
    }
}

#[cfg(feature = "corruption")]
impl PeerStore {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "peers stored for others are counted and bounded" => {
                self.peers.add(Prefix::of(IpAddr::from([1, 2, 3, 4])));
            }
            _ => return None,
        }
        Some(())
    }
}
