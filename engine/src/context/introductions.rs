//! Nodes of the DHT that peers tell of (BEP 5 PORT). Each of them costs a query to a stranger, so
//! peers get a small share of what the DHT may ask: one node an address, few of a block of addresses, and few in all.

use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use serde::{Deserialize, Serialize};

use crate::base::pace::{Pace, PaceLedger, Taken, owner};
use crate::base::prefix::Prefix;
use crate::base::time::Instant;

/// One address is asked once in five minutes, whatever ports it tells.
const EACH: Pace = Pace::new(1, 300_000);
/// Of one block of addresses (/24, /48), which may have one owner, four are asked at once and then one in a minute.
const BLOCK: Pace = Pace::new(4, 60_000);
/// Of the hundred queries a second that the DHT sends, peers cause one.
const ALL: Pace = Pace::new(10, 1000);
/// Addresses that are told apart.
const MAX_ADDRESSES: usize = 2000;

/// Nodes to get in touch with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Introductions {
    by_owner: PaceLedger<(IpAddr, u16)>,
    by_block: PaceLedger<Prefix>,
    in_all: Taken,
    waiting: Vec<SocketAddr>,
}

impl Default for Introductions {
    fn default() -> Self {
        let by_owner = PaceLedger::new(MAX_ADDRESSES);
        let by_block = PaceLedger::new(MAX_ADDRESSES);
        Self { by_owner, by_block, in_all: Taken::default(), waiting: Vec::new() }
    }
}

impl Introductions {
    /// A peer says that there is a node at `addr`. What is too much is forgotten.
    pub fn tell(&mut self, addr: SocketAddr, now: Instant) {
        if addr.port() == 0 || !self.in_all.wait(ALL, now).is_zero() {
            return;
        }
        // On one machine ports tell nodes apart.
        let port = if addr.ip().to_canonical().is_loopback() { addr.port() } else { 0 };
        // In a local network blocks mean nothing.
        let block = Prefix::block_of(addr.ip());
        if block.is_some_and(|block| !self.by_block.wait(&block, BLOCK, now).is_zero()) {
            return;
        }
        if self.by_owner.take((owner(addr.ip()), port), EACH, now) {
            block.map(|block| self.by_block.take(block, BLOCK, now));
            self.in_all.charge(ALL, now);
            self.waiting.push(addr);
        }
    }

    /// Takes those that are to be asked.
    pub fn take(&mut self) -> Vec<SocketAddr> {
        core::mem::take(&mut self.waiting)
    }

    /// Whether its memory is bounded.
    pub fn is_bounded(&self) -> bool {
        let bounded = self.by_owner.is_bounded() && self.by_block.is_bounded();
        bounded && self.waiting.len() <= ALL.burst as usize
    }
}

#[cfg(feature = "corruption")]
impl Introductions {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "addresses that strangers name are counted in bounded memory" => {
                let node = SocketAddr::new(IpAddr::from([1, 2, 3, 4]), 5);
                self.waiting = alloc::vec![node; ALL.burst as usize + 1];
            }
            _ => return None,
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of introductions.

    use super::*;

    #[test]
    fn an_address_counts_once_and_many_addresses_get_a_small_share() {
        let mut told = Introductions::default();
        let node = |host: u32, port| SocketAddr::new(IpAddr::from(host.to_be_bytes()), port);
        let now = Instant::from_millis(1_000_000);
        (1..2000).for_each(|port| told.tell(node(7, port), now));
        assert_eq!(told.take().len(), 1);
        for second in 0..100 {
            let now = Instant::from_millis(1_000_000 + second * 1000);
            (0..100).for_each(|n| told.tell(node((second as u32 * 100 + n) << 8, 6881), now));
        }
        assert!(told.take().len() <= 110);
        let later = Instant::from_millis(2_000_000);
        told.tell(node(7, 9), later);
        assert_eq!(told.take(), [node(7, 9)]);
    }

    #[test]
    fn who_has_a_block_of_addresses_leaves_introductions_for_others() {
        let mut told = Introductions::default();
        let node = |block: u32, n: u32| {
            SocketAddr::new(IpAddr::from((20 << 24 | block << 8 | n).to_be_bytes()), 6881)
        };
        let mut others = 0;
        for second in 0..600u32 {
            let now = Instant::from_millis(1_000_000 + u64::from(second) * 1000);
            (0..256).for_each(|n| told.tell(node(0, n), now));
            if second % 10 == 0 {
                told.tell(node(1 + second, 1), now);
            }
            let crowd = Prefix::block_of(node(0, 0).ip());
            let (crowd, rest): (Vec<_>, Vec<_>) =
                told.take().into_iter().partition(|addr| Prefix::block_of(addr.ip()) == crowd);
            assert!(crowd.len() <= 4);
            others += rest.len();
        }
        assert_eq!(others, 60, "everybody else is asked at once");
    }
}
