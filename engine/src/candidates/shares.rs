//! Who named how many of the known addresses, and how many of each host are known and connected.

use alloc::collections::BTreeMap;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

use crate::api::PeerSource;
use crate::base::prefix::Prefix;

/// Ports of one host that are known at a time, but for this machine and for what the user names.
pub const MAX_PORTS: u32 = 8;
/// One stranger who names others may fill one part in eight of the list.
const NAMER_SHARE: u32 = 8;

/// Who named an address: a kind of source, and where it matters which stranger of that kind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Namer {
    /// The kind of source.
    pub source: PeerSource,
    /// The peer, node or host that said so.
    pub from: Option<Prefix>,
    /// The tracker that said so, by its number in the torrent.
    pub tracker: Option<u32>,
}

impl Namer {
    /// A source that is one: the user, resume data.
    pub const fn all(source: PeerSource) -> Self {
        Self { source, from: None, tracker: None }
    }

    /// A tracker of the torrent.
    pub const fn tracker(number: u32) -> Self {
        Self { source: PeerSource::Tracker, from: None, tracker: Some(number) }
    }

    /// A stranger at `ip`.
    pub fn at(source: PeerSource, ip: IpAddr) -> Self {
        Self { source, from: Some(Prefix::of(ip)), tracker: None }
    }

    /// A peer that connected to us.
    pub fn itself(ip: IpAddr) -> Self {
        Self::at(PeerSource::Incoming, ip)
    }
}

/// The counts.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Shares {
    by_source: BTreeMap<PeerSource, u32>,
    by_namer: BTreeMap<Namer, u32>,
    /// Known, and of them connected or being connected.
    by_host: BTreeMap<Prefix, (u32, u32)>,
}

/// Of `limit` places, how many addresses of one kind of source may take.
fn most_of(source: PeerSource, limit: u32) -> u32 {
    let share = match source {
        PeerSource::User => limit,
        PeerSource::Tracker => limit - limit / 4,
        PeerSource::Dht | PeerSource::Pex => limit / 2,
        PeerSource::Incoming | PeerSource::Lsd | PeerSource::Resume => limit / 4,
    };
    share.max(1)
}

impl Shares {
    /// Whether a stranger who names others has used up its share of `limit` places.
    pub(super) fn is_namer_full(&self, namer: Namer, limit: u32) -> bool {
        let count = self.by_namer.get(&namer).copied().unwrap_or(0);
        namer.from.is_some() && count >= (limit / NAMER_SHARE).max(1)
    }

    /// Whether a kind of source has used up its share of `limit` places.
    pub(super) fn is_source_full(&self, source: PeerSource, limit: u32) -> bool {
        self.by_source.get(&source).copied().unwrap_or(0) >= most_of(source, limit)
    }

    /// Whether as many ports of one host are known as may be.
    pub(super) fn is_crowded(&self, prefix: Prefix) -> bool {
        let known = self.by_host.get(&prefix).map_or(0, |(known, _)| *known);
        known >= MAX_PORTS && !prefix.is_loopback()
    }

    /// Whether a kind of source has more than its share.
    pub(super) fn exceeds(&self, namer: Namer, limit: u32) -> bool {
        let of_source = self.by_source.get(&namer.source).copied().unwrap_or(0);
        of_source > most_of(namer.source, limit)
    }

    pub(super) fn take(&mut self, namer: Namer, prefix: Prefix) {
        *self.by_source.entry(namer.source).or_default() += 1;
        *self.by_namer.entry(namer).or_default() += 1;
        self.by_host.entry(prefix).or_default().0 += 1;
    }

    pub(super) fn give(&mut self, namer: Namer, prefix: Prefix) {
        self.give_name(namer);
        if let Some((known, _)) = self.by_host.get_mut(&prefix) {
            *known -= 1;
            if *known == 0 {
                self.by_host.remove(&prefix);
            }
        }
    }

    fn give_name(&mut self, namer: Namer) {
        less(&mut self.by_source, namer.source);
        less(&mut self.by_namer, namer);
    }

    /// An address counts as named by somebody else.
    pub(super) fn passes(&mut self, from: Namer, to: Namer) {
        self.give_name(from);
        *self.by_source.entry(to.source).or_default() += 1;
        *self.by_namer.entry(to).or_default() += 1;
    }

    pub(super) fn count_busy(&mut self, prefix: Prefix, busy: bool) {
        let (_, count) = self.by_host.entry(prefix).or_default();
        if busy {
            *count += 1;
        } else {
            *count -= 1;
        }
    }

    /// Connections into a block, being made included.
    pub(super) fn busy_in(&self, block: Prefix) -> u32 {
        let within = self.by_host.range(block..).take_while(|(host, _)| host.wide() == block);
        within.map(|(_, (_, busy))| *busy).sum()
    }

    pub(super) fn busy_at(&self, prefix: Prefix) -> u32 {
        self.by_host.get(&prefix).map_or(0, |(_, busy)| *busy)
    }

    /// Who named most, if those are clearly more than what `namer` named.
    pub(super) fn fullest_but(&self, namer: Namer) -> Option<Namer> {
        let own = self.by_namer.get(&namer).copied().unwrap_or(0);
        let others = self.by_namer.iter().filter(|(other, _)| other.source <= namer.source);
        let (fullest, count) = others.max_by_key(|(other, count)| (**count, **other))?;
        (*count > own + 1).then_some(*fullest)
    }
}

fn less<K: Ord + Copy>(counts: &mut BTreeMap<K, u32>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&key);
        }
    }
}
