//! Stand-ins for what a redacted trace must not tell: each is the same wherever it occurs, and keeps
//! nothing of what it stands for but its kind and its place among its like.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::api::{FileStatus, LocationId};
use crate::base::addr::{Scope, scope};
use crate::base::hash::{Sha1Hash, Sha256Hash};
use crate::filter::{Filter, FilterBuilder};
use crate::metainfo::Masks;
use crate::wire::PeerId;

/// What stands for what. Addresses and peer ids are met first and settled all at once, so that
/// their order is kept.
#[derive(Clone, Debug, Default)]
pub(super) struct StandIns {
    ips: BTreeMap<IpAddr, IpAddr>,
    peers: BTreeMap<PeerId, PeerId>,
    hashes: BTreeMap<Sha1Hash, Sha1Hash>,
    long_hashes: BTreeMap<Sha256Hash, Sha256Hash>,
    pieces: BTreeMap<Sha1Hash, Sha1Hash>,
    names: BTreeMap<String, String>,
    urls: BTreeMap<String, String>,
    /// Nodes of the DHT.
    nodes: BTreeMap<[u8; 20], [u8; 20]>,
    places: BTreeMap<LocationId, LocationId>,
    moments: BTreeMap<i64, i64>,
    /// Ids of conversations with UDP trackers: theirs in the record, and ours now.
    transactions: BTreeMap<u32, u32>,
    settled: bool,
}

impl StandIns {
    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ips.len()
            + self.peers.len()
            + self.hashes.len()
            + self.long_hashes.len()
            + self.pieces.len()
            + self.names.len()
            + self.urls.len()
            + self.nodes.len()
            + self.places.len()
    }

    /// Notes an address, until [`Self::settle`].
    pub(super) fn meet(&mut self, ip: IpAddr) {
        if !self.settled {
            let ip = ip.to_canonical();
            self.ips.insert(ip, ip);
        }
    }

    /// Notes the address in a URL.
    pub(super) fn meet_in_url(&mut self, url: &str) {
        let (name, ..) = parts_of(url.split_once("://").map_or(url, |(_, rest)| rest));
        if let Ok(ip) = name.trim_matches(['[', ']']).parse() {
            self.meet(ip);
        }
    }

    /// Notes a peer id.
    pub(super) fn meet_peer(&mut self, id: PeerId) {
        self.peers.insert(id, id);
    }

    /// Chooses the stand-ins of all addresses and peer ids, in their order.
    pub(super) fn settle(&mut self) {
        self.settled = true;
        let mut next = BTreeMap::<u8, u32>::new();
        for (ip, stand_in) in &mut self.ips {
            let (class, make): (u8, fn(u32) -> IpAddr) = match ip {
                ip if ip.is_unspecified() => continue,
                IpAddr::V4(v4) if v4.is_multicast() => (5, |n| v4_in([239, 0], n)),
                IpAddr::V6(v6) if v6.is_multicast() => (6, |n| v6_in(0xff02, 0, n)),
                IpAddr::V4(v4) if v4.is_broadcast() => continue,
                IpAddr::V4(v4) if v4.is_loopback() => (0, |n| v4_in([127, 0], n)),
                IpAddr::V4(_) if scope(*ip) != Scope::Public => (1, |n| v4_in([10, 0], n)),
                IpAddr::V4(_) => (2, |n| v4_in([11, 0], n)),
                IpAddr::V6(v6) if v6.is_loopback() => continue,
                IpAddr::V6(_) if scope(*ip) != Scope::Public => (3, |n| v6_in(0xfd00, 0, n)),
                IpAddr::V6(_) => (4, |n| v6_in(0x2000, 0, n)),
            };
            let number = next.entry(class).or_default();
            *number += 1;
            *stand_in = make(*number);
        }
        for (number, stand_in) in self.peers.values_mut().enumerate() {
            let mut bytes = *b"-XX0000-000000000000";
            bytes[8..]
                .copy_from_slice(format!("{:012}", number as u64 % 1_000_000_000_000).as_bytes());
            *stand_in = PeerId(bytes);
        }
    }

    pub(super) fn ip(&self, ip: IpAddr) -> IpAddr {
        // Whatever was not met stands for nobody.
        let nobody = || match ip {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        self.ips.get(&ip.to_canonical()).copied().unwrap_or_else(nobody)
    }

    /// Of all who were met, those at addresses that it blocks: no other address occurs in the run.
    pub(super) fn filter(&self, filter: &Filter) -> Filter {
        let mut blocked = FilterBuilder::default();
        for (_, stand_in) in self.ips.iter().filter(|(ip, _)| filter.blocks(**ip)) {
            blocked.block(*stand_in, *stand_in);
        }
        blocked.build()
    }

    pub(super) fn peer(&self, id: PeerId) -> PeerId {
        self.peers.get(&id).copied().unwrap_or(PeerId([b'x'; 20]))
    }

    #[cfg(feature = "dht")]
    pub(super) fn node(&mut self, id: [u8; 20]) -> [u8; 20] {
        let number = self.nodes.len();
        let make = || Sha1Hash::of(format!("node {number}").as_bytes()).0;
        *self.nodes.entry(id).or_insert_with(make)
    }

    /// The folder that the program was started with is number 0 everywhere.
    pub(super) fn place(&mut self, place: LocationId) -> LocationId {
        let number = self.places.len() as u32 + 1;
        match place {
            LocationId(0) => place,
            _ => *self.places.entry(place).or_insert(LocationId(number)),
        }
    }

    /// The time of a change, which is only compared; 0 means that there is none.
    pub(super) fn moment(&mut self, moment: i64) -> i64 {
        let number = self.moments.len() as i64 + 1;
        match moment {
            0 | FileStatus::HOLE => moment,
            _ => *self.moments.entry(moment).or_insert(number),
        }
    }

    /// A host and its port, as `HOST:PORT`.
    pub(super) fn host(&mut self, host: &str) -> String {
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let known = self.names.len() + 1;
        let stand_in = self.names.entry(name.to_string());
        let name = stand_in.or_insert_with(|| format!("host-{known}.example")).clone();
        format!("{name}:6881")
    }

    /// What stood in the record for this conversation is called `now` here.
    pub(super) fn pair(&mut self, recorded: u32, now: u32) {
        self.transactions.insert(recorded, now);
    }

    pub(super) fn transaction(&self, recorded: u32) -> u32 {
        self.transactions.get(&recorded).copied().unwrap_or(0)
    }

    pub(super) fn addr(&self, addr: SocketAddr) -> SocketAddr {
        SocketAddr::new(self.ip(addr.ip()), addr.port())
    }

    pub(super) fn info_hash(&mut self, hash: Sha1Hash) -> Sha1Hash {
        let number = self.hashes.len();
        let make = || Sha1Hash::of(format!("torrent {number}").as_bytes());
        *self.hashes.entry(hash).or_insert_with(make)
    }

    pub(super) fn piece(&mut self, hash: Sha1Hash) -> Sha1Hash {
        let number = self.pieces.len();
        let make = || Sha1Hash::of(format!("piece {number}").as_bytes());
        *self.pieces.entry(hash).or_insert_with(make)
    }

    pub(super) fn name(&mut self, name: &str) -> String {
        let number = self.names.len() + 1;
        self.names.entry(name.to_string()).or_insert_with(|| format!("name-{number}")).clone()
    }

    /// A URL with the scheme and the kind of host of the original, and whether it ends in
    /// `announce`.
    pub(super) fn url(&mut self, url: &str) -> String {
        if let Some(known) = self.urls.get(url) {
            return known.clone();
        }
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let known = ["http", "https", "udp", "ws", "wss"];
        let scheme = known.into_iter().find(|known| scheme.eq_ignore_ascii_case(known));
        let scheme = scheme.unwrap_or("http");
        let (name, port, path) = parts_of(rest);
        let bare = name.trim_matches(['[', ']']);
        let name = match bare.parse::<IpAddr>() {
            Ok(ip) => match self.ip(ip) {
                IpAddr::V4(v4) => v4.to_string(),
                IpAddr::V6(v6) => format!("[{v6}]"),
            },
            Err(_) => format!("host-{}.example", self.urls.len() + 1),
        };
        let port = if port.is_empty() { String::new() } else { format!(":{port}") };
        let last = path.rsplit('/').next().unwrap_or_default();
        let path = if last.starts_with("announce") { "/announce" } else { "/path" };
        let stand_in = format!("{scheme}://{name}{port}{path}");
        self.urls.insert(url.to_string(), stand_in.clone());
        stand_in
    }
}

impl Masks for StandIns {
    fn info_hash(&mut self, hash: Sha1Hash) -> Sha1Hash {
        Self::info_hash(self, hash)
    }

    fn long_hash(&mut self, hash: Sha256Hash) -> Sha256Hash {
        let number = self.long_hashes.len();
        let make = || Sha256Hash::of(format!("torrent {number}").as_bytes());
        *self.long_hashes.entry(hash).or_insert_with(make)
    }

    fn piece(&mut self, hash: Sha1Hash) -> Sha1Hash {
        Self::piece(self, hash)
    }

    fn name(&mut self, name: &str) -> String {
        Self::name(self, name)
    }

    fn url(&mut self, url: &str) -> String {
        Self::url(self, url)
    }
}

/// Host, port and path of what stands behind the scheme of a URL, without user and query.
fn parts_of(rest: &str) -> (&str, &str, &str) {
    let place = rest.split(['?', '#']).next().unwrap_or_default();
    let (host, path) = place.split_once('/').unwrap_or((place, ""));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => (name, port, path),
        _ => (host, "", path),
    }
}

fn v4_in(net: [u8; 2], number: u32) -> IpAddr {
    Ipv4Addr::new(net[0], net[1], (number >> 8) as u8, number as u8).into()
}

fn v6_in(first: u16, second: u16, number: u32) -> IpAddr {
    Ipv6Addr::new(first, second, 0, 0, 0, 0, (number >> 16) as u16, number as u16).into()
}
