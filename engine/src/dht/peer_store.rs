//! Peers that announced themselves here: by torrent, bounded, and forgotten after a while.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::bloom::Bloom;
use super::node_id::NodeId;
use crate::base::rng::Rng;
use crate::base::time::Instant;

/// Time after which a peer is forgotten unless it announces itself again.
pub const PEER_LIFE: Duration = Duration::from_secs(45 * 60);
/// Torrents.
pub const MAX_TORRENTS: usize = 2000;
/// Peers of one torrent.
pub const MAX_PEERS: usize = 500;
/// Peers of all torrents.
pub const MAX_IN_ALL: usize = 50_000;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Stored {
    announced: Instant,
    seed: bool,
}

/// Peers by torrent.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct PeerStore {
    torrents: BTreeMap<NodeId, BTreeMap<SocketAddr, Stored>>,
    count: usize,
}

impl PeerStore {
    /// A peer announces itself. What is full makes room by forgetting whoever was silent longest in
    /// that torrent, or the smallest torrent.
    pub fn announce(&mut self, torrent: NodeId, peer: SocketAddr, seed: bool, now: Instant) {
        let known = self.torrents.contains_key(&torrent);
        if !known && self.torrents.len() >= MAX_TORRENTS {
            let smallest = self.torrents.iter().min_by_key(|(id, peers)| (peers.len(), **id));
            if let Some(id) = smallest.map(|(id, _)| *id) {
                self.count -= self.torrents.remove(&id).map_or(0, |peers| peers.len());
            }
        }
        let peers = self.torrents.entry(torrent).or_default();
        let stored = Stored { announced: now, seed };
        if peers.insert(peer, stored).is_some() {
            return;
        }
        self.count += 1;
        if peers.len() > MAX_PEERS || self.count > MAX_IN_ALL {
            let others = peers.iter().filter(|(addr, _)| **addr != peer);
            let oldest = others.min_by_key(|(addr, stored)| (stored.announced, **addr));
            let oldest = oldest.map_or(peer, |(addr, _)| *addr);
            peers.remove(&oldest);
            self.count -= 1;
            if peers.is_empty() {
                self.torrents.remove(&torrent);
            }
        }
    }

    /// A random choice of at most `count` peers of a torrent; seeds left out for who has no use for
    /// them (BEP 33).
    pub fn peers(
        &self,
        torrent: NodeId,
        no_seed: bool,
        count: usize,
        rng: &mut Rng,
    ) -> Vec<SocketAddr> {
        let Some(peers) = self.torrents.get(&torrent) else { return Vec::new() };
        let fitting = peers.iter().filter(|(_, stored)| !(no_seed && stored.seed));
        let mut fitting: Vec<SocketAddr> = fitting.map(|(addr, _)| *addr).collect();
        if fitting.len() > count {
            rng.shuffle(&mut fitting);
            fitting.truncate(count);
        }
        fitting
    }

    /// Filters of seeds and of all others (BEP 33).
    pub fn filters(&self, torrent: NodeId) -> (Bloom, Bloom) {
        let (mut seeds, mut others) = (Bloom::default(), Bloom::default());
        for (addr, stored) in self.torrents.get(&torrent).into_iter().flatten() {
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
        self.torrents.retain(|_, peers| {
            peers.retain(|_, stored| now.since(stored.announced) < PEER_LIFE);
            !peers.is_empty()
        });
        self.count = self.torrents.values().map(BTreeMap::len).sum();
    }

    /// Number of torrents, and of peers.
    pub fn len(&self) -> (usize, usize) {
        (self.torrents.len(), self.count)
    }

    /// What must hold after every step.
    ///
    /// # Errors
    /// The name of the first rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        let counted: usize = self.torrents.values().map(BTreeMap::len).sum();
        if counted != self.count || counted > MAX_IN_ALL || self.torrents.len() > MAX_TORRENTS {
            return Err("peers stored for others are counted and bounded");
        }
        Ok(())
    }
}

#[cfg(feature = "corruption")]
impl PeerStore {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "peers stored for others are counted and bounded" => self.count += 1,
            _ => return None,
        }
        Some(())
    }
}
