//! Pace: how often something may be done, in all or to each of many.
//!
//! What was taken is one point in time, at which all of it will be paid back: every take moves it by
//! a gap, and nothing may be taken while it lies further ahead than a burst allows.

use alloc::collections::BTreeMap;
use core::net::IpAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::prefix::Prefix;
use super::time::Instant;

/// So many at once after a pause, and in the long run one in each gap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    /// How many may be taken at once, at least 1.
    pub burst: u32,
    /// After how long one of them is given back.
    pub gap: Duration,
}

impl Pace {
    /// This number at once, then one in each period, in milliseconds.
    pub const fn new(burst: u32, gap_millis: u64) -> Self {
        Self { burst, gap: Duration::from_millis(gap_millis) }
    }
}

/// What was taken of a pace.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Taken {
    free_at: Instant,
}

impl Taken {
    /// How long until one may be taken; zero for now.
    pub fn wait(&self, pace: Pace, now: Instant) -> Duration {
        self.free_at.since(now).saturating_sub(pace.gap * pace.burst.saturating_sub(1))
    }

    /// Takes one if it may be taken now.
    pub fn take(&mut self, pace: Pace, now: Instant) -> bool {
        let may = self.wait(pace, now).is_zero();
        if may {
            self.charge(pace, now);
        }
        may
    }

    /// Takes one, whether it may be taken or not.
    pub fn charge(&mut self, pace: Pace, now: Instant) {
        self.free_at = self.free_at.max(now) + pace.gap;
    }

    /// Gives one back.
    pub fn give_back(&mut self, pace: Pace) {
        let at = self.free_at.as_nanos().saturating_sub(pace.gap.as_nanos() as u64);
        self.free_at = Instant::from_nanos(at);
    }

    /// Whether all of it has been paid back.
    pub fn is_free(&self, now: Instant) -> bool {
        self.free_at <= now
    }
}

/// What was taken for each of many keys. The memory is bounded: when there are too many keys, those
/// without an entry share one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PaceLedger<K: Ord> {
    taken: BTreeMap<K, Taken>,
    others: Taken,
    most: usize,
    swept_at: Instant,
}

impl<K: Ord> PaceLedger<K> {
    /// A ledger with a bound on the number of its keys.
    pub fn new(most: usize) -> Self {
        Self { taken: BTreeMap::new(), others: Taken::default(), most, swept_at: Instant::ZERO }
    }

    /// Takes one for `key` if it may be taken now.
    pub fn take(&mut self, key: K, pace: Pace, now: Instant) -> bool {
        self.entry(key, pace, now).take(pace, now)
    }

    /// Takes one for `key` whether it may be taken or not. Returns in what time it may be used.
    pub fn reserve(&mut self, key: K, pace: Pace, now: Instant) -> Duration {
        let taken = self.entry(key, pace, now);
        let wait = taken.wait(pace, now);
        taken.charge(pace, now);
        wait
    }

    /// Gives one back to `key`.
    pub fn give_back(&mut self, key: &K, pace: Pace) {
        if let Some(taken) = self.taken.get_mut(key) {
            taken.give_back(pace);
        }
    }

    /// How long until one may be taken for `key`; zero for now.
    pub fn wait(&self, key: &K, pace: Pace, now: Instant) -> Duration {
        let full = self.taken.len() >= self.most;
        let none = Taken::default();
        let taken = self.taken.get(key).unwrap_or(if full { &self.others } else { &none });
        taken.wait(pace, now)
    }

    /// Everything taken for `key` is given back: it has proven harmless.
    pub fn forgive(&mut self, key: &K) {
        self.taken.remove(key);
    }

    /// Number of keys that are remembered.
    pub fn len(&self) -> usize {
        self.taken.len()
    }

    /// True when nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// Whether the bound on keys holds.
    pub fn is_bounded(&self) -> bool {
        self.taken.len() <= self.most
    }

    fn entry(&mut self, key: K, pace: Pace, now: Instant) -> &mut Taken {
        // What is paid back is forgotten, once a gap at the most, so that a sweep costs little.
        if self.taken.len() >= self.most && now.since(self.swept_at) >= pace.gap {
            self.taken.retain(|_, taken| !taken.is_free(now));
            self.swept_at = now;
        }
        if self.taken.len() >= self.most && !self.taken.contains_key(&key) {
            return &mut self.others;
        }
        self.taken.entry(key).or_default()
    }
}

/// The addresses that one owner has at least: those of one host.
pub fn owner(ip: IpAddr) -> IpAddr {
    Prefix::of(ip).first()
}

#[cfg(test)]
mod tests {
    //! Unit tests of paces.

    use super::*;
    use alloc::vec::Vec;

    const PACE: Pace = Pace::new(3, 10_000);

    fn at(seconds: u64) -> Instant {
        Instant::from_millis(seconds * 1000)
    }

    #[test]
    fn a_burst_goes_at_once_and_then_one_in_each_gap() {
        let mut taken = Taken::default();
        let fine = |taken: &mut Taken, second| taken.take(PACE, at(second));
        assert!((0..3).all(|_| fine(&mut taken, 100)));
        assert!(!fine(&mut taken, 100) && !fine(&mut taken, 109));
        assert_eq!(taken.wait(PACE, at(104)), Duration::from_secs(6));
        assert!(fine(&mut taken, 110) && !fine(&mut taken, 110));
        // A long pause gives no more than a burst.
        assert_eq!((0..9).filter(|_| fine(&mut taken, 9999)).count(), 3);
    }

    #[test]
    fn in_the_long_run_nobody_gets_more_than_the_gap_allows() {
        let mut taken = Taken::default();
        let count = (0..100_000u64).filter(|n| taken.take(PACE, Instant::from_millis(n * 100)));
        assert_eq!(count.count(), 1002);
    }

    #[test]
    fn what_is_reserved_may_be_used_in_turn_and_what_is_given_back_at_once() {
        let mut ledger = PaceLedger::new(10);
        let waits: Vec<u64> = (0..5).map(|_| ledger.reserve(1, PACE, at(100)).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 10, 20]);
        (0..3).for_each(|_| ledger.give_back(&1, PACE));
        ledger.give_back(&2, PACE);
        assert_eq!(ledger.reserve(1, PACE, at(100)), Duration::ZERO);
        assert_eq!(ledger.reserve(1, PACE, at(100)), Duration::from_secs(10));
        // What was never taken is not given back.
        (0..100).for_each(|_| ledger.give_back(&1, PACE));
        assert_eq!((0..9).filter(|_| ledger.take(1, PACE, at(100))).count(), 3);
    }

    #[test]
    fn keys_have_paces_of_their_own_and_too_many_share_one() {
        let mut ledger = PaceLedger::new(100);
        assert!((0..100).all(|key| ledger.take(key, PACE, at(5))));
        // A thousand more get a burst together, and the first keep theirs.
        assert_eq!((100..1100).filter(|key| ledger.take(*key, PACE, at(6))).count(), 3);
        assert!(ledger.take(7, PACE, at(6)) && ledger.is_bounded());
        // Later there is room again.
        assert!((200..290).all(|key| ledger.take(key, PACE, at(60))));
        assert!(ledger.is_bounded());
    }

    #[test]
    fn an_owner_has_one_address_of_ipv4_and_a_block_of_ipv6() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(owner(ip("::ffff:192.0.2.7")), ip("192.0.2.7"));
        assert_eq!(owner(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1:2::"));
    }
}
