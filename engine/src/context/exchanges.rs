//! How often keys are worked out for encrypted connections: that is the dearest thing that a stranger can ask for
//! with a hundred bytes, some 100 microseconds.

use alloc::collections::BTreeSet;
use core::net::IpAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use crate::api::{MAX_KEYS_A_SECOND, MAX_KEYS_OF_A_HOST};
use crate::base::ids::ConnId;
use crate::base::pace::{Pace, PaceLedger, Taken, owner};
use crate::base::prefix::Prefix;
use crate::base::time::Instant;
use crate::base::timer_queue::Alarm;

/// Keys that are worked out at once: no step takes longer for them than a few milliseconds.
const AT_ONCE: u32 = 50;
/// For everybody together.
const ALL: Pace = Pace::new(AT_ONCE, 1000 / MAX_KEYS_A_SECOND as u64);
/// For one address: that many at once, then one in two seconds.
const EACH: Pace = Pace::new(MAX_KEYS_OF_A_HOST, 2_000);
/// For one block of addresses, which may have one owner (/24, /48): a quarter of all.
const BLOCK: Pace = Pace::new(AT_ONCE / 2, 4000 / MAX_KEYS_A_SECOND as u64);
/// Addresses, and blocks, that are told apart.
const MAX_ADDRESSES: usize = 4000;

/// Keys that were worked out, in all and by address.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Exchanges {
    all: Taken,
    /// For those whom we call.
    calls: Taken,
    by_owner: PaceLedger<IpAddr>,
    by_block: PaceLedger<Prefix>,
    /// Connections whose handshake waits for a key; some of them may have gone.
    pub waiting: BTreeSet<ConnId>,
    /// For when the first of them may have one. One for all: each piece of what they send sets it.
    pub alarm: Alarm,
}

impl Default for Exchanges {
    fn default() -> Self {
        Self {
            all: Taken::default(),
            calls: Taken::default(),
            by_owner: PaceLedger::new(MAX_ADDRESSES),
            by_block: PaceLedger::new(MAX_ADDRESSES),
            waiting: BTreeSet::new(),
            alarm: Alarm::default(),
        }
    }
}

impl Exchanges {
    /// Takes the work for somebody who called us, if there is any left. This machine has no budget of its own, only
    /// that of all.
    pub fn take_for(&mut self, ip: IpAddr, now: Instant) -> bool {
        let (ip, block) = (ip.to_canonical(), Prefix::owner_of(ip));
        if !self.wait_for(ip, now).is_zero() {
            return false;
        }
        let of_others = ip.is_loopback()
            || self.by_owner.take(owner(ip), EACH, now) && self.by_block.take(block, BLOCK, now);
        of_others && self.all.take(ALL, now)
    }

    /// How long until there is any left for somebody who called us.
    pub fn wait_for(&self, ip: IpAddr, now: Instant) -> Duration {
        let (ip, all) = (ip.to_canonical(), self.all.wait(ALL, now));
        if ip.is_loopback() {
            return all;
        }
        let block = self.by_block.wait(&Prefix::owner_of(ip), BLOCK, now);
        all.max(block).max(self.by_owner.wait(&owner(ip), EACH, now))
    }

    /// How much of what there is for its block somebody has used: who has used least comes first.
    pub fn used_by(&self, ip: IpAddr, now: Instant) -> Duration {
        let block = Prefix::owner_of(ip);
        self.by_block.wait(&block, Pace { burst: 1, ..BLOCK }, now)
    }

    /// Takes the work for somebody whom we call. Those who call us have no part in that: they cannot have us speak
    /// plainly by using it up.
    pub fn take_to_call(&mut self, now: Instant) -> bool {
        self.calls.take(ALL, now)
    }

    /// Whether its memory is bounded.
    pub fn is_bounded(&self) -> bool {
        self.by_owner.is_bounded() && self.by_block.is_bounded()
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of exchanges.

    use super::*;

    #[test]
    fn an_address_has_sixteen_keys_and_all_have_fifty_at_once_and_two_hundred_in_a_second() {
        let mut exchanges = Exchanges::default();
        let ip = |n: u32| IpAddr::from(n.to_be_bytes());
        let at = |millis| Instant::from_millis(millis);
        let one = (0..100).filter(|_| exchanges.take_for(ip(0xcb00_7107), at(1000))).count();
        assert_eq!(one, 16);
        let many = (0..1000).filter(|n| exchanges.take_for(ip(0xc612_0000 + n), at(1000)));
        assert_eq!(many.count(), 34);
        assert!(exchanges.take_to_call(at(1000)), "who calls us does not take what we call with");
        let later = (0..1000).filter(|n| exchanges.take_for(ip(0xc613_0000 + n), at(1005)));
        assert_eq!(later.count(), 1);
        let later = (0..1000u32)
            .filter(|n| exchanges.take_for(ip(0x1400_0000 + (n << 8)), at(1006 + u64::from(*n))));
        assert_eq!(later.count(), 200);
        // A block of addresses may be one owner's, who has a quarter of all.
        let of_block = (0..1000u32).filter(|n| {
            let ip = IpAddr::from([0x2001, 0xdb8, 1, *n as u16, 0, 0, 0, 1]);
            exchanges.take_for(ip, at(4000 + u64::from(*n)))
        });
        assert_eq!(of_block.count(), 25 + 49);
        assert_eq!(exchanges.wait_for(ip(0xcb00_7109), at(5000)), Duration::ZERO);
        let host = IpAddr::from([127, 0, 0, 1]);
        let own = (0..100).filter(|_| exchanges.take_for(host, at(9000))).count();
        assert_eq!(own, 50);
    }
}
