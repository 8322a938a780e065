//! Look-ups of names: of trackers, of peers that trackers name so, and of nodes of the DHT. Each is remembered with
//! what it is for until its answer comes; those that strangers cause have a budget.

#[cfg(test)]
mod tests;

use alloc::string::String;
use serde::{Deserialize, Serialize};

use crate::base::addr::Scope;
use crate::base::ids::{LookupId, TorrentId};
use crate::base::pace::{Pace, Taken};
use crate::base::slots::SlotMap;
use crate::base::time::Instant;

/// Look-ups that strangers cause beside those of trackers: names of peers, and of nodes that torrents
/// name. So many at once, then one in two seconds.
const CAUSED_BY_STRANGERS: Pace = Pace::new(20, 2000);
/// Of those, in progress at the same time: names that nobody answers for must not fill the resolver.
const MAX_CAUSED_BY_STRANGERS: u32 = 4;

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
    fn is_caused_by_stranger(&self) -> bool {
        matches!(self, Self::NamedNode { .. } | Self::Peer { .. })
    }
}

/// The look-ups in progress.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Lookups {
    lookups: SlotMap<LookupId, Lookup>,
    /// What strangers have caused lately, and what of it is in progress.
    taken: Taken,
    in_progress: u32,
}

impl Lookups {
    /// A name is wanted. It is to be looked up under this id; `None` where a stranger has caused enough.
    pub fn wanted(&mut self, lookup: Lookup, now: Instant) -> Option<LookupId> {
        if lookup.is_caused_by_stranger() {
            let room = self.in_progress < MAX_CAUSED_BY_STRANGERS;
            if !room || !self.taken.take(CAUSED_BY_STRANGERS, now) {
                return None;
            }
            self.in_progress += 1;
        }
        Some(self.lookups.insert(lookup))
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
        if caused.count() as u32 != self.in_progress || self.in_progress > MAX_CAUSED_BY_STRANGERS {
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
