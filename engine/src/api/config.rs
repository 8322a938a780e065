//! Limits and preferences. What is no preference stands beside what it bounds; SECURITY.md has a table of all of it.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use serde::{Deserialize, Serialize};

use super::command::RateLimits;
use super::transport::{Transport, Transports};
use crate::base::budget::Budget;
use crate::base::time::whole_seconds;
use eddyline_mse::{Methods, Responder};

/// Read credit that a peer with outstanding requests always has, in bytes: two blocks, so that no peer starves.
pub const READ_FLOOR: u32 = 33 * 1024;

/// Bytes of messages, blocks apart, that a peer may leave unread; what tells it of our pieces at the
/// start comes on top. The kernel holds some more before these are counted. Who takes nothing while it
/// asks for that much is not served by waiting longer.
pub const MAX_UNREAD: u32 = 128 * 1024;
/// Sends, of messages and of blocks, that wait in the driver; after that messages wait in the engine,
/// where they lie behind each other and cost no more than their bytes.
pub const MAX_SENDS: usize = 128;
/// Keys of encrypted connections that one address may have us work out at once; then one in two seconds.
pub const MAX_KEYS_OF_A_HOST: u32 = 16;
/// Keys of encrypted connections that are worked out in a second for everybody together, some two hundredths of a core.
pub const MAX_KEYS_A_SECOND: u32 = 200;

/// Bytes of streams over µTP that are under way and count as sent, for all connections together.
pub(crate) const UTP_UNDER_WAY: u64 = 32 << 20;
/// What is remembered of a connection over µTP, and of each packet of it that is under way, at most one for 64 bytes.
const PER_UTP_CONNECTION: u64 = 16 * 1024;
const UTP_PACKETS: u64 = 2;
/// Datagrams that are held until those before them come: 64 of a connection, and one for each 256 bytes that were
/// granted, each in a buffer of its own.
const HELD_BY_A_CONNECTION: u64 = 64 * 1536;
const HELD_FOR_A_BYTE: u64 = 1536 / 256;

/// What a send takes in a driver besides its bytes, and a disk operation for it: a generous guess.
const SEND_OVERHEAD: u64 = 512;
/// What is remembered of a connection, whatever it says: names, times, rates, requests that were given
/// up, sets of allowed pieces, timers.
const PER_CONNECTION: u64 = 40 * 1024;
/// The buffer of a driver that what is left of a read may hold on to until the next look at a peer.
const READ_BUFFER: u64 = 128 * 1024;
/// What is remembered of an address.
const PER_CANDIDATE: u64 = 1024;

/// Connections that have not begun to shake hands, for each that may; and what is remembered of one, with what it may
/// send until then.
const WAITING_FOR_EACH: u32 = 3;
const PER_WAITING: u64 = 8 * 1024;

/// What is held against addresses, for all torrents: 10,000 bans, 10,000 lesser records, and what finds them.
const STANDING: u64 = 20_000 * 256;
/// Who introduced whom: five ledgers of a thousand hosts at the most, and a hundred questions.
const INTRODUCTIONS: u64 = 5_000 * 96 + 100 * 128;
/// What is held of bad pieces of a torrent: evidence about 65,536 blocks and 4,096 senders.
const EVIDENCE: u64 = 65_536 * 2 * 32 + 4_096 * 256;
/// Calls to what 1,000 namers have named, and 200 addresses that were forgotten and wait, of a torrent.
const CALLS: u64 = 1_000 * 128 + 200 * 2 * 96;

/// A node of the DHT: 50,000 peers and 2,000 torrents that announced themselves, 1,000 items with a value of a
/// kilobyte, sixteen lookups and two more of its own with what they found, a thousand that wait and may carry an item,
/// and what is counted of 2,000 hosts, 2,000 blocks and 2,000 that were asked, with the routing table.
const DHT_NODE: u64 =
    50_000 * 512 + 2_000 * 1024 + 1_000 * 2048 + 18 * (256 << 10) + 1_000 * 1536 + (1 << 20);
/// When a torrent is looked for.
const DHT_TURN: u64 = 256;

/// Bytes of messages that are not complete which every connection may hold at any time: a block, or
/// the bitfield of a hundred thousand pieces.
pub const ASSEMBLY_SHARE: u32 = 20 * 1024;

/// What every peer may send at any time: requests, haves and the like.
pub const IDLE_WINDOW: u32 = 16 * 1024;
/// Longest block a peer may ask for: what older clients did.
pub const MAX_REQUEST_LENGTH: u32 = 128 * 1024;

/// Well-known nodes, run by the makers of several clients.
const DHT_BOOTSTRAP: [&str; 4] = [
    "router.bittorrent.com:6881",
    "dht.transmissionbt.com:6881",
    "dht.libtorrent.org:25401",
    "router.utorrent.com:6881",
];

/// How unchoke slots are given while seeding.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum SeedChoking {
    /// Everyone in turn, whoever has waited longest first.
    #[default]
    RoundRobin,
    /// Those who take data fastest, so that it spreads soonest.
    FastestUpload,
    /// Those who have least or almost everything: leeches in the middle, who tend to leave at the
    /// end, wait.
    AntiLeech,
}

/// Whether connections of peers are encrypted (MSE): obfuscated against whoever reads on the way, not authenticated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum EncryptionPolicy {
    /// Neither offered nor understood.
    #[default]
    Disable,
    /// Who comes may speak with encryption or without. An address is called without first, for most take that, and
    /// none is kept waiting by a call that it does not understand; with encryption when that failed, and so on in
    /// turns.
    Prefer,
    /// Connections without it are neither made nor accepted.
    Require,
}

/// What may follow an encrypted handshake.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum EncryptionLevel {
    /// Whatever both sides know: RC4 alone where encryption is required, plaintext rather than that where it is
    /// preferred.
    #[default]
    Either,
    /// All bytes are enciphered.
    Rc4,
    /// Only the handshake is hidden, and blocks cost nothing more.
    Plaintext,
}

/// How connections of peers are encrypted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Encryption {
    /// Whether.
    pub policy: EncryptionPolicy,
    /// How much of them.
    pub level: EncryptionLevel,
}

impl Encryption {
    /// Preferred, whatever may follow the handshake.
    pub const PREFERRED: Self =
        Self { policy: EncryptionPolicy::Prefer, level: EncryptionLevel::Either };

    /// What may follow the handshake.
    pub(crate) const fn methods(self) -> Methods {
        match self.level {
            EncryptionLevel::Either if matches!(self.policy, EncryptionPolicy::Require) => {
                Methods::RC4
            }
            EncryptionLevel::Either => Methods::BOTH,
            EncryptionLevel::Rc4 => Methods::RC4,
            EncryptionLevel::Plaintext => Methods::PLAINTEXT,
        }
    }

    /// What we are towards whoever calls.
    pub(crate) const fn responder(self) -> Responder {
        let prefer_rc4 = matches!(self.policy, EncryptionPolicy::Require);
        Responder { accept: self.methods(), prefer_rc4 }
    }
}

/// Which trackers of a torrent are asked at the same time. In each group the next one is asked as well when one
/// fails, is slow, or leaves a torrent without anybody to try.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum AnnouncePolicy {
    /// One of each tier.
    #[default]
    Tiers,
    /// All of them.
    All,
    /// One, tier by tier, as BEP 12 has it.
    First,
}

/// Configuration of an engine. `Default` suits a desktop machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// Name and version told to peers (`v` of BEP 10).
    pub client: String,
    /// First eight bytes of the peer id.
    pub peer_id_prefix: [u8; 8],
    /// Whether nothing is said that names this client, or that is the same in two runs or two torrents: peers hear
    /// no name and version, and not which address they have; a peer id is random as a whole; nodes of the DHT hear no
    /// version and another id in each run; the local network hears nothing. What is said all the same is the port
    /// that peers can reach, for nobody could call otherwise. The address is not hidden.
    pub anonymous: bool,
    /// Connections in all.
    pub max_connections: u32,
    /// Connections of one torrent.
    pub max_connections_per_torrent: u32,
    /// Outgoing connections that are not established yet; with 0 none are made. A source of addresses has at
    /// most half of them while addresses of others wait; those that the user named may be four more.
    pub max_half_open: u32,
    /// Incoming connections that are shaking hands, in several messages where they are encrypted; those that have not
    /// begun wait beside them ([`Self::max_waiting`]).
    pub max_handshaking: u32,
    /// Connections of one torrent to one address (of IPv6: to one /64), and connections from one
    /// that have not sent a handshake yet. This machine is exempt. Several people may share an
    /// address, so it is more than one.
    pub max_connections_per_address: u32,
    /// Upload slots; `None` follows the measured capacity.
    pub unchoke_slots: Option<u32>,
    /// How slots are given while seeding.
    pub seed_choking: SeedChoking,
    /// Most requests outstanding at one peer, whatever its `reqq`.
    pub max_outstanding_requests: u32,
    /// Whether the last blocks are asked of several peers at once, so that none of them can hold the
    /// end of a download up.
    pub endgame: bool,
    /// Requests of one peer that are queued for upload: our `reqq`.
    pub max_queued_requests: u32,
    /// Bytes granted to all connections together and not received yet.
    pub read_credit: u32,
    /// Most bytes granted to one connection.
    pub read_window: u32,
    /// Payload bytes handed to the disk and not written yet, above which no more is read until half
    /// of it is written.
    pub disk_intake: u32,
    /// Pieces being hashed at once; a driver with n workers sets about 2 n.
    pub hash_jobs: u32,
    /// Bytes given to one connection and not taken by its socket, above which no block is read.
    pub send_backlog: u32,
    /// Bytes of blocks being read or waiting to be sent, for all connections together. Each of the
    /// connections that there may be has an equal share of it for itself, beyond what others use.
    pub send_budget: u32,
    /// Bytes of messages that are not complete, beyond twenty KiB for each connection, for all
    /// connections together.
    pub assembly_budget: u32,
    /// Bytes of the longest info dictionary that is fetched for a magnet.
    pub max_metadata: u32,
    /// Addresses remembered per torrent, whoever names them.
    pub max_candidates: u32,
    /// Whether IPv4 is used.
    pub ipv4: bool,
    /// Whether IPv6 is used.
    pub ipv6: bool,
    /// Whether trackers are asked at all.
    pub trackers: bool,
    /// Which trackers of a torrent are asked at the same time.
    pub announce: AnnouncePolicy,
    /// Whether peers are told of peers (BEP 11).
    pub pex: bool,
    /// Whether peers that nobody can connect to are introduced to each other, and we to them (BEP 55): over µTP alone.
    pub holepunch: bool,
    /// Whether we are a node of the DHT (BEP 5).
    pub dht: bool,
    /// Whether that node only asks and answers nobody (BEP 43).
    pub dht_read_only: bool,
    /// Nodes to begin with, as `HOST:PORT`.
    pub dht_bootstrap: Vec<String>,
    /// Whether torrents are announced on the local network (BEP 14).
    pub lsd: bool,
    /// Time between saves of resume data while something changes, in whole seconds: fractions do not count.
    #[serde(with = "whole_seconds")]
    pub resume_interval: Duration,
    /// Time without peers, in whole seconds and at least 10 of them, after which a complete torrent goes to rest: it
    /// leaves memory, is announced in its time all the same, and comes back when it is wanted. The embedder answers
    /// [`Notice::Wanted`](crate::Notice::Wanted). `None` for never.
    #[serde(with = "whole_seconds::optional")]
    pub rest_after: Option<Duration>,
    /// How connections of peers are encrypted. Off unless asked for, because a driver has to perform
    /// [`StreamAction::Encipher`](crate::StreamAction::Encipher) and
    /// [`StreamAction::Decipher`](crate::StreamAction::Decipher).
    pub encryption: Encryption,
    /// Which transports are spoken. TCP alone unless asked for, because a driver has to perform
    /// [`Action::Transmit`](crate::Action::Transmit) and keep outgoing streams for
    /// [`StreamAction::OpenUtp`](crate::StreamAction::OpenUtp).
    pub transports: Transports,
    /// Whether rate limits hold for what goes over µTP too, which gives way to others by itself.
    pub limit_utp: bool,
    /// Limits on what goes over TCP and over µTP, of all torrents and beside those on both together.
    pub tcp_limits: RateLimits,
    /// The same for µTP; they hold whatever [`Self::limit_utp`] says.
    pub utp_limits: RateLimits,
    /// Whether TCP leaves room for µTP where both fill a line, in proportion to their peers. µTP gives way by itself,
    /// so that peers which speak nothing else would get next to nothing.
    pub mixed_mode: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            client: String::from(concat!("Eddyline ", env!("CARGO_PKG_VERSION"))),
            peer_id_prefix: *b"-ED0100-",
            anonymous: false,
            max_connections: 500,
            max_connections_per_torrent: 100,
            max_half_open: 30,
            max_handshaking: 100,
            max_connections_per_address: 8,
            unchoke_slots: None,
            seed_choking: SeedChoking::RoundRobin,
            max_outstanding_requests: 1000,
            endgame: true,
            max_queued_requests: 2000,
            read_credit: 32 << 20,
            read_window: 512 << 10,
            disk_intake: 8 << 20,
            hash_jobs: 4,
            send_backlog: 256 << 10,
            send_budget: 16 << 20,
            assembly_budget: 16 << 20,
            max_metadata: 64 << 20,
            max_candidates: 2000,
            ipv4: true,
            ipv6: true,
            trackers: true,
            announce: AnnouncePolicy::default(),
            pex: true,
            holepunch: true,
            dht: true,
            dht_read_only: false,
            dht_bootstrap: DHT_BOOTSTRAP.map(String::from).into(),
            lsd: true,
            resume_interval: Duration::from_secs(60),
            rest_after: None,
            encryption: Encryption::default(),
            transports: Transports::default(),
            limit_utp: true,
            tcp_limits: RateLimits::default(),
            utp_limits: RateLimits::default(),
            mixed_mode: true,
        }
    }
}

/// The most memory that peers can make the engine and its driver hold, in bytes, part by part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MemoryBound {
    /// Granted to sockets and not parsed.
    pub receive: u64,
    /// Messages that wait: for the rest of them, for their turn, for the metadata.
    pub assembly: u64,
    /// On the way to the disk.
    pub disk: u64,
    /// Blocks on the way from the disk to sockets.
    pub send: u64,
    /// Messages, blocks apart, that peers do not read.
    pub unread: u64,
    /// Queued requests of peers, and those that are out.
    pub requests: u64,
    /// What is remembered of connections, bit fields among it.
    pub peers: u64,
    /// What is remembered of addresses.
    pub candidates: u64,
    /// What is held against addresses, and of bad pieces.
    pub blame: u64,
    /// What µTP holds: datagrams that came before their turn, and what was sent and has not arrived.
    pub utp: u64,
    /// What nodes of the DHT keep for others, and of others.
    pub dht: u64,
}

impl MemoryBound {
    /// The sum.
    pub const fn total(&self) -> u64 {
        self.in_flight() + self.requests + self.peers + self.candidates + self.blame + self.dht
    }

    /// What is on its way between sockets and disk, of all that.
    pub const fn in_flight(&self) -> u64 {
        self.receive + self.assembly + self.disk + self.send + self.unread + self.utp
    }
}

impl Config {
    /// Bytes granted at the most: the floor that keeps every peer alive comes on top of the shared
    /// credit, and the grant that reaches the mark may overstep it by a window.
    fn most_granted(&self) -> u64 {
        let connections = u64::from(self.max_connections);
        u64::from(self.read_credit)
            + u64::from(self.read_window)
            + connections * u64::from(READ_FLOOR)
    }

    /// What µTP holds at the most, where it is spoken.
    fn utp_bound(&self, connections: u64) -> u64 {
        if !self.transports.include(Transport::Utp) {
            return 0;
        }
        let sent = UTP_UNDER_WAY + u64::from(self.send_budget);
        connections * (PER_UTP_CONNECTION + HELD_BY_A_CONNECTION)
            + self.most_granted() * HELD_FOR_A_BYTE
            + UTP_UNDER_WAY
            + sent * UTP_PACKETS
    }

    /// What the DHT holds at the most: a node for each address family.
    fn dht_bound(&self, torrents: u32) -> u64 {
        let nodes = u64::from(self.ipv4) + u64::from(self.ipv6);
        if self.dht { nodes * DHT_NODE + u64::from(torrents) * DHT_TURN } else { 0 }
    }

    /// How many connections may wait that have not begun to shake hands: more than may, for they take nothing but a
    /// socket.
    pub const fn max_waiting(&self) -> u32 {
        self.max_handshaking.saturating_mul(WAITING_FOR_EACH)
    }

    /// The part of the send budget that each connection has for itself.
    pub(crate) fn send_share(&self) -> u64 {
        u64::from(self.send_budget / self.max_connections.max(1))
    }

    /// The worst case for this configuration with `torrents` torrents, of which the largest has
    /// `pieces` pieces.
    pub fn memory_bound(&self, torrents: u32, pieces: u32) -> MemoryBound {
        let connections = u64::from(self.max_connections) + u64::from(self.max_handshaking);
        let bits = u64::from(pieces).div_ceil(8);
        let (send, share) = (u64::from(self.send_budget), self.send_share());
        // Whatever grows by doubling may take twice what it holds.
        let assembly = Budget::most(
            self.assembly_budget.into(),
            ASSEMBLY_SHARE.into(),
            IDLE_WINDOW.into(),
            connections,
        );
        let unread = 2 * (u64::from(MAX_UNREAD) + bits) + MAX_SENDS as u64 * SEND_OVERHEAD;
        let queued = u64::from(self.max_queued_requests) + u64::from(self.max_outstanding_requests);
        MemoryBound {
            receive: self.most_granted() + connections * READ_BUFFER,
            assembly: 2 * assembly,
            // Above the mark nothing is granted; what was granted by then may still arrive.
            disk: u64::from(self.disk_intake) + self.most_granted(),
            send: Budget::most(send, share, MAX_REQUEST_LENGTH.into(), connections),
            unread: connections * unread,
            requests: connections * queued * 2 * 16,
            peers: connections * (PER_CONNECTION + 2 * bits)
                + u64::from(self.max_waiting()) * PER_WAITING,
            candidates: u64::from(torrents)
                * (u64::from(self.max_candidates) * PER_CANDIDATE + CALLS),
            blame: STANDING + INTRODUCTIONS + u64::from(torrents) * EVIDENCE,
            utp: self.utp_bound(connections),
            dht: self.dht_bound(torrents),
        }
    }
}
