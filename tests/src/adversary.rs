//! Adversaries: strangers whose aim is damage, and what damage they do.
//!
//! A [`Foe`] follows a strategy (spend, starve, eclipse, poison, deceive) with moves and numbers drawn
//! from entropy, so that a search ([`search`]) can vary them and keep what hurts most. Beside it an
//! honest swarm runs, once with the foe and once without ([`arena`]).

mod arena;
mod moves;
mod packets;
mod peer;
mod search;
mod server;
mod veil;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::content::Content;
use crate::entropy::Entropy;
use crate::node::NodeId;
use crate::scripted::Script;
use crate::world::World;

pub use arena::{Arena, Damage, Harm, Surroundings};
pub use search::{Found, Search, adversary_table, worsened};

use moves::Kind;
use packets::PacketPlan;
use peer::{Common, HostilePeer, PeerPlan, Shared};
use server::ServerPlan;
use veil::Veiled;

/// What a foe tries.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Strategy {
    /// Messages of a few bytes that cost much.
    SpendMessages,
    /// Answers that nobody reads.
    SpendAnswers,
    /// Places, held by connections that bring nothing.
    StarvePlaces,
    /// Send budgets and upload slots.
    StarveSlots,
    /// The fetching of metadata.
    StarveMetadata,
    /// Candidates, by addresses in peer exchange.
    EclipseExchange,
    /// The routing table and lookups of the DHT.
    EclipseDht,
    /// Bad blocks, and gone before they are hashed.
    PoisonBlocks,
    /// Bad metadata.
    PoisonMetadata,
    /// Haves, interest and requests that are lies.
    DeceiveHaves,
    /// The ids of honest peers.
    DeceiveIds,
    /// A tracker.
    SpendTracker,
    /// Queries to the DHT.
    SpendDht,
    /// Announcements on the local network.
    SpendLocal,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Self; 14] = [
        Self::SpendMessages,
        Self::SpendAnswers,
        Self::StarvePlaces,
        Self::StarveSlots,
        Self::StarveMetadata,
        Self::EclipseExchange,
        Self::EclipseDht,
        Self::PoisonBlocks,
        Self::PoisonMetadata,
        Self::DeceiveHaves,
        Self::DeceiveIds,
        Self::SpendTracker,
        Self::SpendDht,
        Self::SpendLocal,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::SpendMessages => "spend: messages",
            Self::SpendAnswers => "spend: answers unread",
            Self::StarvePlaces => "starve: places",
            Self::StarveSlots => "starve: slots",
            Self::StarveMetadata => "starve: metadata",
            Self::EclipseExchange => "eclipse: exchange",
            Self::EclipseDht => "eclipse: DHT",
            Self::PoisonBlocks => "poison: blocks",
            Self::PoisonMetadata => "poison: metadata",
            Self::DeceiveHaves => "deceive: haves",
            Self::DeceiveIds => "deceive: ids",
            Self::SpendTracker => "spend: tracker",
            Self::SpendDht => "spend: DHT",
            Self::SpendLocal => "spend: local network",
        }
    }

    /// Whether the honest begin with a magnet.
    pub fn wants_magnets(self) -> bool {
        matches!(self, Self::StarveMetadata | Self::PoisonMetadata)
    }

    /// Whether the honest find each other without a tracker.
    pub fn wants_trackerless(self) -> bool {
        matches!(self, Self::EclipseDht | Self::SpendDht | Self::SpendLocal)
    }

    fn is_peer(self) -> bool {
        !matches!(self, Self::EclipseDht | Self::SpendTracker | Self::SpendDht | Self::SpendLocal)
    }
}

/// The URL of the tracker that a foe may be.
pub(crate) const FOUL_TRACKER: &str = "http://foul.example/announce";

/// A stranger, or several that act as one.
#[derive(Clone, Debug)]
pub struct Foe {
    /// What it tries.
    pub strategy: Strategy,
    addrs: Vec<IpAddr>,
    /// Whether the honest are told where to find it.
    listens: bool,
    /// New connections in a second, and in all.
    pace: u32,
    most: u32,
    peer: PeerPlan,
    packets: PacketPlan,
    server: ServerPlan,
    /// Whether its connections begin with an encrypted handshake.
    veiled: bool,
    /// Whether it connects over µTP.
    utp: bool,
    /// The other torrent that it goes for, of those who have two.
    aside: Option<Content>,
    made: u32,
    shared: Shared,
    chance: Entropy,
}

/// How many addresses a foe can have at the most, and how many all foes can by their further genes: nearly as many as a
/// torrent has places. Whoever has more of them, in as many networks, is the swarm.
const MAX_ADDRESSES: u32 = 16;
const MANY_ADDRESSES: u32 = 96;

impl Foe {
    /// Draws one; its number makes its addresses.
    pub fn draw(strategy: Strategy, entropy: &mut Entropy, number: u8) -> Self {
        let addresses = entropy.choose(&[1, 1, 4, MAX_ADDRESSES]);
        // All in one block of addresses, or each in one of its own.
        let together = entropy.chance(1, 2);
        let addrs = (0..addresses as u8).map(|n| {
            let ip = if together {
                Ipv4Addr::new(60, number, 7, n + 1)
            } else {
                Ipv4Addr::new(61 + n, number, 7, 1)
            };
            IpAddr::V4(ip)
        });
        let addrs = addrs.collect();
        Self {
            strategy,
            addrs,
            listens: entropy.chance(1, 2),
            pace: entropy.choose(&[1, 4, 16, 40]),
            most: entropy.choose(&[1, 8, 60, 400]),
            peer: PeerPlan::draw(strategy, entropy),
            packets: PacketPlan::draw(strategy, entropy),
            server: ServerPlan::draw(entropy),
            veiled: false,
            utp: false,
            aside: None,
            made: 0,
            shared: Common::share(1),
            chance: Entropy::seeded(entropy.seed()),
        }
    }

    /// Draws what not every foe has: blocks of addresses, encryption, another torrent, a taste for what it is
    /// served, and µTP. Where nothing is left to draw from it stays as it is.
    pub fn vary(
        mut self,
        entropy: &mut Entropy,
        number: u8,
        count: u32,
        around: Surroundings,
    ) -> Self {
        // A number of blocks, and a number of addresses in each.
        let blocks = entropy.choose(&[0, 0, 1, 4, 32]);
        if blocks > 0 {
            let most = (MANY_ADDRESSES / count.max(1)).max(1);
            let blocks = blocks.min(most);
            let each = (most / blocks).min(1 + entropy.below(32));
            let addr = |n: u32| {
                let (block, host) = ((n % blocks) as u8, (n / blocks) as u8 + 1);
                IpAddr::V4(Ipv4Addr::new(100 + number % 10, number, block, host))
            };
            self.addrs = (0..blocks * each).map(addr).collect();
        }
        self.veiled = entropy.below(4) == 1;
        self.aside = (entropy.below(2) == 1 && around.two_torrents).then(arena::aside);
        self.peer.fetches = entropy.below(4) == 1;
        self.utp = entropy.below(3) == 1 && around.utp;
        self
    }

    /// As many honest newcomers at the same addresses, each of which fetches what it would: they take as much of what
    /// the swarm can give.
    fn tamed(mut self) -> Self {
        self.most = self.addrs.len() as u32;
        self.peer = PeerPlan::tamed();
        self.veiled = false;
        self
    }

    /// How it makes what it is on one connection.
    fn maker(&self, content: &Content, ip: IpAddr) -> impl Fn() -> Box<dyn Script> + use<> {
        let content = self.aside.as_ref().unwrap_or(content).clone();
        let (plan, shared, veiled) = (self.peer.clone(), self.shared.clone(), self.veiled);
        move || {
            let peer = HostilePeer::boxed(&plan, &content, &shared, ip);
            if veiled { Veiled::boxed(peer, content.hash()) } else { peer }
        }
    }

    /// Whether an address is one of its own.
    pub fn owns(&self, ip: IpAddr) -> bool {
        self.addrs.contains(&ip)
    }

    /// As one of `count`, which share what one alone would do.
    pub fn among(mut self, count: u32) -> Self {
        self.most = self.most.min(1 + 100 / count.max(1));
        self.pace = self.pace.min(1 + 8 / count.max(1));
        self.shared = Common::share(4 * count);
        self
    }

    /// As one of `count`, which share the bytes of one.
    fn among_equals(mut self, count: u32) -> Self {
        self.shared = Common::share(count);
        self
    }

    /// Takes its place in a world. Returns where it listens.
    pub fn settle_in(&self, world: &mut World, content: &Content) -> Vec<SocketAddr> {
        let mut listening = Vec::new();
        if self.strategy.is_peer() && self.listens {
            for ip in &self.addrs {
                let addr = SocketAddr::new(*ip, 6881);
                world.add_script_at(addr, self.maker(content, *ip));
                if self.utp {
                    world.add_utp_script_at(addr, self.maker(content, *ip));
                }
                listening.push(addr);
            }
        }
        if self.strategy == Strategy::SpendTracker {
            self.server.settle_in(world, &self.addrs);
        }
        if self.strategy == Strategy::EclipseDht {
            for ip in &self.addrs {
                world.add_responder(SocketAddr::new(*ip, 6881), self.packets.gang(&self.addrs));
            }
        }
        listening
    }

    /// Acts against some of the nodes `0..nodes`; called once in a virtual second.
    pub fn act(&mut self, world: &mut World, content: &Content, nodes: usize) {
        let target = |chance: &mut Entropy| chance.below(nodes as u32) as NodeId;
        if self.strategy.is_peer() {
            for _ in 0..self.pace.min(self.most.saturating_sub(self.made)) {
                let ip = self.addrs[self.made as usize % self.addrs.len()];
                let node = target(&mut self.chance);
                let port = 20_000 + (self.made % 40_000) as u16;
                self.made += 1;
                let script = self.maker(content, ip)();
                if self.utp {
                    // All calls of an address from one socket.
                    world.connect_utp_script_from(node, SocketAddr::new(ip, 6881), script);
                } else {
                    world.connect_script_from(node, SocketAddr::new(ip, port), script);
                }
            }
            return;
        }
        match self.strategy {
            Strategy::SpendLocal => {
                for _ in 0..self.pace {
                    let ip = Ipv4Addr::new(10, 66, 0, self.chance.below(250) as u8 + 1);
                    let data = self.packets.announcement(content, &mut self.chance);
                    world.shout(SocketAddr::new(ip.into(), 6771), &data);
                }
            }
            Strategy::SpendDht | Strategy::EclipseDht => {
                for _ in 0..self.pace {
                    let ip = self.addrs[self.made as usize % self.addrs.len()];
                    self.made += 1;
                    let node = target(&mut self.chance);
                    let to = world.node(node).addr;
                    let data = self.packets.query(content, &self.addrs, &mut self.chance);
                    world.inject(SocketAddr::new(ip, 6881), to, data);
                }
            }
            _ => {}
        }
    }
}

/// The moves that a strategy is made of.
fn kinds(strategy: Strategy) -> &'static [Kind] {
    use Kind::*;
    match strategy {
        Strategy::SpendMessages | Strategy::DeceiveHaves => &[
            HaveAll,
            HaveNone,
            Have,
            Bitfield,
            DontHave,
            Choke,
            Unchoke,
            Interested,
            NotInterested,
            Suggest,
            AllowedFast,
            Cancel,
            Reject,
            KeepAlive,
            Unknown,
            ShakeExtended,
            Port,
            Fragment,
        ],
        Strategy::SpendAnswers => &[
            MetadataRequest,
            Request,
            BigRequest,
            Interested,
            ShakeExtended,
            HashRequest,
            Cancel,
            MetadataBeyond,
            Unchoke,
            Choke,
            HaveAll,
        ],
        Strategy::StarvePlaces => &[KeepAlive, HaveNone, Interested, HaveAll, Fragment, Unchoke],
        Strategy::StarveSlots => {
            &[Interested, Request, BigRequest, NotInterested, Cancel, HaveNone, Have, HaveAll]
        }
        Strategy::StarveMetadata | Strategy::PoisonMetadata => {
            &[ShakeExtended, MetadataReject, MetadataData, HaveAll, Unchoke, KeepAlive]
        }
        Strategy::EclipseExchange => &[Pex, ShakeExtended, HaveAll, Unchoke, Port],
        Strategy::PoisonBlocks => &[HaveAll, Unchoke, Choke, BadBlock, AllowedFast, Reject],
        Strategy::DeceiveIds => &[HaveAll, HaveNone, ShakeExtended, Interested, KeepAlive],
        _ => &[KeepAlive],
    }
}
