//! Look-ups of names: of trackers, of peers that trackers name so, and of nodes of the DHT.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use serde::{Deserialize, Serialize};

use super::super::Engine;
use crate::api::{Action, LookupError, ViolatedRule};
use crate::base::addr::{Scope, scope};
use crate::base::ids::{LookupId, TorrentId};
use crate::base::pace::{Pace, Taken};
use crate::base::slots::SlotMap;
use crate::base::time::Instant;
use crate::tracker::PeerHost;

/// Host names whose addresses are remembered for the last announce.
const MAX_NAMES: usize = 1000;
/// Look-ups that strangers cause beside those of trackers: names of peers, and of nodes that torrents
/// name. So many at once, then one in two seconds.
const CAUSED_BY_STRANGERS: Pace = Pace::new(20, 2000);
/// Of those, in progress at the same time: names that nobody answers for must not fill the resolver.
const MAX_CAUSED_BY_STRANGERS: u32 = 4;

/// What a name is looked up for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in super::super) enum Lookup {
    /// The host of a UDP tracker.
    UdpTracker { announce: u64, host: String, port: u16, path: String },
    /// A node of the DHT that the user or the configuration named.
    DhtNode { port: u16 },
    /// A node of the DHT that a torrent named.
    NamedNode { port: u16 },
    /// A peer that a tracker in that scope named by host name.
    Peer { torrent: TorrentId, port: u16, teller: Scope },
}

impl Lookup {
    fn is_caused_by_stranger(&self) -> bool {
        matches!(self, Self::NamedNode { .. } | Self::Peer { .. })
    }
}

/// The budget of look-ups that strangers cause.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct CausedByStrangers {
    taken: Taken,
    in_progress: u32,
}

impl CausedByStrangers {
    fn take(&mut self, now: Instant) -> bool {
        let may =
            self.in_progress < MAX_CAUSED_BY_STRANGERS && self.taken.take(CAUSED_BY_STRANGERS, now);
        self.in_progress += u32::from(may);
        may
    }

    fn give(&mut self) {
        self.in_progress = self.in_progress.saturating_sub(1);
    }

    pub(super) fn check(&self, lookups: &SlotMap<LookupId, Lookup>) -> Result<(), &'static str> {
        let count = lookups.iter().filter(|(_, lookup)| lookup.is_caused_by_stranger()).count();
        if count as u32 != self.in_progress || self.in_progress > MAX_CAUSED_BY_STRANGERS {
            return Err("look-ups that strangers cause are counted and bounded");
        }
        Ok(())
    }
}

impl Engine {
    pub(super) fn look_up(&mut self, lookup: Lookup, host: String) {
        if lookup.is_caused_by_stranger() && !self.trackers.caused.take(self.ctx.now) {
            return;
        }
        let id = self.trackers.lookups.insert(lookup);
        self.ctx.out.actions.push(Action::Resolve(id, host));
    }

    /// Addresses at once, host names looked up. A tracker in that scope says so.
    pub(super) fn addresses(
        &mut self,
        key: u64,
        peers: Vec<PeerHost>,
        teller: Scope,
    ) -> Vec<SocketAddr> {
        let torrent = self.trackers.announces.get(&key).map(|announce| announce.torrent);
        let mut found = Vec::new();
        for peer in peers {
            match (peer, torrent) {
                (PeerHost::Addr(addr), _) if teller.may_name(scope(addr.ip())) => found.push(addr),
                (PeerHost::Name(host, port), Some(torrent)) => {
                    self.look_up(Lookup::Peer { torrent, port, teller }, host);
                }
                _ => {}
            }
        }
        found
    }

    /// Looks up the name of a node of the DHT.
    pub(in super::super) fn resolve_dht_node(&mut self, host: String, port: u16) {
        self.look_up(Lookup::DhtNode { port }, host);
    }

    /// Looks up the name of a node of the DHT that a torrent names.
    pub(in super::super) fn resolve_named_node(&mut self, host: String, port: u16) {
        self.look_up(Lookup::NamedNode { port }, host);
    }

    /// A name was looked up.
    pub(in super::super) fn resolved(
        &mut self,
        id: LookupId,
        result: Result<Vec<IpAddr>, LookupError>,
    ) {
        let Some(lookup) = self.trackers.lookups.remove(id) else {
            return self.violated(ViolatedRule::UnknownCompletion);
        };
        if lookup.is_caused_by_stranger() {
            self.trackers.caused.give();
        }
        let mut ips = result.unwrap_or_default();
        match lookup {
            Lookup::DhtNode { port } => self.dht_resolved(&ips, port),
            Lookup::NamedNode { port } => {
                let nodes = ips.into_iter().take(2).map(|ip| SocketAddr::new(ip, port));
                nodes.for_each(|node| self.dht_named(node));
            }
            Lookup::Peer { torrent, port, teller } => {
                ips.retain(|ip| teller.may_name(scope(*ip)));
                if let Some(torrent) = self.torrents.get_mut(torrent) {
                    torrent.peer_resolved(&mut self.ctx, &ips, port);
                }
            }
            Lookup::UdpTracker { announce, host, port, path } => {
                if self.trackers.names.len() >= MAX_NAMES {
                    self.trackers.names.pop_first();
                }
                self.trackers.names.insert(host, ips.clone());
                self.udp_legs(announce, &ips, port, &path);
            }
        }
    }
}

#[cfg(feature = "corruption")]
impl CausedByStrangers {
    /// Breaks a rule that [`Self::check`] knows; `None` where there is nothing to break it with.
    pub fn corrupt(&mut self, rule: &str) -> Option<()> {
        match rule {
            "look-ups that strangers cause are counted and bounded" => self.in_progress += 1,
            _ => return None,
        }
        Some(())
    }
}
