//! Taking an address to be called: hosts and blocks have a share of the connections, and namers of the calls.

use core::net::SocketAddr;
use core::time::Duration;

use super::{CROWDED_SECONDS, Candidates, Most};
use crate::api::PeerSource;
use crate::base::prefix::Prefix;
use crate::base::time::Instant;
use crate::picker::PeerKey;

impl Candidates {
    /// Takes this address to be called at once, whenever its next attempt was due; as [`Self::next`] does. `None` where
    /// it is connected, or has to wait.
    pub fn call(&mut self, key: PeerKey, most: Most, now: Instant) -> Option<SocketAddr> {
        self.known.get(&key).filter(|c| c.dialable && !c.busy)?;
        self.unlist(key);
        self.claim(key, most, now)
    }

    /// Takes an address that is not listed, if there is a place for it; else it waits.
    pub(super) fn claim(&mut self, key: PeerKey, most: Most, now: Instant) -> Option<SocketAddr> {
        let addr = self.known.get(&key)?.addr;
        let prefix = Prefix::of(addr.ip());
        let crowded = !prefix.is_loopback() && self.shares.busy_at(prefix) >= most.of_host
            || self.shares.busy_near(addr.ip()) >= most.of_block;
        if crowded {
            self.list(key, now + Duration::from_secs(CROWDED_SECONDS));
            return None;
        }
        let wait = self.wait_for_turn(key, now);
        if !wait.is_zero() {
            self.list(key, now + wait);
            return None;
        }
        self.set_busy(key, true);
        Some(addr)
    }

    /// How long an address waits until it is its namer's turn to have one called. This machine may be called
    /// as often as one likes, and what the user names is the user's.
    fn wait_for_turn(&mut self, key: PeerKey, now: Instant) -> Duration {
        let Some(candidate) = self.known.get_mut(&key) else { return Duration::ZERO };
        let free = candidate.source == PeerSource::User || candidate.addr.ip().is_loopback();
        if free || core::mem::take(&mut candidate.in_turn) {
            return Duration::ZERO;
        }
        let wait = self.calls.take(candidate.namer, now);
        candidate.in_turn = !wait.is_zero();
        wait
    }
}
