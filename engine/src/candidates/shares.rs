//! Who named how many of the known addresses, and how many of each host are known and connected.

use alloc::collections::BTreeMap;
use core::net::IpAddr;
use serde::{Deserialize, Serialize};

use crate::api::PeerSource;
use crate::base::crowd::{Counts, Crowd, Ranking};
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
    by_source: Counts<PeerSource>,
    by_namer: BTreeMap<PeerSource, Ranking<Namer>>,
    /// Known of each host.
    known: Counts<Prefix>,
    /// Connected or being connected.
    busy: Crowd,
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
        let count = self.named_by(namer);
        namer.from.is_some() && count >= (limit / NAMER_SHARE).max(1)
    }

    /// Whether a kind of source has used up its share of `limit` places.
    pub(super) fn is_source_full(&self, source: PeerSource, limit: u32) -> bool {
        self.by_source.of(source) >= most_of(source, limit)
    }

    /// Whether as many ports of one host are known as may be.
    pub(super) fn is_crowded(&self, prefix: Prefix) -> bool {
        self.known.of(prefix) >= MAX_PORTS && !prefix.is_loopback()
    }

    /// Whether a kind of source has more than its share.
    pub(super) fn exceeds(&self, namer: Namer, limit: u32) -> bool {
        let of_source = self.by_source.of(namer.source);
        of_source > most_of(namer.source, limit)
    }

    pub(super) fn take(&mut self, namer: Namer, prefix: Prefix) {
        self.by_source.add(namer.source);
        self.by_namer.entry(namer.source).or_default().add(namer);
        self.known.add(prefix);
    }

    pub(super) fn give(&mut self, namer: Namer, prefix: Prefix) {
        self.give_name(namer);
        self.known.remove(prefix);
    }

    fn give_name(&mut self, namer: Namer) {
        self.by_source.remove(namer.source);
        if let Some(namers) = self.by_namer.get_mut(&namer.source) {
            namers.remove(namer);
            if namers.fullest().is_none() {
                self.by_namer.remove(&namer.source);
            }
        }
    }

    /// An address counts as named by somebody else.
    pub(super) fn passes(&mut self, from: Namer, to: Namer) {
        self.give_name(from);
        self.by_source.add(to.source);
        self.by_namer.entry(to.source).or_default().add(to);
    }

    pub(super) fn count_busy(&mut self, ip: IpAddr, busy: bool) {
        if busy {
            self.busy.add(ip);
        } else {
            self.busy.remove(ip);
        }
    }

    /// Connections into the block around `ip`, being made included.
    pub(super) fn busy_near(&self, ip: IpAddr) -> u32 {
        self.busy.of_block_around(ip)
    }

    pub(super) fn busy_at(&self, prefix: Prefix) -> u32 {
        self.busy.of_host(prefix)
    }

    /// How many addresses somebody named.
    fn named_by(&self, namer: Namer) -> u32 {
        self.by_namer.get(&namer.source).map_or(0, |namers| namers.of(namer))
    }

    /// Who named most, of those who are trusted no more than `namer`, if that is clearly more than it named.
    pub(super) fn fullest_but(&self, namer: Namer) -> Option<Namer> {
        let others = self.by_namer.range(..=namer.source);
        let (count, fullest) = others.filter_map(|(_, namers)| namers.fullest()).max()?;
        (count > self.named_by(namer) + 1).then_some(fullest)
    }
}
