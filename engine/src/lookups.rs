//! Look-ups of names: of trackers, of peers that trackers name so, and of nodes of the DHT. Each is remembered with
//! what it is for until its answer comes; those that strangers cause have a budget.

#[cfg(test)]
mod tests;

use alloc::string::String;
use serde::{Deserialize, Serialize};

use crate::base::addr::Scope;
use crate::base::ids::{LookupId, TorrentId};
use crate::base::pace::{Pace, PaceLedger, Taken};
use crate::base::slots::SlotMap;
use crate::base::time::Instant;

/// Look-ups that strangers cause beside those of trackers: names of peers, and of nodes that torrents
/// name. So many at once, then one in two seconds.
const CAUSED_BY_STRANGERS: Pace = Pace::new(20, 2000);
/// Of those, in progress at the same time: names that nobody answers for must not fill the resolver.
const MAX_CAUSED_BY_STRANGERS: u32 = 4;
/// Of all that, what names of one torrent may take: the rest is for others.
const OF_TORRENT: Pace = Pace::new(10, 4000);
/// The same of those in progress.
const MAX_OF_TORRENT: usize = 2;
/// Torrents that are told apart.
const MAX_TORRENTS: usize = 1000;

/// What a name is looked up for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Lookup {
    /// The host of a UDP tracker.
    UdpTracker {
        /// The announce that waits for it.
        announce: u64,
        /// The name.
        host: String,
        /// The port.
        port: u16,
        /// What stands behind it in the URL.
        path: String,
    },
    /// A node of the DHT that the user or the configuration named.
    DhtNode {
        /// Its port.
        port: u16,
    },
    /// A node of the DHT that a torrent named.
    NamedNode {
        /// Which torrent.
        torrent: TorrentId,
        /// Its port.
        port: u16,
    },
    /// A peer that a tracker in that scope named by host name.
    Peer {
        /// Of which torrent.
        torrent: TorrentId,
        /// Its port.
        port: u16,
        /// Where the tracker is.
        teller: Scope,
    },
}

impl Lookup {
    /// The torrent whose strangers cause it; `None` where no stranger does.
    fn torrent(&self) -> Option<TorrentId> {
        match self {
            Self::NamedNode { torrent, .. } | Self::Peer { torrent, .. } => Some(*torrent),
            Self::UdpTracker { .. } | Self::DhtNode { .. } => None,
        }
    }

    fn is_caused_by_stranger(&self) -> bool {
        self.torrent().is_some()
    }
}

/// The look-ups in progress.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Lookups {
    lookups: SlotMap<LookupId, Lookup>,
    /// What strangers have caused lately, in all and by torrent, and what of it is in progress.
    taken: Taken,
    by_torrent: PaceLedger<TorrentId>,
    in_progress: u32,
}

impl Default for Lookups {
    fn default() -> Self {
        let by_torrent = PaceLedger::new(MAX_TORRENTS);
        Self { lookups: SlotMap::default(), taken: Taken::default(), by_torrent, in_progress: 0 }
    }
}

impl Lookups {
    /// A name is wanted. It is to be looked up under this id; `None` where a stranger has caused enough.
    pub fn wanted(&mut self, lookup: Lookup, now: Instant) -> Option<LookupId> {
        if let Some(torrent) = lookup.torrent() {
            let of_torrent = self.lookups.iter().filter(|(_, l)| l.torrent() == Some(torrent));
            let room = self.in_progress < MAX_CAUSED_BY_STRANGERS
                && of_torrent.count() < MAX_OF_TORRENT
                && self.taken.wait(CAUSED_BY_STRANGERS, now).is_zero();
            if !room || !self.by_torrent.take(torrent, OF_TORRENT, now) {
                return None;
            }
            self.taken.charge(CAUSED_BY_STRANGERS, now);
            self.in_progress += 1;
        }
        Some(self.lookups.insert(lookup))
    }

    /// What a name that is being looked up is for.
    pub fn get(&self, id: LookupId) -> Option<&Lookup> {
        self.lookups.get(id)
    }

    /// A look-up has ended, well or not. Returns what it was for; `None` where there is none of that id.
    pub fn ended(&mut self, id: LookupId) -> Option<Lookup> {
        let lookup = self.lookups.remove(id)?;
        if lookup.is_caused_by_stranger() {
            self.in_progress = self.in_progress.saturating_sub(1);
        }
        Some(lookup)
    }

    /// What must hold after every step.
    ///
    /// # Errors
    /// The name of the first rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        let caused = self.lookups.iter().filter(|(_, lookup)| lookup.is_caused_by_stranger());
        let bounded = self.by_torrent.is_bounded();
        if !bounded
            || caused.count() as u32 != self.in_progress
            || self.in_progress > MAX_CAUSED_BY_STRANGERS
        {
            return Err("look-ups that strangers cause are counted and bounded");
        }
        Ok(())
    }

    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    #[cfg(feature = "corruption")]
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "look-ups that strangers cause are counted and bounded" => self.in_progress += 1,
            _ => return None,
        }
        Some(())
    }
}
