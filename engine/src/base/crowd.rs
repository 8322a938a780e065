//! Crowds: how many of something come from each host, and from each block of addresses that one owner may have.
//!
//! Connections, ports and ids are free, and so are addresses to who has a block of them. So whatever strangers
//! share is shared by host and by block, and where it is full those who have most of it give way.

use alloc::collections::{BTreeMap, BTreeSet};
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

use super::prefix::Prefix;

/// How many there are of each of many. Those of which there are none take no memory.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Counts<K: Ord>(BTreeMap<K, u32>);

impl<K: Ord> Default for Counts<K> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<K: Ord + Copy> Counts<K> {
    /// One more. Returns how many there were.
    pub fn add(&mut self, key: K) -> u32 {
        let count = self.0.entry(key).or_default();
        *count += 1;
        *count - 1
    }

    /// One less.
    pub fn remove(&mut self, key: K) {
        if let Some(count) = self.0.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&key);
            }
        }
    }

    /// How many there are.
    pub fn of(&self, key: K) -> u32 {
        self.0.get(&key).copied().unwrap_or(0)
    }

    /// Each with its count.
    pub fn iter(&self) -> impl Iterator<Item = (K, u32)> + '_ {
        self.0.iter().map(|(key, count)| (*key, *count))
    }

    /// The one with the most, if there are more of it than `than`.
    pub fn fullest(&self, than: u32) -> Option<K> {
        let (key, count) = self.iter().max_by_key(|(key, count)| (*count, *key))?;
        (count > than).then_some(key)
    }
}

impl<K: Ord + Copy> FromIterator<K> for Counts<K> {
    fn from_iter<I: IntoIterator<Item = K>>(keys: I) -> Self {
        let mut counts = Self::default();
        for key in keys {
            counts.add(key);
        }
        counts
    }
}

/// Counts, and who has most, which is found at once however many there are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ranking<K: Ord> {
    counts: Counts<K>,
    by_count: BTreeSet<(u32, K)>,
}

impl<K: Ord> Default for Ranking<K> {
    fn default() -> Self {
        Self { counts: Counts::default(), by_count: BTreeSet::new() }
    }
}

impl<K: Ord + Copy> Ranking<K> {
    /// One more.
    pub fn add(&mut self, key: K) {
        let before = self.counts.add(key);
        self.by_count.remove(&(before, key));
        self.by_count.insert((before + 1, key));
    }

    /// One less.
    pub fn remove(&mut self, key: K) {
        let before = self.counts.of(key);
        self.counts.remove(key);
        self.by_count.remove(&(before, key));
        if before > 1 {
            self.by_count.insert((before - 1, key));
        }
    }

    /// How many there are.
    pub fn of(&self, key: K) -> u32 {
        self.counts.of(key)
    }

    /// The one with the most, and how many that are.
    pub fn fullest(&self) -> Option<(u32, K)> {
        self.by_count.last().copied()
    }

    /// Who makes room for one more of `key`: whoever has more, or else `key` itself.
    pub fn who_gives_way_to(&self, key: K) -> K {
        let fullest = self.fullest().filter(|(count, _)| *count > self.of(key));
        fullest.map_or(key, |(_, fullest)| fullest)
    }
}

/// How many come from each host, and from each block of public addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Crowd {
    hosts: Counts<Prefix>,
    blocks: Counts<Prefix>,
}

impl Crowd {
    /// One more from `ip`. Returns how many there were of its host and of its block.
    pub fn add(&mut self, ip: IpAddr) -> (u32, u32) {
        let of_block = Prefix::block_of(ip).map_or(0, |block| self.blocks.add(block));
        (self.hosts.add(Prefix::of(ip)), of_block)
    }

    /// One less.
    pub fn remove(&mut self, ip: IpAddr) {
        self.hosts.remove(Prefix::of(ip));
        if let Some(block) = Prefix::block_of(ip) {
            self.blocks.remove(block);
        }
    }

    /// How many there are of a host.
    pub fn of_host(&self, host: Prefix) -> u32 {
        self.hosts.of(host)
    }

    /// How many there are of the block around `ip`; none where that is not public.
    pub fn of_block_around(&self, ip: IpAddr) -> u32 {
        Prefix::block_of(ip).map_or(0, |block| self.blocks.of(block))
    }

    /// The host with the most, if it has more than `than`. This machine is exempt.
    pub fn fullest_host(&self, than: u32) -> Option<Prefix> {
        let hosts = self.hosts.iter().filter(|(host, _)| !host.is_loopback());
        let (host, count) = hosts.max_by_key(|(host, count)| (*count, *host))?;
        (count > than).then_some(host)
    }

    /// The block with the most, if it has more than `than`.
    pub fn fullest_block(&self, than: u32) -> Option<Prefix> {
        self.blocks.fullest(than)
    }
}

impl FromIterator<IpAddr> for Crowd {
    fn from_iter<I: IntoIterator<Item = IpAddr>>(ips: I) -> Self {
        let mut crowd = Self::default();
        for ip in ips {
            crowd.add(ip);
        }
        crowd
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn hosts_and_blocks_are_counted_and_the_fullest_is_known() {
        let mut crowd: Crowd =
            ["20.0.0.1", "20.0.0.1", "20.0.0.2", "20.0.1.1"].map(ip).into_iter().collect();
        let host = Prefix::of(ip("20.0.0.1"));
        assert_eq!((crowd.of_host(host), crowd.of_block_around(ip("20.0.0.77"))), (2, 3));
        assert_eq!((crowd.fullest_host(1), crowd.fullest_host(2)), (Some(host), None));
        assert_eq!((crowd.fullest_block(2), crowd.fullest_block(3)), (Some(host.wide()), None));
        assert_eq!(crowd.add(ip("20.0.0.1")), (2, 3));
        for text in ["20.0.0.1", "20.0.0.1", "20.0.0.1", "20.0.0.2", "20.0.1.1"] {
            crowd.remove(ip(text));
        }
        assert_eq!(crowd, Crowd::default());
    }

    #[test]
    fn a_local_network_is_no_block_and_this_machine_is_never_too_full() {
        let mut crowd: Crowd = ["10.0.0.1", "10.0.0.2", "10.0.0.3"].map(ip).into_iter().collect();
        assert_eq!((crowd.of_block_around(ip("10.0.0.1")), crowd.fullest_block(0)), (0, None));
        for _ in 0..9 {
            crowd.add(ip("127.0.0.1"));
        }
        assert_eq!(crowd.fullest_host(1), None);
    }
}
