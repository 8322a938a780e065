//! What torrents want of parts of the engine that they do not see: trackers, DHT, local network. One list of
//! one kind of thing, granted by the engine in one place (`engine/wishes.rs`), in an order that is said there.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

use crate::base::ids::TorrentId;
use crate::tracker::Order;

/// What one torrent wants.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Wish {
    /// This announce is to be made.
    Announce(Order),
    /// DHT and local network are to be asked for its peers.
    FindPeers,
    /// It turned out to be private: it is not announced in the DHT any more.
    LeaveDht,
}

/// What was wanted and is not granted yet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Wishes {
    waiting: Vec<(TorrentId, Wish)>,
}

impl Wishes {
    /// A torrent wants something.
    pub fn add(&mut self, torrent: TorrentId, wish: Wish) {
        self.waiting.push((torrent, wish));
    }

    /// Whether announces are wanted.
    pub fn has_announces(&self) -> bool {
        self.waiting.iter().any(|(_, wish)| matches!(wish, Wish::Announce(_)))
    }

    /// The announces that are wanted, in the order in which they were.
    pub fn take_announces(&mut self) -> Vec<(TorrentId, Order)> {
        let mut announces = Vec::new();
        let waiting = core::mem::take(&mut self.waiting);
        for (torrent, wish) in waiting {
            match wish {
                Wish::Announce(order) => announces.push((torrent, order)),
                wish => self.waiting.push((torrent, wish)),
            }
        }
        announces
    }

    /// Torrents whose peers are to be looked for, in order of their ids.
    pub fn take_searches(&mut self) -> BTreeSet<TorrentId> {
        self.take(|wish| matches!(wish, Wish::FindPeers))
    }

    /// Torrents that are not announced in the DHT any more, in order of their ids.
    pub fn take_departures(&mut self) -> BTreeSet<TorrentId> {
        self.take(|wish| matches!(wish, Wish::LeaveDht))
    }

    fn take(&mut self, such: impl Fn(&Wish) -> bool) -> BTreeSet<TorrentId> {
        if self.waiting.is_empty() {
            return BTreeSet::new();
        }
        self.waiting.extract_if(.., |(_, wish)| such(wish)).map(|(torrent, _)| torrent).collect()
    }
}

#[cfg(test)]
mod tests {
    //! Unit tests of wishes.

    use super::*;

    #[test]
    fn each_kind_is_taken_by_itself_and_a_torrent_is_searched_for_once() {
        let [one, two] = [1, 2].map(TorrentId::from_u64);
        let mut wishes = Wishes::default();
        for torrent in [two, one, two] {
            wishes.add(torrent, Wish::FindPeers);
        }
        wishes.add(one, Wish::LeaveDht);
        assert!(!wishes.has_announces() && wishes.take_announces().is_empty());
        assert_eq!(wishes.take_departures(), [one].into());
        assert_eq!(wishes.take_searches(), [one, two].into());
        assert!(wishes.take_searches().is_empty() && wishes.take_departures().is_empty());
    }
}
