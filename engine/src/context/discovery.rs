//! What torrents want of parts of the engine that they do not see: trackers, DHT, local network. One list of
//! one kind of thing, granted by the engine in one place (`engine/discovery.rs`), in an order that is said there.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::base::ids::TorrentId;
use crate::tracker::Order;

/// What one torrent wants.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum DiscoveryRequest {
    /// This announce is to be made.
    Announce(Order),
    /// DHT and local network are to be asked for its peers.
    FindPeers,
    /// It turned out to be private: it is not announced in the DHT any more.
    LeaveDht,
}

/// What was wanted and is not granted yet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct DiscoveryRequests {
    waiting: Vec<(TorrentId, DiscoveryRequest)>,
}

impl DiscoveryRequests {
    /// A torrent wants something.
    pub fn add(&mut self, torrent: TorrentId, request: DiscoveryRequest) {
        self.waiting.push((torrent, request));
    }

    /// Whether announces are wanted.
    pub fn has_announces(&self) -> bool {
        self.waiting.iter().any(|(_, request)| matches!(request, DiscoveryRequest::Announce(_)))
    }

    /// The announces that are wanted, in the order in which they were.
    pub fn take_announces(&mut self) -> Vec<(TorrentId, Order)> {
        let mut announces = Vec::new();
        let waiting = core::mem::take(&mut self.waiting);
        for (torrent, request) in waiting {
            match request {
                DiscoveryRequest::Announce(order) => announces.push((torrent, order)),
                request => self.waiting.push((torrent, request)),
            }
        }
        announces
    }

    /// Torrents whose peers are to be looked for, in order of their ids.
    pub fn take_searches(&mut self) -> BTreeSet<TorrentId> {
        self.take(|request| matches!(request, DiscoveryRequest::FindPeers))
    }

    /// Torrents that are not announced in the DHT any more, in order of their ids.
    pub fn take_departures(&mut self) -> BTreeSet<TorrentId> {
        self.take(|request| matches!(request, DiscoveryRequest::LeaveDht))
    }

    fn take(&mut self, such: impl Fn(&DiscoveryRequest) -> bool) -> BTreeSet<TorrentId> {
        if self.waiting.is_empty() {
            return BTreeSet::new();
        }
        self.waiting
            .extract_if(.., |(_, request)| such(request))
            .map(|(torrent, _)| torrent)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of requests.

    use super::*;

    #[test]
    fn each_kind_is_taken_by_itself_and_a_torrent_is_searched_for_once() {
        let [one, two] = [1, 2].map(TorrentId::from_u64);
        let mut requests = DiscoveryRequests::default();
        for torrent in [two, one, two] {
            requests.add(torrent, DiscoveryRequest::FindPeers);
        }
        requests.add(one, DiscoveryRequest::LeaveDht);
        assert!(!requests.has_announces() && requests.take_announces().is_empty());
        assert_eq!(requests.take_departures(), [one].into());
        assert_eq!(requests.take_searches(), [one, two].into());
        assert!(requests.take_searches().is_empty() && requests.take_departures().is_empty());
    }
}
