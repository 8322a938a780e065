//! Who can introduce us to an address at which nobody answers (BEP 55).

use core::net::SocketAddr;

use super::Candidates;
use crate::base::addr::normalise;
use crate::picker::PeerKey;

/// Peers that are remembered for an address: those that named it last.
pub(super) const MAX_INTRODUCERS: usize = 2;

impl Candidates {
    /// A peer is connected to somebody at `addr` and can introduce us.
    pub fn introduced_by(&mut self, addr: SocketAddr, peer: PeerKey) {
        let key = self.by_addr.get(&normalise(addr));
        let Some(candidate) = key.and_then(|key| self.known.get_mut(key)) else { return };
        candidate.introducers.retain(|known| *known != peer);
        if candidate.introducers.len() == MAX_INTRODUCERS {
            candidate.introducers.remove(0);
        }
        candidate.introducers.push(peer);
    }

    /// That peer does not introduce us, whatever it has said before.
    pub fn not_introduced_by(&mut self, key: PeerKey, peer: PeerKey) {
        if let Some(candidate) = self.known.get_mut(&key) {
            candidate.introducers.retain(|known| *known != peer);
        }
    }

    /// Peers that could introduce us to an address, the latest first.
    pub fn introducers(&self, key: PeerKey) -> impl Iterator<Item = PeerKey> + '_ {
        let candidate = self.known.get(&key);
        candidate.into_iter().flat_map(|candidate| candidate.introducers.iter().rev().copied())
    }
}
