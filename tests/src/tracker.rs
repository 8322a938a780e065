//! A simulated HTTP tracker that remembers every announce.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use eddyline::base::addr::Scope;
use eddyline::base::time::Instant;
use eddyline::bencode::Encoder;

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

/// A tracker.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    /// Everything that was announced.
    pub announces: Vec<Announce>,
    /// Peers it names.
    pub peers: Vec<SocketAddr>,
    /// Seconds between announces that it asks for.
    pub interval: u32,
    /// Whether it answers at all.
    pub down: bool,
    /// Which address families reach it.
    pub reach: Reach,
    /// Seeds that it tells of in a scrape.
    pub complete: u32,
    /// Where it redirects to, and the scope of its own address.
    pub redirect: Option<(String, Scope)>,
}

impl Tracker {
    /// Answers a scrape for the torrent in the query.
    pub(crate) fn scrape(&self, url: &str) -> Vec<u8> {
        let hash = url.split_once("info_hash=").map_or("", |(_, hash)| hash);
        let bytes: Vec<u8> = percent_encoding::percent_decode_str(hash).collect();
        let mut out = Encoder::default();
        out.dict().bytes(b"files").dict().bytes(&bytes).dict();
        out.bytes(b"complete").int(self.complete.into());
        out.bytes(b"downloaded").int(0).bytes(b"incomplete").int(0);
        out.end().end().end();
        out.finish()
    }

    /// Answers one announce; `None` when it does not.
    pub(crate) fn answer(&mut self, url: &str, at: Instant, ipv6: bool) -> Option<Vec<u8>> {
        let query = url.split_once('?').map_or("", |(_, query)| query);
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let query = pairs.map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
        self.announces.push(Announce { at, ipv6, query });
        if self.down {
            return None;
        }
        let mut compact = Vec::new();
        for peer in &self.peers {
            if let SocketAddr::V4(v4) = peer {
                compact.extend(v4.ip().octets());
                compact.extend(v4.port().to_be_bytes());
            }
        }
        let mut out = Encoder::default();
        out.dict().bytes(b"interval").int(self.interval.max(60).into());
        out.bytes(b"peers").bytes(&compact).end();
        Some(out.finish())
    }
}
