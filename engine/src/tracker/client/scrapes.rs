//! Scrapes of many torrents in one request (BEP 15, 48): what is to be asked is gathered for a moment.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::http::{Exchange, HTTP_SECONDS, Purpose};
use super::{Around, Output, TrackerClient};
use crate::base::hash::Sha1Hash;
use crate::base::ids::TorrentId;
use crate::base::time::Instant;
use crate::tracker::{SwarmCounts, TrackerRef, host_of, scrape_url, udp_host};

/// Torrents in one request: a URL should not grow beyond what servers take, 4 KiB.
const MOST_BY_HTTP: usize = 40;
/// What fits into a datagram (BEP 15).
const MOST_BY_UDP: usize = 74;
/// How long others may join.
const GATHER: Duration = Duration::from_secs(2);
/// Places that something is gathered for, and trackers that are known to answer for one torrent alone.
const MAX_PLACES: usize = 1000;

/// Where a scrape goes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub(super) enum Place {
    /// The announce URL, the address family, and whether it may lead near us.
    Http(String, Option<bool>, bool),
    /// The address of a UDP tracker.
    Udp(SocketAddr),
}

/// A torrent whose swarm is to be counted.
pub(super) type Counted = (Sha1Hash, TorrentId, TrackerRef);

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Gathering {
    /// The order in which they began, which names of hosts must not decide.
    number: u64,
    at: Instant,
    torrents: BTreeMap<Sha1Hash, (TorrentId, TrackerRef)>,
}

/// A scrape under way.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Scraping {
    place: Place,
    torrents: Vec<Counted>,
}

/// All scrapes.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Scrapes {
    gathering: BTreeMap<Place, Gathering>,
    begun: u64,
    under_way: BTreeMap<u64, Scraping>,
    /// Trackers that answer for one torrent alone, however many were asked about.
    singly: BTreeSet<String>,
}

impl Scrapes {
    fn add(&mut self, place: Place, counted: Counted, now: Instant) {
        if self.gathering.len() >= MAX_PLACES && !self.gathering.contains_key(&place) {
            return;
        }
        self.begun += 1;
        let (number, at) = (self.begun, now + GATHER);
        let unasked = || Gathering { number, at, torrents: BTreeMap::new() };
        let gathering = self.gathering.entry(place).or_insert_with(unasked);
        gathering.torrents.insert(counted.0, (counted.1, counted.2));
    }

    /// What is to be asked now.
    fn take_due(&mut self, now: Instant) -> Vec<(Place, Vec<Counted>)> {
        let is_due = |(place, gathering): &(&Place, &Gathering)| {
            let most = if matches!(place, Place::Udp(..)) { MOST_BY_UDP } else { MOST_BY_HTTP };
            gathering.at <= now || gathering.torrents.len() >= most
        };
        let places = self.gathering.iter().filter(is_due).map(|(place, _)| place.clone());
        let places: Vec<Place> = places.collect();
        let taken = places.iter().filter_map(|place| self.gathering.remove_entry(place));
        let mut due: Vec<_> = taken.collect();
        due.sort_by_key(|(_, gathering)| gathering.number);
        let list = |gathering: Gathering| {
            gathering.torrents.into_iter().map(|(hash, (torrent, at))| (hash, torrent, at))
        };
        due.into_iter().map(|(place, gathering)| (place, list(gathering).collect())).collect()
    }

    /// When something is to be asked.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.gathering.values().map(|gathering| gathering.at).min()
    }
}

impl TrackerClient {
    /// The swarm of a torrent is to be counted.
    pub(super) fn count(
        &mut self,
        place: Place,
        counted: Counted,
        around: &mut Around,
        out: &mut Vec<Output>,
    ) {
        self.scrapes.add(place, counted, around.now);
        self.send_scrapes(around, out);
    }

    /// Asks what is to be asked now, as far as the budgets of the hosts allow; else the next announce brings it.
    pub(super) fn send_scrapes(&mut self, around: &mut Around, out: &mut Vec<Output>) {
        for (place, torrents) in self.scrapes.take_due(around.now) {
            let most = match &place {
                Place::Http(url, ..) if self.scrapes.singly.contains(url) => 1,
                Place::Http(..) => MOST_BY_HTTP,
                Place::Udp(..) => MOST_BY_UDP,
            };
            for torrents in torrents.chunks(most) {
                self.send_scrape(&place, torrents.to_vec(), around, out);
            }
        }
    }

    fn send_scrape(
        &mut self,
        place: &Place,
        torrents: Vec<Counted>,
        around: &mut Around,
        out: &mut Vec<Output>,
    ) {
        let hashes: Vec<Sha1Hash> = torrents.iter().map(|(hash, ..)| *hash).collect();
        self.next += 1;
        let (key, now) = (self.next, around.now);
        match place {
            Place::Http(url, ipv6, near) => {
                let Some(url) = scrape_url(url, &hashes) else { return };
                let host = self.hosts.key(host_of(&url), now);
                if !self.hosts.another(&host, now) {
                    return;
                }
                self.get(
                    &url,
                    Exchange::new(Purpose::Scrape(key), *ipv6, HTTP_SECONDS, *near),
                    out,
                );
            }
            Place::Udp(to) => {
                let host = self.hosts.key(udp_host(*to), now);
                if !self.hosts.another(&host, now) {
                    return;
                }
                let mut packets = Vec::new();
                self.udp.scrape(key, *to, hashes, now, around.rng, &mut packets);
                Self::send(packets, out);
            }
        }
        self.scrapes.under_way.insert(key, Scraping { place: place.clone(), torrents });
    }

    /// A scrape has ended; `counts` says what was told of a torrent, by its hash and its place in the request.
    /// Returns whether it was one.
    pub(super) fn scraped(
        &mut self,
        key: u64,
        counts: impl Fn(usize, &Sha1Hash) -> Option<SwarmCounts>,
        out: &mut Vec<Output>,
    ) -> bool {
        let Some(Scraping { place, torrents }) = self.scrapes.under_way.remove(&key) else {
            return false;
        };
        let mut told = 0;
        for (number, (hash, torrent, tracker)) in torrents.iter().enumerate() {
            let Some(counts) = counts(number, hash) else { continue };
            told += 1;
            out.push(Output::Scraped { torrent: *torrent, tracker: *tracker, counts });
        }
        if let Place::Http(url, ..) = place
            && told == 1
            && torrents.len() > 1
            && self.scrapes.singly.len() < MAX_PLACES
        {
            self.scrapes.singly.insert(url);
        }
        true
    }
}
