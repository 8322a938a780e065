//! Simulated trackers, over HTTP and UDP. They remember every announce, and name the peers they
//! were told to name, or those that announced themselves.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use eddyline::base::addr::Scope;
use eddyline::base::hash::Sha1Hash;
use eddyline::base::time::Instant;
use eddyline::bencode::Encoder;
use eddyline::tracker::{AnnounceEvent, UdpRequest};

/// Peers named at once.
const MOST_NAMED: usize = 50;

/// One announce as a tracker got it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Announce {
    /// When.
    pub at: Instant,
    /// Whether it came over IPv6.
    pub ipv6: bool,
    /// Parameters of the query, decoded as far as they are text.
    pub query: BTreeMap<String, String>,
}

impl Announce {
    /// The event, empty for a regular announce.
    pub fn event(&self) -> &str {
        self.query.get("event").map_or("", String::as_str)
    }
}

/// The address families over which something can be reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Reach {
    /// IPv4 only.
    #[default]
    V4,
    /// IPv6 only.
    V6,
    /// Both.
    Both,
}

impl Reach {
    /// Whether a request over the family `ipv6`, or over any family, arrives.
    pub fn admits(self, ipv6: Option<bool>) -> bool {
        match self {
            Self::V4 => ipv6 != Some(true),
            Self::V6 => ipv6 != Some(false),
            Self::Both => true,
        }
    }
}

/// The peers of each torrent, as they announced themselves.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    peers: BTreeMap<String, BTreeSet<SocketAddr>>,
    turn: usize,
}

impl Registry {
    fn announce(&mut self, torrent: &str, peer: SocketAddr, stopped: bool) -> Vec<SocketAddr> {
        let peers = self.peers.entry(torrent.to_owned()).or_default();
        if stopped {
            peers.remove(&peer);
            return Vec::new();
        }
        peers.insert(peer);
        self.turn += 7;
        let others = peers.iter().filter(|other| **other != peer).copied();
        let others: Vec<_> = others.collect();
        let start = if others.is_empty() { 0 } else { self.turn % others.len() };
        others.iter().cycle().skip(start).take(MOST_NAMED.min(others.len())).copied().collect()
    }
}

/// An HTTP tracker.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    /// Everything that was announced, where it is kept.
    pub announces: Vec<Announce>,
    /// Whether nothing is kept.
    pub forgetful: bool,
    /// Peers it names.
    pub peers: Vec<SocketAddr>,
    /// Names everyone who announced, too.
    pub registry: Option<Registry>,
    /// Seconds between announces that it asks for.
    pub interval: u32,
    /// What it answers, word by word, in place of an honest reply.
    pub says: Option<Vec<u8>>,
    /// Whether it answers at all.
    pub down: bool,
    /// How long it takes; one that takes longer than is waited for is silent.
    pub takes: Duration,
    /// Scrapes that it answered: how many torrents each was for.
    pub scrapes: Vec<usize>,
    /// Which address families reach it.
    pub reach: Reach,
    /// Seeds that it tells of in a scrape.
    pub complete: u32,
    /// What it answers, one after the other, in place of everything else, where there is any.
    pub replies: VecDeque<Vec<u8>>,
    /// Where it redirects to, and the scope of its own address.
    pub redirect: Option<(String, Scope)>,
}

impl Tracker {
    /// Answers a scrape for the torrents in the query.
    pub(crate) fn scrape(&mut self, url: &str) -> Vec<u8> {
        let hashes = url.split("info_hash=").skip(1);
        let hashes = hashes.map(|rest| rest.split('&').next().unwrap_or_default());
        let decoded = |hash| percent_encoding::percent_decode_str(hash).collect();
        let hashes: BTreeSet<Vec<u8>> = hashes.map(decoded).collect();
        self.scrapes.push(hashes.len());
        let mut out = Encoder::default();
        out.dict().bytes(b"files").dict();
        for hash in &hashes {
            out.bytes(hash).dict();
            out.bytes(b"complete").int(self.complete.into());
            out.bytes(b"downloaded").int(0).bytes(b"incomplete").int(0);
            out.end();
        }
        out.end().end();
        out.finish()
    }

    /// Answers one announce; `None` when it does not.
    pub(crate) fn answer(
        &mut self,
        url: &str,
        at: Instant,
        ipv6: bool,
        from: IpAddr,
    ) -> Option<Vec<u8>> {
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query: BTreeMap<String, String> =
            pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        let text = |key: &str| query.get(key).map_or("", String::as_str);
        let mut named = self.peers.clone();
        if let Some(registry) = &mut self.registry {
            let peer = SocketAddr::new(from, text("port").parse().unwrap_or(0));
            let stopped = text("event") == "stopped";
            named.extend(registry.announce(text("info_hash"), peer, stopped));
        }
        if !self.forgetful {
            self.announces.push(Announce { at, ipv6, query });
        }
        if self.down {
            return None;
        }
        if self.says.is_some() {
            return self.says.clone();
        }
        if let Some(reply) = self.replies.pop_front() {
            self.replies.push_back(reply.clone());
            return Some(reply);
        }
        let mut out = Encoder::default();
        out.dict().bytes(b"interval").int(self.interval.max(60).into());
        out.bytes(b"peers").bytes(&compact(&named)).end();
        Some(out.finish())
    }
}

fn compact(peers: &[SocketAddr]) -> Vec<u8> {
    let mut out = Vec::new();
    for peer in peers {
        if let SocketAddr::V4(v4) = peer {
            out.extend(v4.ip().octets());
            out.extend(v4.port().to_be_bytes());
        }
    }
    out
}

/// A UDP tracker (BEP 15).
#[derive(Clone, Debug, Default)]
pub struct UdpTracker {
    /// When and what for it was announced to.
    pub announces: Vec<(Instant, Sha1Hash, AnnounceEvent)>,
    /// Scrapes that it answered: how many torrents each was for.
    pub scrapes: Vec<usize>,
    /// How many connection ids it was asked for.
    pub connects: u32,
    /// Names everyone who announced.
    pub registry: Registry,
    /// Whether it answers at all.
    pub down: bool,
    /// Connection ids it gave out, with their owners and ages.
    connections: BTreeMap<u64, (SocketAddr, Instant)>,
}

impl UdpTracker {
    /// Answers a packet; `None` when it does not.
    pub(crate) fn answer(
        &mut self,
        from: SocketAddr,
        data: &[u8],
        now: Instant,
    ) -> Option<Vec<u8>> {
        if self.down {
            return None;
        }
        match UdpRequest::decode(data)? {
            UdpRequest::Connect { transaction } => {
                self.connects += 1;
                let id = self.connections.len() as u64 + 77;
                self.connections.insert(id, (from, now));
                let mut out = vec![0; 4];
                out.extend(transaction.to_be_bytes());
                out.extend(id.to_be_bytes());
                Some(out)
            }
            UdpRequest::Announce { connection, transaction, params, .. } => {
                let known = self.connections.get(&connection);
                // A tracker honours an id for two minutes (BEP 15).
                let valid = known.is_some_and(|(owner, since)| {
                    *owner == from && now.millis_since(*since) < 120_000
                });
                if !valid {
                    let mut out = 3u32.to_be_bytes().to_vec();
                    out.extend(transaction.to_be_bytes());
                    out.extend(b"connection id expired");
                    return Some(out);
                }
                self.announces.push((now, params.info_hash, params.event));
                let peer = SocketAddr::new(from.ip(), params.port);
                let stopped = params.event == AnnounceEvent::Stopped;
                let named = self.registry.announce(&params.info_hash.to_hex(), peer, stopped);
                let mut out = 1u32.to_be_bytes().to_vec();
                out.extend(transaction.to_be_bytes());
                out.extend(1800u32.to_be_bytes());
                out.extend([0; 8]);
                out.extend(compact(&named));
                Some(out)
            }
            UdpRequest::Scrape { transaction, info_hashes, .. } => {
                self.scrapes.push(info_hashes.len());
                let mut out = 2u32.to_be_bytes().to_vec();
                out.extend(transaction.to_be_bytes());
                let counts = [1u32, 7, 2].map(u32::to_be_bytes).concat();
                info_hashes.iter().for_each(|_| out.extend(&counts));
                Some(out)
            }
        }
    }
}
